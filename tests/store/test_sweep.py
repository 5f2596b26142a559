"""Dead workers: their runs are taken back, counted only where a body was running."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest

from django_tasks_durable import testing
from django_tasks_durable.models import TaskRun, Worker
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import ClaimedRun, Started, Succeeded
from django_tasks_durable.store import control, intake, vendors, workers
from tests.probe import tasks
from tests.store import acts


def silence(session: vendors.Session, seconds: float, worker_id: str = acts.WORKER) -> None:
    """Let a worker's last heartbeat be some time ago."""
    now = session.now_at()
    Worker.objects.filter(pk=worker_id).update(heartbeat_at=now - timedelta(seconds=seconds))


def test_a_worker_is_declared_dead_when_its_lease_is_over_and_not_before(session: vendors.Session) -> None:
    acts.register(session, "quiet", lease_seconds=30)
    acts.register(session, "patient", lease_seconds=60)
    silence(session, 25, "quiet")
    silence(session, 40, "patient")
    assert workers.declare_dead(session) == []

    silence(session, 31, "quiet")
    assert workers.declare_dead(session) == ["quiet"]
    assert workers.declare_dead(session) == []
    assert not workers.beat(session, "quiet").alive
    assert workers.beat(session, "patient").alive


def test_a_fraction_of_a_second_counts(session: vendors.Session) -> None:
    acts.register(session, lease_seconds=1.5)
    silence(session, 1.2)
    assert workers.declare_dead(session) == []

    silence(session, 1.8)
    assert workers.declare_dead(session) == [acts.WORKER]


@pytest.mark.seed("TR-12")
def test_a_heartbeat_hears_of_cancellations_of_its_own_runs(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.register(session, "worker-2")
    control.cancel(claimed.run_id, using="default", reason="enough")

    heard = workers.beat(session, acts.WORKER)
    assert heard.alive
    assert heard.cancelled == ((claimed.run_id, claimed.lease.token, "enough"),)
    assert workers.beat(session, "worker-2").cancelled == ()


def test_the_runs_of_a_living_worker_are_left(session: vendors.Session, claimed: ClaimedRun) -> None:
    assert workers.sweep(session) == []
    assert acts.run(claimed.run_id).status == RunStatus.CLAIMED


def test_a_run_whose_body_had_not_begun_is_given_back_uncounted(session: vendors.Session, claimed: ClaimedRun) -> None:
    assert acts.lose_worker(session) == [claimed.run_id]

    row = acts.run(claimed.run_id)
    assert (row.status, row.wake_reason) == (RunStatus.READY, WakeReason.STALE)
    assert (row.crashes, row.deliveries, row.attempts) == (1, 0, 0)
    assert row.lease_token == claimed.lease.token + 1
    assert acts.kinds(row.id)[-1] == StepKind.STALE
    assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))


def test_a_run_whose_body_was_running_counts_a_delivery(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    acts.lose_worker(session)

    row = acts.run(claimed.run_id)
    assert (row.status, row.crashes, row.deliveries, row.attempts) == (RunStatus.READY, 1, 1, 0)


@pytest.mark.seed("TR-13")
def test_a_run_that_is_lost_each_time_fails_and_says_so(session: vendors.Session) -> None:
    acts.register(session)
    run_id = acts.enqueue()
    for delivery in (1, 2, 3):
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, Started(lease=claimed.lease))
        acts.lose_worker(session)
        assert acts.run(run_id).deliveries == delivery

    row = acts.run(run_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, "CRASHED")
    assert row.finished_at is not None
    (error,) = json.loads(row.errors)
    assert error["code"] == "CRASHED"
    assert "3 time(s)" in error["message"]
    assert acts.kinds(run_id)[-1] == StepKind.FAILED


def test_a_neighbour_that_never_began_does_not_fail_however_often(session: vendors.Session) -> None:
    acts.register(session)
    run_id = acts.enqueue()
    for _ in range(6):
        acts.claim(session)
        acts.lose_worker(session)

    row = acts.run(run_id)
    assert (row.status, row.crashes, row.deliveries) == (RunStatus.READY, 6, 0)


def test_a_checkpoint_between_crashes_starts_the_count_anew(session: vendors.Session) -> None:
    acts.register(session)
    run_id = acts.enqueue()
    for number in range(5):
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.save(claimed.lease, f"step:{number}"))
        acts.lose_worker(session)

    row = acts.run(run_id)
    assert (row.status, row.deliveries) == (RunStatus.READY, 1)


@pytest.mark.seed("TR-13")
def test_a_lost_run_that_was_to_be_cancelled_is(session: vendors.Session, claimed: ClaimedRun) -> None:
    control.cancel(claimed.run_id, using="default")
    acts.lose_worker(session)

    row = acts.run(claimed.run_id)
    assert row.status == RunStatus.CANCELLED
    assert row.finished_at is not None


def test_a_lost_run_that_was_to_be_undone_when_cancelled_is_given_back_for_it(session: vendors.Session) -> None:
    acts.register(session)
    acts.enqueue(compensate_on_cancel=True)
    claimed = acts.claim(session)[0]
    control.cancel(claimed.run_id, using="default")
    acts.lose_worker(session)

    assert acts.run(claimed.run_id).status == RunStatus.READY
    second = acts.claim(session)[0]
    assert workers.give_back_orphans(session, acts.WORKER, held=[]) == [second.run_id]
    row = acts.run(claimed.run_id)
    assert (row.status, row.cancel_requested_at is None) == (RunStatus.READY, False)


def test_what_ended_before_the_sweep_stays(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))

    assert acts.lose_worker(session) == []
    assert acts.run(claimed.run_id).status == RunStatus.SUCCESSFUL


def test_a_sweep_takes_all_however_many(session: vendors.Session) -> None:
    acts.register(session)
    calls = [((number,), {}) for number in range(450)]
    intake.enqueue_many(tasks.echo, calls, using="default", backend_alias="default")
    assert len(acts.claim(session, limit=1000)) == 450

    swept = acts.lose_worker(session)
    assert len(set(swept)) == 450
    assert TaskRun.objects.filter(status=RunStatus.READY).count() == 450


def test_a_worker_that_leaves_is_dead_and_keeps_its_row(session: vendors.Session) -> None:
    acts.register(session)
    workers.leave(session, acts.WORKER)

    row = Worker.objects.get()
    assert row.stopped_at is not None
    assert row.dead_at is not None
    assert not workers.beat(session, acts.WORKER).alive


@pytest.mark.seed("TR-13")
@pytest.mark.parametrize("reached", [RunStatus.CLAIMED, RunStatus.RUNNING])
def test_a_lost_run_is_due_at_once(session: vendors.Session, claimed: ClaimedRun, reached: RunStatus) -> None:
    if reached is RunStatus.RUNNING:
        acts.hand_in(session, claimed, Started(lease=claimed.lease))
    acts.lose_worker(session)

    (again,) = acts.claim(session)
    assert again.crashes == 1
    assert isinstance(again.run_id, UUID)


def test_a_heartbeat_is_dated_by_the_clock_that_judges_it(session: vendors.Session) -> None:
    with testing.frozen():
        acts.register(session, lease_seconds=30)
        for _ in range(3):
            testing.advance(29)
            assert workers.beat(session, acts.WORKER).alive
            assert workers.declare_dead(session) == []
        testing.advance(31)
        assert workers.declare_dead(session) == [acts.WORKER]
