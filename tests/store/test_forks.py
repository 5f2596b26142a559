"""A run's history as a place to begin from: another run goes on from there, or the run itself goes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from django_tasks_durable.exceptions import InvalidTransition, NotSerializable, RunNotFound, UnknownPath
from django_tasks_durable.models import Checkpoint, Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import control, forks
from django_tasks_durable.testing import drain
from tests.engine.laboratory import local
from tests.store import acts

pytestmark = pytest.mark.django_db
USING = "default"
deeds: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    deeds.clear()


def do(name: str, value: Any = None) -> Any:
    """Count a deed."""
    deeds[name] += 1
    return value


def inner(context: Any) -> int:
    """Do two things in a scope of their own."""
    return context.step("x", do, "x", 10) + context.step("y", do, "y", 20)


def whole(context: Any) -> Iterator[Any]:
    """Use a bit of everything."""
    a = context.step("a", do, "a", 1)
    yield a
    both = yield from context.call(local(inner))
    yield both
    answer = context.interrupt("?", key="ask")
    return [a, both, answer, context.step("last", do, "last", 5)]


def ended(task: Any = None) -> TaskRun:
    """Run it to its end."""
    run_id = acts.enqueue(task or local(whole))
    drain()
    if acts.run(run_id).status == RunStatus.WAITING:
        control.resume(run_id, "yes", using=USING)
        drain()
    deeds.clear()
    return acts.run(run_id)


def finish(run_id: Any) -> TaskRun:
    """Run a fork to its end."""
    drain()
    if acts.run(run_id).status == RunStatus.WAITING:
        control.resume(run_id, "again", using=USING)
        drain()
    return acts.run(run_id)


def partials(run_id: Any) -> list[Any]:
    """What a run told."""
    lines = Step.objects.filter(run_id=run_id, kind="partial").order_by("sequence")
    return [codec.decode(line.data) for line in lines]


def test_a_fork_keeps_what_came_before_and_does_the_rest_again() -> None:
    run = ended()
    row = finish(forks.fork(run.pk, "step:last", using=USING, by="anna"))
    assert (row.status, codec.decode(row.result or "")) == (RunStatus.SUCCESSFUL, [1, 30, "yes", 5])
    assert deeds == {"last": 1}
    assert row.forked_from == run.pk
    assert row.pk != run.pk
    assert Step.objects.get(run=row, kind="audit").message == f"Forked from {run.pk} by anna"
    assert acts.run(run.pk).version == run.version


def test_a_fork_from_inside_a_call_enters_it_again() -> None:
    run = ended()
    fork = forks.fork(run.pk, "call:inner/step:y", using=USING)
    assert partials(fork) == [1]
    row = finish(fork)
    assert codec.decode(row.result or "") == [1, 30, "again", 5]
    assert deeds == {"y": 1, "last": 1}
    assert partials(fork) == [1, 30]


def test_a_fork_from_a_question_asks_anew_under_another_token() -> None:
    run = ended()
    fork = forks.fork(run.pk, "wait:ask", using=USING)
    drain()
    assert Wait.objects.get(run_id=fork).token != Wait.objects.get(run=run).token
    assert codec.decode(finish(fork).result or "")[2] == "again"


def test_values_are_edited_and_the_place_itself_is_kept_when_it_is_given_one() -> None:
    run = ended()
    values = {"step:a": 7, "call:inner": 300, "step:last": None}
    row = finish(forks.fork(run.pk, "step:last", values=values, using=USING))
    assert codec.decode(row.result or "") == [7, 300, "yes", None]
    assert not deeds
    assert codec.decode(acts.run(run.pk).result or "") == [1, 30, "yes", 5]


def test_a_failed_step_can_be_given_a_value() -> None:
    def fail() -> None:
        raise LookupError

    @local
    def body(context: Any) -> Any:
        try:
            return context.step("fail", fail)
        except LookupError:
            return context.step("sorry", do, "sorry", "sorry")

    row = finish(forks.fork(ended(body).pk, "step:fail", values={"step:fail": "fine"}, using=USING))
    assert codec.decode(row.result or "") == "fine"


def test_a_fork_of_a_run_that_was_undone_does_again_what_was_undone() -> None:
    fails = [True]

    def fail() -> str:
        if fails[0]:
            raise LookupError
        return "fine"

    @local
    def body(context: Any) -> Any:
        context.step("book", do, "book", compensate=lambda value: None)
        context.step("keep", do, "keep")
        return context.step("fail", fail)

    run = ended(body)
    assert run.status == RunStatus.FAILED
    fails[0] = False
    row = finish(forks.fork(run.pk, "undo:book", using=USING))
    assert row.status == RunStatus.SUCCESSFUL, row.errors
    assert deeds == {"book": 1}


def test_an_unknown_path_is_refused_with_those_that_are_near() -> None:
    run = ended()
    with pytest.raises(UnknownPath, match="Is it 'step:last'"):
        forks.fork(run.pk, "last", using=USING)
    with pytest.raises(UnknownPath, match="call:inner/step:y"):
        forks.clear(acts.enqueue_waiting(local(whole)), "call:inner/step:z", using=USING)
    with pytest.raises(UnknownPath, match="step:last"):
        forks.fork(run.pk, "step:a", values={"step:last": 1}, using=USING)
    with pytest.raises(RunNotFound):
        forks.fork(new_id(), "step:a", using=USING)
    with pytest.raises(NotSerializable, match="step:a"):
        forks.fork(run.pk, "step:a", values={"step:a": object()}, using=USING)
    assert TaskRun.objects.filter(forked_from__isnull=False).count() == 0


@pytest.mark.parametrize("act", ["fork", "clear"])
def test_a_run_that_a_worker_holds_is_left_alone(act: str) -> None:
    run_id = acts.enqueue()
    TaskRun.objects.filter(pk=run_id).update(status=RunStatus.RUNNING)
    Checkpoint.objects.create(
        run_id=run_id, path="step:a", kind="step", position=0, created_at=acts.run(run_id).enqueued_at
    )
    with pytest.raises(InvalidTransition, match="running"):
        getattr(forks, act)(run_id, "step:a", using=USING)


def test_a_cleared_place_and_all_after_it_is_done_again() -> None:
    run_id = acts.enqueue_waiting(local(whole))
    deeds.clear()
    assert forks.clear(run_id, "call:inner/step:y", using=USING, by="anna") == [
        "call:inner/step:y", "call:inner", "wait:ask",
    ]  # fmt: skip
    row = acts.run(run_id)
    assert row.status == RunStatus.READY
    assert not Wait.objects.filter(run_id=run_id).exists()
    row = finish(run_id)
    assert codec.decode(row.result or "") == [1, 30, "again", 5]
    assert deeds == {"y": 1, "last": 1}
    assert partials(run_id) == [1, 30]


def test_a_failed_run_that_was_cleared_goes_back_when_it_is_retried() -> None:
    fails = [True]

    @local
    def body(context: Any) -> Any:
        found = context.step("a", do, "a", 1)
        if fails[0]:
            raise LookupError
        return found

    run = ended(body)
    assert forks.clear(run.pk, "step:a", using=USING) == ["step:a"]
    assert acts.run(run.pk).status == RunStatus.FAILED
    fails[0] = False
    control.retry(run.pk, using=USING)
    assert finish(run.pk).status == RunStatus.SUCCESSFUL
    assert deeds == {"a": 1}


def test_a_run_that_ended_well_cannot_be_cleared() -> None:
    with pytest.raises(InvalidTransition, match="succeeded"):
        forks.clear(ended().pk, "step:a", using=USING)


def test_the_result_forks_and_clears() -> None:
    from django_tasks_durable.backend.results import DurableTaskResult
    from tests.store.carried import traveller

    result = traveller.enqueue(3)
    assert isinstance(result, DurableTaskResult)
    drain()
    fork = result.fork(path="step:load", values={"step:load": {"total": 9}})
    assert fork.id != result.id
    drain()
    fork.resume("go")
    drain()
    fork.refresh()
    assert fork.return_value[0] == {"total": 9}
    assert "wait:interrupt" in result.clear("step:bad")
    drain()
    assert result.snapshot().state == "waiting"
