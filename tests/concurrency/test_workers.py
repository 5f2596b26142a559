"""A worker that is swept while it claims, beats or finishes."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.models import Step, TaskRun, Worker
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.primitives.writes import Started, Succeeded, Verdict
from django_tasks_durable.store import claims, vendors, workers
from django_tasks_durable.store.claims import WorkerDeclaredDead
from django_tasks_durable.store.commit import BUSY
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.store import acts

WANTED = claims.Wanted(worker_id=acts.WORKER, task_paths=acts.PATHS)


def silence(session: vendors.Session) -> None:
    """Let the worker's last heartbeat be long ago."""
    Worker.objects.update(heartbeat_at=session.now_at() - timedelta(hours=1))


@pytest.mark.databases("postgresql", "mysql")
def test_a_worker_that_claims_right_now_is_not_declared_dead(
    session: vendors.Session, other_session: vendors.Session
) -> None:
    """Locking rule 5: otherwise the claim commits after the sweep has passed, for a worker that is dead."""
    acts.register(session)
    acts.enqueue()
    silence(session)
    with other_session.transaction():
        (claimed,) = claims.claim(other_session, WANTED, limit=1)
        assert workers.declare_dead(session) == []
    assert workers.declare_dead(session) == [acts.WORKER]

    assert workers.sweep(session) == [claimed.run_id]


def test_a_worker_that_was_declared_dead_claims_nothing(session: vendors.Session) -> None:
    acts.register(session)
    acts.enqueue()
    silence(session)
    assert workers.declare_dead(session) == [acts.WORKER]

    with pytest.raises(WorkerDeclaredDead):
        acts.claim(session)


def test_a_claim_and_a_sweep_at_once_leave_no_run_with_the_dead(session: vendors.Session) -> None:
    for _ in range(TRIALS):
        acts.register(session)
        run_id = acts.enqueue()
        silence(session)

        def claim(own: vendors.Session) -> object:
            try:
                return acts.claim(own)
            except WorkerDeclaredDead:
                return None

        def sweep(own: vendors.Session) -> object:
            dead = workers.declare_dead(own)
            # A worker that was passed over is asked again, as maintenance does at its next turn.
            return workers.sweep(own) if dead else dead

        side_by_side(claim, sweep)
        workers.declare_dead(session)
        workers.sweep(session)

        row = acts.run(run_id)
        assert row.status == RunStatus.READY
        assert acts.sequences(run_id) == list(range(1, row.last_sequence + 1))
        Worker.objects.all().delete()
        Step.objects.all().delete()
        TaskRun.objects.all().delete()


@pytest.mark.seed("TR-13")
@pytest.mark.databases("postgresql", "mysql")
def test_a_worker_whose_heartbeat_is_on_its_way_is_passed_over(
    session: vendors.Session, other_session: vendors.Session
) -> None:
    acts.register(session)
    silence(session)
    with other_session.transaction():
        assert workers.beat(other_session, acts.WORKER).alive
        assert workers.declare_dead(session) == []

    assert workers.declare_dead(session) == []


def test_of_a_sweep_and_a_success_at_once_one_wins(session: vendors.Session) -> None:
    acts.register(session)
    acts.register(session, "ghost")
    for _ in range(TRIALS):
        run_id = acts.enqueue()
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, Started(lease=claimed.lease))
        Worker.objects.filter(pk=acts.WORKER).update(dead_at=session.now_at())

        def finish(own: vendors.Session, claimed: object = claimed) -> object:
            while (answer := acts.hand_in(own, claimed, Succeeded(lease=claimed.lease, result="1"))) is BUSY:  # type: ignore[arg-type,attr-defined]
                pass
            return answer

        answer, _ = side_by_side(finish, workers.sweep)
        workers.sweep(session)

        row = acts.run(run_id)
        told = [kind for kind in acts.kinds(run_id) if kind in {StepKind.SUCCEEDED, StepKind.STALE}]
        assert len(told) == 1
        if isinstance(answer, Verdict):
            assert (row.status, row.crashes, told) == (RunStatus.SUCCESSFUL, 0, [StepKind.SUCCEEDED])
        else:
            assert isinstance(answer, LeaseLost)
            assert (row.status, row.crashes, told) == (RunStatus.READY, 1, [StepKind.STALE])
        Worker.objects.filter(pk=acts.WORKER).update(dead_at=None)
        TaskRun.objects.filter(pk=run_id).update(status=RunStatus.CANCELLED)


def test_two_sweepers_count_a_crash_once(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(5):
        ids = [acts.enqueue() for _ in range(20)]
        for claimed in acts.claim(session, limit=50):
            acts.hand_in(session, claimed, Started(lease=claimed.lease))
        Worker.objects.update(dead_at=session.now_at())
        swept = side_by_side(workers.sweep, workers.sweep, workers.sweep)

        assert sorted(run_id for batch in swept for run_id in batch) == sorted(ids)
        assert set(TaskRun.objects.filter(pk__in=ids).values_list("crashes", "deliveries")) == {(1, 1)}
        Worker.objects.update(dead_at=None)
        TaskRun.objects.update(status=RunStatus.CANCELLED)


def test_two_workers_declare_one_death(session: vendors.Session) -> None:
    for _ in range(TRIALS):
        acts.register(session)
        silence(session)
        found = side_by_side(workers.declare_dead, workers.declare_dead)

        assert sorted(name for batch in found for name in batch) == [acts.WORKER]
        Worker.objects.all().delete()


def test_a_register_of_the_same_name_is_another_row(session: vendors.Session) -> None:
    from django_tasks_durable.primitives.ids import new_worker_id

    names = {new_worker_id("night shift") for _ in range(50)}
    assert len(names) == 50
    side_by_side(*(partial(acts.register, worker_id=name) for name in sorted(names)[:4]))
    assert Worker.objects.count() == 4
