"""Tasks called as the functions that they are, with their primitives done at once and remembered by nobody."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from django_tasks_durable import compat, get_context, interrupt, sleep, step, wait
from django_tasks_durable.exceptions import InsideAtomicStep, Interrupted, InvalidKey
from django_tasks_durable.store import user_transactions

from . import samples
from .laboratory import local


def test_a_task_is_called_as_its_function() -> None:
    assert samples.add(1) == samples.add.call(1) == 3


def test_a_context_is_made_up_when_none_is_given() -> None:
    assert samples.report(4) == [4, "keep", 3, {"a": 7}]


def test_a_generator_runs_to_its_return_value() -> None:
    with pytest.raises(Interrupted) as caught:
        samples.chat("job")
    assert caught.value.payload == {"message": "wait"}
    assert samples.sleepy() == "rested"


async def test_an_asynchronous_task_gives_a_coroutine() -> None:
    assert await samples.aadd(1) == 3
    assert await samples.add.acall(1) == 3
    with pytest.raises(Interrupted):
        await samples.achat("job")


def test_an_asynchronous_task_may_be_called_from_synchronous_code() -> None:
    assert samples.aadd.call(1) == 3


def test_the_module_level_words_work_inside_and_outside_of_a_task() -> None:
    assert samples.plain() == [0, 7, 8, 1]
    assert step("a", int) == 0
    assert samples.helper(4) == 8
    assert sleep(3600) is not None
    with pytest.raises(Interrupted):
        interrupt("?")
    with pytest.raises(Interrupted):
        wait("key")


def test_what_is_refused_in_a_run_is_refused_inline() -> None:
    with pytest.raises(InvalidKey):
        step("a/b", int)


def test_an_atomic_step_is_a_transaction_inline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def atomically(using: str, function: Any) -> Any:
        opened.append(using)
        return function()

    monkeypatch.setattr(user_transactions, "atomically", atomically)

    @local
    def body(context: Any) -> None:
        context.step("a", lambda: context.step("b", int), atomic=True)

    with pytest.raises(InsideAtomicStep):
        body()
    assert opened == ["default"]


def test_the_values_of_steps_go_through_json_inline_too() -> None:
    with pytest.raises(TypeError):
        step("a", object)


def test_a_step_is_tried_again_without_waiting() -> None:
    tries = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OSError
        return "done"

    assert step("flaky", flaky, max_attempts=3, backoff=lambda error, result: 3600) == "done"


def test_an_error_passes_through() -> None:
    with pytest.raises(ValueError, match="ouch"):
        samples.failing()


def test_outside_of_a_task_the_context_says_so_little_as_there_is() -> None:
    context = get_context()
    assert context.attempt == 1
    assert context.suspending is False
    assert context.idempotency_key == str(context.run_id)


IMMEDIATE = (
    "django.tasks.backends.immediate.ImmediateBackend"
    if compat.HAS_CORE_TASKS
    else "django_tasks.backends.immediate.ImmediateBackend"
)
DUMMY = IMMEDIATE.replace("immediate.Immediate", "dummy.Dummy")


@override_settings(TASKS={"default": {"BACKEND": IMMEDIATE}})
def test_a_task_of_ours_runs_under_djangos_immediate_backend() -> None:
    result = samples.report.using(max_attempts=5).enqueue(2)
    assert result.status == compat.TaskResultStatus.SUCCESSFUL, result.errors
    assert result.return_value == [2, "keep", 3, {"a": 7}]
    assert samples.sleepy.enqueue().return_value == "rested"
    assert samples.failing.enqueue().status == compat.TaskResultStatus.FAILED


@override_settings(TASKS={"default": {"BACKEND": IMMEDIATE}})
def test_under_djangos_immediate_backend_the_context_has_its_result() -> None:
    seen = []
    task = local(lambda context: seen.append((context.task_result.id, context.attempt)))
    result = compat.TaskResult(
        task=task, id="abc", status=compat.TaskResultStatus.RUNNING, enqueued_at=None, started_at=None,
        finished_at=None, last_attempted_at=None, args=[], kwargs={}, backend="default", errors=[], worker_ids=["me"],
    )  # fmt: skip
    task.call(compat.TaskContext(task_result=result))
    assert seen == [("abc", 1)]


@override_settings(TASKS={"default": {"BACKEND": DUMMY}})
def test_a_task_of_ours_is_enqueued_under_djangos_dummy_backend() -> None:
    result = samples.report.using(timeout=5).enqueue(2)
    assert result.status == compat.TaskResultStatus.READY
