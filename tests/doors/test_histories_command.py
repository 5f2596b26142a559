"""``manage.py tasks fork|clear|replaycheck``: what they write, and what they never do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from types import FunctionType
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_tasks_durable import rename_key
from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.testing import drain
from tests.engine.laboratory import local
from tests.store import acts

from .test_tasks_command import refusal, tasks, told

pytestmark = pytest.mark.django_db
deeds: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    deeds.clear()


def do(name: str) -> str:
    """Count a deed."""
    deeds[name] += 1
    return name


def old(context: Any) -> Iterator[Any]:
    """The code that left the history."""
    context.step("a", do, "a")
    context.step("now", do, "now", cache=False)
    yield "told"
    context.log("said")
    found = yield from context.call(child)
    context.gather({"left": child.bind(), "right": lambda context: context.step("r", do, "r")})
    context.interrupt("?")
    return found


@local
def child(context: Any) -> Iterator[Any]:
    """One floor down."""
    yield "inner"
    return context.step("inner", do, "inner")


def drifted(context: Any) -> None:
    """Another order."""
    context.step("new", do, "new")


async def aold(context: Any) -> None:
    """A coroutine."""
    await context.astep("a", do, "a")
    await context.ainterrupt("?")


def waiting(function: Callable[..., Any], becomes: Callable[..., Any] | None = None, **options: Any) -> TaskRun:
    """Let a run wait, and then be of other code."""
    run_id = acts.enqueue_waiting(local(function))
    if becomes is not None:
        copied = FunctionType(becomes.__code__, becomes.__globals__, closure=becomes.__closure__)
        copied.__module__, copied.__qualname__ = __name__, f"{becomes.__name__}_{len(registered())}"
        TaskRun.objects.filter(pk=run_id).update(task_path=local(copied, **options).module_path)
    deeds.clear()
    return acts.run(run_id)


def rows() -> dict[str, Any]:
    """Everything that there is."""
    return acts.everything()


@pytest.mark.parametrize("function", [old, aold])
def test_a_history_that_the_code_follows_is_fine_and_nothing_is_done(function: Callable[..., Any]) -> None:
    run = waiting(function)
    before = rows()
    assert told("replaycheck") == [{"id": str(run.pk), "task": run.task_path, "state": "ok", "message": ""}]
    assert tasks("replaycheck") == "1 runs replayed, 0 would be parked.\n"
    assert not deeds
    assert rows() == before


def test_a_history_that_the_code_no_longer_follows_fails_the_command() -> None:
    waiting(old)
    run = waiting(old, drifted)
    before = rows()
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 2 runs do not follow") as caught:
        call_command("tasks", "replaycheck", stdout=out)
    assert caught.value.returncode == 1
    assert "'step:a'" in out.getvalue()
    assert "'step:new'" in out.getvalue()
    assert str(run.pk) in out.getvalue()
    assert not deeds
    assert rows() == before


def test_the_check_is_narrowed_and_finished_runs_are_asked_for() -> None:
    waiting(old, drifted)
    assert tasks("replaycheck", "--task", "no.such") == "0 runs replayed, 0 would be parked.\n"
    TaskRun.objects.update(status=RunStatus.FAILED)
    assert told("replaycheck") == []
    assert "1 of 1" in refusal("replaycheck", "--all", "--limit", "1")


def test_a_run_of_an_older_version_is_led_up_in_the_rehearsal_only() -> None:
    def newer(context: Any) -> None:
        context.step("b", do, "a")
        context.interrupt("?")

    run = waiting(aold, newer, version=2)
    assert "1 of 1" in refusal("replaycheck")
    registered()[run.task_path].migrates(1)(rename_key("a", "b"))
    before = rows()
    assert told("replaycheck")[0]["state"] == "ok"
    assert rows() == before


def test_an_unknown_task_is_told_and_does_not_fail_the_check() -> None:
    run = waiting(aold)
    TaskRun.objects.filter(pk=run.pk).update(task_path="gone.tasks.gone")
    assert told("replaycheck")[0]["state"] == "unknown"


def test_a_run_is_forked_from_a_place_with_other_values() -> None:
    run = waiting(old)
    shown = told("fork", str(run.pk), "--path", "step:a", "--set", 'step:a="other"')
    assert (shown["state"], shown["task_path"]) == ("queued", run.task_path)
    drain()
    assert deeds["a"] == 0
    forked = tasks("fork", run.pk.hex[-8:], "--path", "step:a").strip()
    assert TaskRun.objects.get(pk=forked).forked_from == run.pk
    assert "'step:a'" in refusal("fork", str(run.pk), "--path", "a")
    assert "no '='" in refusal("fork", str(run.pk), "--path", "step:a", "--set", "7")


def test_a_place_is_cleared_with_all_after_it() -> None:
    run = waiting(aold)
    assert told("clear", str(run.pk), "--path", "step:a") == {
        "id": str(run.pk), "cleared": ["step:a", "wait:interrupt"],
    }  # fmt: skip
    assert acts.run(run.pk).status == RunStatus.READY
    assert "nothing at 'step:a'" in refusal("clear", str(run.pk), "--path", "step:a")
