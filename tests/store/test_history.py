"""``history="failures"``: a run that goes well leaves nothing in its timeline; one that does not tells all from there on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_tasks_durable import task
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.models import Checkpoint, Rollup, Step
from django_tasks_durable.primitives.spans import Grain
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.primitives.writes import Cancelled, ClaimedRun, Started, Succeeded
from django_tasks_durable.snapshots import charts, read
from django_tasks_durable.snapshots.charts import Window
from django_tasks_durable.store import rollups, vendors
from django_tasks_durable.store.commit import committed
from django_tasks_durable.store.deltas import Delta
from django_tasks_durable.testing import advance, drain, frozen
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db


def quiet(task: Any, **options: Any) -> Any:
    return task.using(history="failures", **options)


@pytest.fixture
def silent(session: vendors.Session) -> ClaimedRun:
    """Claim a run that keeps only failures."""
    acts.register(session)
    acts.enqueue(tasks.echo, history="failures")
    return acts.claim(session)[0]


def test_a_run_that_goes_well_leaves_its_result_and_no_line(session: vendors.Session) -> None:
    result = quiet(tasks.echo).enqueue(7)
    drain()

    assert acts.kinds(result.id) == []
    row = acts.run(result.id)
    assert (row.status, row.result, row.last_sequence, row.first_sequence) == (RunStatus.SUCCESSFUL, "7", 0, 1)
    assert row.started_at is not None
    assert row.finished_at is not None
    snapshot = read.one(result.id, using="default")
    assert (snapshot.state, snapshot.worker_ids) == ("succeeded", [row.lease_worker])


def test_so_do_many_at_once_and_one_with_a_key(session: vendors.Session) -> None:
    quiet(tasks.echo).enqueue_many([((number,), {}) for number in range(3)])
    quiet(tasks.echo, dedupe_key="one").enqueue(3)
    assert not Step.objects.exists()
    drain()
    assert not Step.objects.exists()


def test_steps_are_remembered_without_a_line(session: vendors.Session) -> None:
    result = quiet(tasks.three_steps).enqueue()
    drain()

    assert acts.kinds(result.id) == []
    assert Checkpoint.objects.filter(run_id=result.id).count() == 3
    assert acts.run(result.id).status == RunStatus.SUCCESSFUL


def test_atomic_steps_too(session: vendors.Session) -> None:
    result = quiet(tasks.atomic_steps).enqueue()
    drain()

    assert acts.kinds(result.id) == []
    assert acts.run(result.id).status == RunStatus.SUCCESSFUL


def test_what_the_task_says_itself_is_kept(session: vendors.Session) -> None:
    streamed = quiet(tasks.partials).enqueue(2)
    drain()

    assert acts.kinds(streamed.id) == ["partial", "partial"]
    assert acts.sequences(streamed.id) == [1, 2]


def test_a_line_of_its_log_is_kept_whatever_its_kind(session: vendors.Session, silent: ClaimedRun) -> None:
    acts.hand_in(session, silent, acts.append(silent.lease), acts.append(silent.lease, kind=StepKind.STEP))
    assert acts.kinds(silent.run_id) == ["log", "step"]


def test_a_failure_is_told_and_so_is_all_that_follows(session: vendors.Session) -> None:
    result = quiet(tasks.fails, max_attempts=2).enqueue()
    with frozen():
        drain()
        assert acts.kinds(result.id) == ["retried"]
        advance(3600)
        drain()

    assert acts.kinds(result.id) == ["retried", "claimed", "started", "failed"]
    assert acts.run(result.id).status == RunStatus.FAILED
    result.retry()
    assert acts.kinds(result.id)[4] == "audit"


def test_a_wait_is_told_by_nothing_but_its_question_and_an_answer_by_its_line(session: vendors.Session) -> None:
    result = quiet(tasks.asks).enqueue()
    drain()
    assert acts.run(result.id).status == RunStatus.WAITING
    assert acts.kinds(result.id) == []

    result.resume({"message": "go"})
    drain()
    assert acts.kinds(result.id) == ["resumed"]
    assert acts.run(result.id).status == RunStatus.SUCCESSFUL


def test_a_cancellation_is_told(session: vendors.Session, silent: ClaimedRun) -> None:
    acts.hand_in(session, silent, Started(lease=silent.lease), Cancelled(lease=silent.lease, reason="enough"))
    assert acts.kinds(silent.run_id) == ["cancelled"]


@pytest.mark.parametrize("ends", ["waiting", "sleeping"])
def test_a_cancellation_that_comes_before_a_wait_is_told(
    session: vendors.Session, silent: ClaimedRun, ends: str
) -> None:
    session.execute(f"UPDATE durable_tasks_taskrun SET cancel_requested_at = {session.now}")
    acts.hand_in(session, silent, acts.append(silent.lease), acts.each_write(silent.lease, session.now_at())[ends])
    assert acts.kinds(silent.run_id) == ["log", "cancelled"]
    assert acts.run(silent.run_id).status == RunStatus.CANCELLED


def test_children_keep_what_their_own_task_says(session: vendors.Session) -> None:
    result = quiet(tasks.parent).enqueue(2)
    drain()

    assert acts.run(result.id).status == RunStatus.SUCCESSFUL
    assert acts.kinds(result.id) == []
    assert Step.objects.filter(kind="enqueued").count() == 2  # the children's task keeps every line


def test_a_lost_worker_is_told(session: vendors.Session, silent: ClaimedRun) -> None:
    acts.lose_worker(session)
    assert acts.kinds(silent.run_id) == ["stale"]
    again = acts.claim(session)[0]
    acts.hand_in(session, again, Started(lease=again.lease), Succeeded(lease=again.lease, result="1"))
    assert acts.kinds(silent.run_id) == ["stale", "claimed", "started", "succeeded"]


@pytest.mark.parametrize("kind", [kind for kind in acts.WRITE_KINDS if kind not in ("progress", "started")])
def test_what_was_committed_before_an_answer_was_lost_is_recognised(
    session: vendors.Session, silent: ClaimedRun, kind: str
) -> None:
    write = acts.each_write(silent.lease, silent.now_at + timedelta(hours=1))[kind]
    delta = Delta(silent, acts.WORKER)
    delta.add(write)
    known = {silent.run_id: silent.last_sequence}

    assert not committed(session, [delta], known)
    acts.hand_in(session, silent, write)
    assert committed(session, [delta], known)[silent.run_id].status == acts.run(silent.run_id).status


def test_the_outcome_of_a_later_lease_is_not_mistaken_for_it(session: vendors.Session, silent: ClaimedRun) -> None:
    acts.lose_worker(session)
    again = acts.claim(session)[0]
    acts.hand_in(session, again, Succeeded(lease=again.lease, result="2"))
    delta = Delta(silent, acts.WORKER)
    delta.add(Succeeded(lease=silent.lease, result="1"))

    assert not committed(session, [delta], {silent.run_id: silent.last_sequence})


def test_charts_count_what_no_line_tells(session: vendors.Session) -> None:
    kind = rollups.Kind("tests.probe.tasks.echo", "default")
    rollups.add_untold(session, {kind: 3}, {kind: 3})
    rollups.add_untold(session, {kind: 2}, {kind: 1})

    assert {row.grain for row in Rollup.objects.all()} == {Grain.MINUTE, Grain.HOUR}
    chart = charts.chart(Window.DAY, using="default")
    assert (chart.total.started, chart.total.succeeded, chart.total.failed) == (5, 4, 0)


def test_another_word_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match="history='none': give 'full' for every line, or 'failures'"):
        task(history="none")(len)
    with pytest.raises(ValueError, match="history=True"):
        tasks.echo.using(history=True)


def test_it_is_kept_with_the_run(session: vendors.Session) -> None:
    assert options_of(tasks.echo).snapshot() == "{}"
    assert options_of(quiet(tasks.echo)).snapshot() == '{"history":"failures"}'
