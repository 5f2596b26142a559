"""A run that is undone in a database: its compensations among its checkpoints, exactly once where they are atomic."""

from __future__ import annotations

from typing import Any

import pytest

from django_tasks_durable.models import Checkpoint, Step, TaskRun
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, StepKind
from django_tasks_durable.store import control
from django_tasks_durable.testing import drain
from tests.engine.laboratory import local
from tests.probe.models import Effect
from tests.store import acts

pytestmark = pytest.mark.django_db


def add(name: str) -> str:
    """Write a row."""
    Effect.objects.create(name=name)
    return name


def remove(name: str) -> None:
    """Take it back."""
    Effect.objects.filter(name=name).delete()


def remove_and_fail(name: str) -> None:
    """Take it back, and fail after that."""
    remove(name)
    raise OSError("too late")


def fail() -> None:
    """Fail."""
    raise LookupError("no room")


def names() -> list[str]:
    """The rows that there are."""
    return sorted(Effect.objects.values_list("name", flat=True))


def run(task: Any) -> TaskRun:
    """Run a task until nothing is due."""
    run_id = acts.enqueue(task)
    drain()
    return acts.run(run_id)


def test_a_failed_run_leaves_no_row_of_its_steps() -> None:
    @local
    def body(context: Any) -> None:
        context.step("one", add, "one", atomic=True, compensate=remove)
        context.step("two", add, "two", compensate=remove)
        context.step("fail", fail)

    row = run(body)
    assert row.status == RunStatus.FAILED
    assert names() == []
    undone = Checkpoint.objects.filter(run=row, kind=CheckpointKind.UNDO).order_by("id")
    assert list(undone.values_list("path", "failed")) == [("undo:", False), ("undo:two", False), ("undo:one", False)]
    assert Step.objects.filter(run=row, kind=StepKind.COMPENSATED).count() == 3


def test_an_atomic_compensation_that_fails_has_changed_nothing() -> None:
    @local
    def body(context: Any) -> None:
        context.step("one", add, "one", atomic=True, compensate=remove_and_fail)
        context.step("fail", fail)

    row = run(body)
    assert names() == ["one"]
    assert "one: OSError: too late" in row.errors


def test_a_retried_run_does_again_what_was_undone_and_keeps_what_was_not() -> None:
    fails = [True]

    @local
    def inner(context: Any) -> str:
        return context.step("two", add, "two", compensate=remove)

    @local
    def body(context: Any) -> list[str]:
        context.step("kept", add, "kept")
        context.step("stuck", add, "stuck", compensate=remove_and_fail, atomic=True)
        context.step("one", add, "one", compensate=remove)
        context.call(inner).value
        if fails[0]:
            raise LookupError
        return names()

    row = run(body)
    assert names() == ["kept", "stuck"]
    fails[0] = False
    control.retry(row.pk, using="default")
    drain()
    row = acts.run(row.pk)
    assert row.status == RunStatus.SUCCESSFUL, row.errors
    assert names() == ["kept", "one", "stuck", "two"]
    assert not Checkpoint.objects.filter(run=row, kind=CheckpointKind.UNDO).exists()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_waiting_run_that_is_cancelled_is_undone(is_async: bool) -> None:
    @local(compensate_on_cancel=True)
    def body(context: Any) -> None:
        context.step("one", add, "one", compensate=remove)
        context.interrupt()

    @local(compensate_on_cancel=True)
    async def abody(context: Any) -> None:
        await context.astep("one", add, "one", compensate=remove)
        await context.ainterrupt()

    row = run(abody if is_async else body)
    assert names() == ["one"]
    assert control.cancel(row.pk, using="default", reason="no more") is RunStatus.READY
    drain()
    row = acts.run(row.pk)
    assert (row.status, row.cancel_reason) == (RunStatus.CANCELLED, "no more")
    assert names() == []
