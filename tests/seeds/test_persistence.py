"""What keyed steps and their persistence did, shown with checkpoints."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable import MemoryStore, testing
from django_tasks_durable.models import Step
from django_tasks_durable.primitives.status import RunStatus, State, StepKind
from django_tasks_durable.primitives.writes import SaveCheckpoint, Verdict, Write
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import vendors
from tests.engine.laboratory import Bench, local
from tests.probe import journal
from tests.probe import tasks as probe
from tests.store import acts

from . import tasks


class FullStore(MemoryStore):
    """A store that has no room for a checkpoint."""

    def submit(self, write: Write) -> None:
        if isinstance(write, SaveCheckpoint):
            raise OSError("no room")
        super().submit(write)

    def commit(self, write: Write) -> Future[Verdict]:
        if isinstance(write, SaveCheckpoint):
            refused: Future[Verdict] = Future()
            refused.set_exception(OSError("no room"))
            return refused
        return super().commit(write)


@pytest.mark.seed("AW-4", "AW-P3")
def test_a_replayed_step_is_neither_called_nor_told_again() -> None:
    called: Counter[str] = Counter()

    @local
    def body(context: Any) -> Any:
        first = context.step("first", lambda: called.update(["first"]) or "one")
        context.interrupt()
        return [first, context.step("second", lambda: called.update(["second"]) or "two")]

    bench = Bench(body)
    bench.slice()
    bench.answer(None).slice()
    assert bench.result == ["one", "two"]
    assert called == {"first": 1, "second": 1}
    assert [line.path for line in bench.run.lines if line.kind is StepKind.STEP] == ["step:first", "step:second"]


@pytest.mark.seed("AW-17")
def test_a_step_whose_checkpoint_cannot_be_stored_fails_and_nothing_is_done_after_it() -> None:
    done: list[str] = []

    @local
    def body(context: Any) -> str:
        context.step("first", done.append, "first")
        context.step("second", done.append, "second")
        return "done"

    bench = Bench(body, store=FullStore())
    bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert bench.error()["message"] == "no room"
    assert done == ["first"]


@pytest.mark.django_db
@pytest.mark.seed("AW-16", "AW-P2")
def test_each_step_is_in_the_database_before_the_next_one_begins() -> None:
    result = tasks.looks_at_itself.enqueue()
    testing.drain()
    result.refresh()
    assert result.return_value == [0, 1, 2]


@pytest.mark.django_db
@pytest.mark.seed("TT-15", "TW-19")
def test_a_failed_run_keeps_what_it_did_and_a_retry_tells_only_what_is_new(deeds: Path) -> None:
    result: Any = tasks.fails_after_partials.enqueue()
    testing.drain()
    result.refresh()
    assert [error.exception_class_path for error in result.errors] == ["builtins.ValueError"]
    result.retry()
    testing.drain()
    partials = Step.objects.filter(kind=StepKind.PARTIAL).order_by("sequence").values_list("data", flat=True)
    assert list(partials) == ['"one"', '"two"', '"three"']
    assert journal.times(deeds, "between") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.seed("AW-P4")
def test_a_run_that_crashed_is_pending_and_is_resumed_after_its_finished_steps(deeds: Path, manage: Any) -> None:
    result: Any = probe.three_steps.enqueue(1)
    crash = {"DURABLE_FAULTS": "after_checkpoint:kill:2", journal.VARIABLE: str(deeds)}
    worker = manage("runtasks", **crash)
    said, _ = worker.communicate(timeout=60)
    assert worker.returncode == -signal.SIGKILL, said
    (pending,) = read.many(read.in_state(read.runs(using="default"), State.RUNNING))
    done = {checkpoint.path for checkpoint in read.checkpoints(pending.id, using="default")}

    acts.lose_worker(vendors.session("default"), pending.lease_worker)
    testing.drain()
    result.refresh()
    assert result.return_value["values"] == [10, 100, 1000]
    assert done >= {"step:first"}
    assert [journal.times(deeds, path.removeprefix("step:")) for path in done] == [1] * len(done)
