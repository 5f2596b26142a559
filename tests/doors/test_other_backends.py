"""Our tasks under Django's own backends for tests: run on the spot, or only noted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings

from django_tasks_durable import Backoff, get_context, task
from django_tasks_durable.compat import HAS_CORE_TASKS, TaskResultStatus
from django_tasks_durable.exceptions import Interrupted
from tests.engine import samples

MODULE = "django.tasks.backends" if HAS_CORE_TASKS else "django_tasks.backends"


@task
def chatty(context: Any, name: str) -> Iterator[str]:
    """Yield and return."""
    yield name
    yield context.step("louder", name.upper)
    return "end"


@task
async def achatty(context: Any, name: str) -> AsyncIterator[str]:
    """See chatty."""
    yield name
    context.finish(await context.astep("louder", name.upper))


@task(max_attempts=3, backoff=Backoff(first=1))
def failing(context: Any) -> None:
    """Fail for good: nothing is tried again on the spot."""
    raise ValueError("ouch")


@pytest.fixture
def immediate() -> Iterator[None]:
    """Run tasks where they are enqueued."""
    with override_settings(TASKS={"default": {"BACKEND": f"{MODULE}.immediate.ImmediateBackend"}}):
        yield


@pytest.fixture
def dummy() -> Iterator[None]:
    """Only note what was enqueued."""
    with override_settings(TASKS={"default": {"BACKEND": f"{MODULE}.dummy.DummyBackend"}}):
        yield


@pytest.mark.parametrize(
    ("called", "value"),
    [
        ((samples.add, 1), 3),
        ((samples.aadd, 1), 3),
        ((samples.report, 2), [2, "keep", 3, {"a": 7}]),
        ((samples.plain,), [0, 7, 8, 1]),
        ((chatty, "you"), "end"),
        ((achatty, "you"), "YOU"),
        ((samples.sleepy,), "rested"),
    ],
    ids=lambda case: getattr(case[0], "name", "") if isinstance(case, tuple) else "",
)
def test_every_kind_of_task_runs_to_its_end_where_it_is_enqueued(immediate: None, called: Any, value: Any) -> None:
    task, *args = called
    result = task.enqueue(*args)
    assert result.status == TaskResultStatus.SUCCESSFUL, result.errors[0].traceback
    assert result.return_value == value


@pytest.mark.parametrize("called", [(samples.add, 1), (achatty, "you"), (chatty, "you")], ids=lambda case: case[0].name)
async def test_they_do_when_it_is_awaited(immediate: None, called: Any) -> None:
    task, *args = called
    result = await task.aenqueue(*args)
    assert result.status == TaskResultStatus.SUCCESSFUL, result.errors[0].traceback


@pytest.mark.parametrize("asking", [samples.chat, samples.achat], ids=lambda task: task.name)
def test_a_question_that_nobody_can_answer_there_is_a_typed_error(immediate: None, asking: Any) -> None:
    result = asking.enqueue("you")
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is Interrupted
    assert "message" in result.errors[0].traceback


def test_an_error_is_told_once_and_nothing_is_tried_again(immediate: None) -> None:
    result = failing.enqueue()
    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 1)
    assert result.errors[0].exception_class is ValueError


@task
def told(context: Any) -> list[Any]:
    """Tell what the context knows."""
    return [context.attempt, get_context() is context]


def test_the_context_is_the_current_one(immediate: None) -> None:
    assert told.enqueue().return_value == [1, True]


def test_our_options_are_accepted_there(immediate: None, dummy: None) -> None:
    changed = samples.add.using(priority=3, max_attempts=7, timeout=timedelta(seconds=9), metadata={"a": 1})
    result = changed.enqueue(1)
    assert result.task.options.max_attempts == 7
    assert result.task.priority == 3
    assert [each.status for each in samples.add.enqueue_many([((1,), {}), ((2,), {"b": 5})])] == ["READY", "READY"]


def test_many_are_run_at_once(immediate: None) -> None:
    assert [each.return_value for each in samples.add.enqueue_many([((1,), {}), ((2,), {"b": 5})])] == [3, 7]


def test_what_was_enqueued_is_noted(dummy: None) -> None:
    from django_tasks_durable.compat import task_backends

    result = samples.report.using(run_after=timedelta(hours=1)).enqueue(4)
    assert result.status == TaskResultStatus.READY
    (noted,) = task_backends["default"].results
    assert noted.task.module_path == samples.report.module_path
    assert noted.task.run_after is not None
    assert list(noted.args) == [4]


async def test_what_was_enqueued_is_noted_when_it_is_awaited(dummy: None) -> None:
    assert (await samples.achat.aenqueue("you")).status == TaskResultStatus.READY
