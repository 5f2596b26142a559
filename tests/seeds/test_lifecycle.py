"""The life of a run, as those hear of it who listen: the names, their order, and what comes with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import Backoff, channel, get_context, log, progress, signals, task, testing
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.bootstrap import TaskQuery, bootstrap
from django_tasks_durable.snapshots.entries import Entry, as_entry
from django_tasks_durable.store import control, vendors
from tests.store import acts

pytestmark = pytest.mark.django_db
USING = "default"


@task(max_attempts=2, backoff=Backoff(first=0, jitter=0))
def lives(fails: bool) -> str:
    """Do one of each: progress, a step, an attempt that fails, a question."""
    context = get_context()
    context.step("load", str, "page")
    if context.attempt == 1:
        raise OSError("not yet")
    progress(10, "loaded")
    context.wait("go")
    if fails:
        raise ValueError("no")
    return "done"


@task
def report(name: str) -> str:
    """Say how far it is, and one line."""
    progress(50, "half")
    log("Source downloaded", kind="step", level="success")
    return name


@pytest.fixture
def heard() -> Iterator[list[Entry]]:
    """What a receiver of the lifecycle hears."""
    entries: list[Entry] = []

    def hear(using: str, entry: Entry, **kwargs: Any) -> None:
        assert using == USING
        entries.append(entry)

    signals.lifecycle.connect(hear)
    yield entries
    signals.lifecycle.disconnect(hear)


@pytest.mark.seed("TR-29")
@pytest.mark.parametrize(("fails", "end"), [(False, "succeeded"), (True, "failed")])
def test_the_names_of_a_life_come_in_their_order_and_the_end_is_last(heard: list[Entry], fails: bool, end: str) -> None:
    run_id = lives.enqueue(fails).run_id
    testing.drain()
    control.resume(run_id, "go", using=USING)
    testing.drain()

    told = [entry.type for entry in heard]
    assert [name for name in told if name != "progress"] == [
        "enqueued", "claimed", "started", "step", "retried", "claimed", "started", "waiting",
        "resumed", "claimed", "started", end,
    ]  # fmt: skip
    assert told.index("retried") < told.index("progress") < told.index("resumed")
    assert told[-1] == end
    sequences = [entry.sequence for entry in heard if entry.sequence]
    assert all(after == before + 1 for before, after in pairwise(sequences))
    assert {entry.task_id for entry in heard} == {str(run_id)}


@pytest.mark.seed("TR-29")
def test_a_cancelled_run_and_one_that_lost_its_worker_are_told(heard: list[Entry]) -> None:
    session = vendors.session(USING)
    acts.register(session)
    cancelled, lost = acts.enqueue(run_after=session.now_at() + timedelta(hours=1)), acts.enqueue()
    control.cancel(cancelled, using=USING)
    acts.claim(session)
    signals.run_changed.send(None, using=USING, run_ids=[cancelled, *acts.lose_worker(session)])
    of = {run_id: [entry.type for entry in heard if entry.task_id == str(run_id)] for run_id in (cancelled, lost)}
    assert of[cancelled] == ["enqueued", "cancelled"]
    assert of[lost] == ["enqueued", "stale"]


@pytest.mark.seed("TR-29")
def test_what_comes_with_a_name_is_the_run_as_it_stood(heard: list[Entry]) -> None:
    result = report.using(dedupe_key="r", channels=[channel.scope("a")]).enqueue("x")
    testing.drain()
    first, last = heard[0].as_dict(), heard[-1].as_dict()
    assert first["channels"] == [f"task:{result.run_id}", f"kind:{__name__}.report", "dedupe:r", "scope:a"]
    assert (first["state"], last["state"], last["percent"]) == ("queued", "succeeded", 100.0)


@pytest.mark.seed("TR-29")
@pytest.mark.django_db(transaction=True)
def test_nothing_is_told_of_what_is_rolled_back(heard: list[Entry]) -> None:
    class Rollback(Exception): ...

    run_id = report.enqueue("x").run_id
    with pytest.raises(Rollback), vendors.write_transaction(USING):
        control.cancel(run_id, using=USING)
        raise Rollback
    assert heard == []
    control.cancel(run_id, using=USING)
    assert [entry.type for entry in heard] == ["enqueued", "cancelled"]


def test_runs_are_read_for_it_only_while_somebody_listens() -> None:
    listening = len(signals.run_changed.receivers)
    signals.lifecycle.connect(print)
    assert len(signals.run_changed.receivers) == listening + 1
    assert signals.lifecycle.disconnect(print)
    assert len(signals.run_changed.receivers) == listening


def test_a_receiver_that_fails_fails_no_task_and_is_logged(
    heard: list[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(**kwargs: Any) -> None:
        raise ValueError("no")

    signals.lifecycle.connect(breaks)
    try:
        result = report.enqueue("x")
        testing.drain()
    finally:
        signals.lifecycle.disconnect(breaks)
    assert result.snapshot().result == "x"
    assert heard[-1].type == "succeeded"
    assert "A receiver failed on the entry succeeded" in caplog.text


@pytest.mark.seed("TR-33")
def test_an_entry_has_these_fields(heard: list[Entry]) -> None:
    report.enqueue("x")
    testing.drain()
    (line,) = (entry.as_dict() for entry in heard if entry.type == "step")
    assert set(line) == {
        "v", "type", "level", "message", "metadata", "timestamp", "worker", "task_id", "task_path", "state", "channels", "sequence",
    }  # fmt: skip
    assert (line["level"], line["message"], line["state"]) == ("success", "Source downloaded", "running")


@pytest.mark.seed("TR-33")
def test_the_levels_of_the_ends_are_success_error_and_warning() -> None:
    succeeded, failed = report.enqueue("x").run_id, lives.using(max_attempts=1).enqueue(True).run_id
    cancelled = report.using(run_after=timedelta(hours=1)).enqueue("x").run_id
    control.cancel(cancelled, using=USING)
    testing.drain()
    levels = {}
    for run_id in (succeeded, failed, cancelled):
        entry = as_entry(read.timeline(run_id, using=USING)[-1], read.one(run_id, using=USING)).as_dict()
        levels[entry["type"]] = entry["level"]
    assert levels == {"succeeded": "success", "failed": "error", "cancelled": "warn"}


RECORD = {
    "id": "id", "kind": "task_path", "status": "status", "input": "args", "output": "result", "error": "errors",
    "metadata": "metadata", "progress_percent": "progress.percent", "progress_label": "progress.label",
    "progress_meta": "progress.meta", "dedupe_key": "keys.dedupe", "supersede_key": "keys.supersede", "channels": "channels",
    "attempt": "attempt", "max_attempts": "max_attempts", "scheduled_at": "due_at", "created_at": "enqueued_at",
    "updated_at": "version", "claimed_at": "last_attempted_at", "started_at": "started_at", "finished_at": "finished_at",
    "cancel_requested_at": "cancel_requested_at", "lease_owner": "worker", "retry_scheduled_at": "retry_at",
    "stale_at": "stale_at", "stale_reason": "stale_reason",
}  # fmt: skip


@pytest.mark.seed("TR-1", "TR-23")
def test_a_snapshot_has_all_that_a_record_had_regrouped_and_no_token_of_its_lease() -> None:
    run_id = report.using(dedupe_key="d", supersede_key="s").enqueue("x").run_id
    told = read.one(run_id, using=USING).as_dict()
    for name, place in RECORD.items():
        here: Any = told
        for part in place.split("."):
            assert part in here, name
            here = here[part]
    assert not [name for name in told if "token" in name or "lease" in name]


@pytest.mark.seed("TR-1", "TR-23")
def test_an_error_has_its_class_message_code_and_traceback_and_a_retry_its_time() -> None:
    run_id = lives.using(backoff=Backoff(first=60)).enqueue(False).run_id
    testing.drain()
    run = read.one(run_id, using=USING)
    assert run.state is State.RETRYING
    assert run.retry_at == run.due_at is not None
    (error,) = run.as_dict()["errors"]
    assert (error["exception_class_path"], error["message"], error["attempt"]) == ("builtins.OSError", "not yet", 1)
    assert "Traceback" in error["traceback"]


@pytest.mark.seed("TR-P1")
def test_a_queued_run_goes_from_end_to_end(heard: list[Entry]) -> None:
    result = report.using(dedupe_key="report:rpt_42").enqueue("rpt_42")
    testing.drain()

    query = TaskQuery(channels=[channel.dedupe("report:rpt_42")])
    shown = bootstrap(query, using=USING, steps=10)
    (run,) = shown.runs
    assert (run.id, run.state, run.percent, run.result) == (result.run_id, State.SUCCEEDED, 100.0, "rpt_42")
    assert [line.message for line in shown.lines[run.id] if line.kind == "step"] == ["Source downloaded"]
    assert channel.kind(f"{__name__}.report") in run.channels
    assert shown.aggregate is not None
    assert (shown.aggregate.total, shown.aggregate.by_state[State.SUCCEEDED]) == (1, 1)
    assert heard[-1].type == "succeeded"


def test_listening_to_fifty_runs_reads_each_a_bounded_number_of_times(heard: list[Entry]) -> None:
    asked = []
    for number in (1, 50):
        ids = [acts.enqueue() for _ in range(number)]
        with CaptureQueriesContext(connection) as queries:
            signals.run_changed.send(None, using=USING, run_ids=ids)
        asked.append(len(queries) / number)
    assert asked[1] <= asked[0]
