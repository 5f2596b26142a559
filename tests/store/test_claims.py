"""Workers: what a claim takes, and what it leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.authoring.pins import Pin
from django_tasks_durable.models import Checkpoint, TaskRun
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, WakeReason
from django_tasks_durable.store import claims, intake, maintenance, vendors
from django_tasks_durable.store.claims import WorkerDeclaredDead
from tests.probe import tasks
from tests.store import acts


@pytest.fixture(autouse=True)
def registered(session: vendors.Session) -> str:
    """Enter the worker that claims."""
    return acts.register(session)


def test_a_claim_gives_the_run_to_the_worker_under_a_new_token(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.echo, "hello")
    (claimed,) = acts.claim(session)

    row = acts.run(run_id)
    assert (row.status, row.lease_worker, row.lease_token, row.version) == (RunStatus.CLAIMED, acts.WORKER, 1, 2)
    assert (claimed.run_id, claimed.lease.token, claimed.args) == (run_id, 1, row.args)
    assert claimed.enqueued_at == row.enqueued_at
    assert claimed.is_fresh
    assert claimed.now_at >= claimed.enqueued_at
    assert claimed.last_sequence == 1


def test_a_claimed_run_is_not_claimed_again(session: vendors.Session) -> None:
    acts.enqueue()

    assert len(acts.claim(session)) == 1
    assert acts.claim(session) == []


def test_only_known_tasks_are_claimed(session: vendors.Session) -> None:
    acts.enqueue(tasks.add, 1, 2)
    known = acts.enqueue(tasks.echo)

    assert [run.run_id for run in acts.claim(session, task_paths=["tests.probe.tasks.echo"])] == [known]


def test_a_worker_that_knows_nothing_claims_nothing(session: vendors.Session) -> None:
    acts.enqueue()

    assert acts.claim(session, task_paths=[]) == []


def test_only_served_queues_are_claimed(session: vendors.Session) -> None:
    here, there = acts.enqueue(), acts.enqueue(tasks.elsewhere)

    assert [run.run_id for run in acts.claim(session, queues=["other"])] == [there]
    assert [run.run_id for run in acts.claim(session, queues=["default"])] == [here]


def test_excluded_queues_are_left(session: vendors.Session) -> None:
    acts.enqueue()
    there = acts.enqueue(tasks.elsewhere)

    assert [run.run_id for run in acts.claim(session, excluded_queues=["default"])] == [there]


def test_the_higher_priority_goes_first_across_queues(session: vendors.Session) -> None:
    low = acts.enqueue(tasks.echo, priority=-5)
    high = acts.enqueue(tasks.elsewhere, priority=9)
    middle = acts.enqueue(tasks.echo, priority=0)

    assert [run.run_id for run in acts.claim(session)] == [high, middle, low]


def test_the_earlier_due_goes_first(session: vendors.Session) -> None:
    first, second, third = (acts.enqueue() for _ in range(3))
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    TaskRun.objects.filter(pk=third).update(due_at=long_ago)
    TaskRun.objects.filter(pk=first).update(due_at=long_ago + timedelta(hours=1))

    assert [run.run_id for run in acts.claim(session, limit=1)] == [third]
    assert [run.run_id for run in acts.claim(session)] == [first, second]


def test_what_is_claimed_together_comes_in_order(session: vendors.Session) -> None:
    ids = [acts.enqueue() for _ in range(6)]
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    for place, run_id in enumerate(reversed(ids)):
        TaskRun.objects.filter(pk=run_id).update(due_at=long_ago + timedelta(hours=place))

    assert [run.run_id for run in acts.claim(session)] == list(reversed(ids))


def test_the_limit_is_kept_and_the_rest_stays_in_order(session: vendors.Session) -> None:
    ids = intake.enqueue_many(tasks.echo, [((n,), {}) for n in range(5)], using="default", backend_alias="default")

    assert [run.run_id for run in acts.claim(session, limit=2)] == ids[:2]
    assert [run.run_id for run in acts.claim(session, limit=9)] == ids[2:]
    assert acts.claim(session, limit=0) == []


def test_a_limit_reaches_over_several_priorities(session: vendors.Session) -> None:
    for priority in (3, 2, 1):
        acts.enqueue(tasks.echo, priority=priority)
        acts.enqueue(tasks.echo, priority=priority)

    assert [run.priority for run in acts.claim(session, limit=3)] == [3, 3, 2]


def test_a_run_that_was_lost_before_is_left_by_a_prefetch(session: vendors.Session) -> None:
    run_id = acts.enqueue()
    TaskRun.objects.filter(pk=run_id).update(crashes=1)

    assert acts.claim(session, takes_crashed=False) == []
    assert [run.run_id for run in acts.claim(session)] == [run_id]


def test_a_worker_declared_dead_claims_nothing(session: vendors.Session) -> None:
    acts.enqueue()
    session.execute(f"UPDATE durable_tasks_worker SET dead_at = {session.now}")

    with pytest.raises(WorkerDeclaredDead):
        acts.claim(session)
    assert TaskRun.objects.get().status == RunStatus.READY


@pytest.mark.seed("TR-37")
def test_an_unknown_task_stays_queued_and_is_pushed_out_of_the_way(session: vendors.Session) -> None:
    unknown, known = acts.enqueue(), acts.enqueue(tasks.add, 1, 2)
    minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    TaskRun.objects.update(due_at=minute_ago)
    wanted = claims.Wanted(worker_id=acts.WORKER, task_paths=["tests.probe.tasks.add"])

    assert maintenance.push_unknown_heads(session, wanted) == 1

    row = acts.run(unknown)
    assert row.status == RunStatus.READY
    assert timedelta(seconds=25) < row.due_at - datetime.now(UTC) < timedelta(seconds=65)
    assert row.run_after is None
    assert acts.run(known).due_at < datetime.now(UTC)


def test_an_unknown_task_that_has_only_just_come_is_not_pushed(session: vendors.Session) -> None:
    acts.enqueue()
    wanted = claims.Wanted(worker_id=acts.WORKER, task_paths=["tests.probe.tasks.add"])

    assert maintenance.push_unknown_heads(session, wanted) == 0


def test_unknown_tasks_of_queues_that_are_not_served_are_not_pushed(session: vendors.Session) -> None:
    acts.enqueue(tasks.elsewhere)
    TaskRun.objects.update(due_at=datetime.now(UTC) - timedelta(minutes=1))
    wanted = claims.Wanted(worker_id=acts.WORKER, task_paths=["tests.probe.tasks.add"], queues=["default"])

    assert maintenance.push_unknown_heads(session, wanted) == 0


def of_version(version: int, task: Any = tasks.echo, *, is_begun: bool = True) -> UUID:
    """Enqueue a run whose history is of a version of its code."""
    run_id = acts.enqueue(task)
    started_at = datetime.now(UTC) if is_begun else None
    TaskRun.objects.filter(pk=run_id).update(code_version=version, started_at=started_at)
    return run_id


@pytest.mark.parametrize("task", [tasks.echo, tasks.in_pairs])
def test_runs_that_are_pinned_to_another_version_are_left_alone(session: vendors.Session, task: Any) -> None:
    """``in_pairs`` has a limit, so its runs wait in a lane."""
    first, second, third = (of_version(version, task) for version in (1, 2, 3))
    pins = {task.module_path: Pin(2)}

    assert [run.run_id for run in acts.claim(session, pins=pins)] == [second]
    assert acts.claim(session, pins=pins) == []
    assert [acts.run(run_id).lease_token for run_id in (first, third)] == [0, 0]
    assert acts.claim(session)[0].run_id == first


def test_a_pinned_run_that_a_migration_leads_on_is_claimed(session: vendors.Session) -> None:
    of_version(1)
    second, third = of_version(2), of_version(3)

    pins = {tasks.echo.module_path: Pin(3, led_from=(2,))}
    assert [run.run_id for run in acts.claim(session, pins=pins)] == [second, third]


def test_a_pinned_run_that_nobody_has_begun_takes_the_newer_version(session: vendors.Session) -> None:
    older = of_version(1, is_begun=False)
    of_version(3, is_begun=False)
    fork = of_version(1, is_begun=False)
    Checkpoint.objects.create(
        run_id=fork,
        path="step:load",
        kind=CheckpointKind.STEP,
        position=1,
        value="1",
        created_at=acts.run(fork).enqueued_at,
    )

    assert [run.run_id for run in acts.claim(session, pins={tasks.echo.module_path: Pin(2)})] == [older]


def test_a_pin_holds_nobody_else_back(session: vendors.Session) -> None:
    other = of_version(7, tasks.elsewhere)

    assert [run.run_id for run in acts.claim(session, pins={tasks.echo.module_path: Pin(2)})] == [other]


def test_a_run_pinned_to_another_version_is_pushed_out_of_the_way_and_says_so(session: vendors.Session) -> None:
    pinned, own = of_version(1), of_version(2)
    minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    TaskRun.objects.update(due_at=minute_ago)
    wanted = acts.wanted(pins={tasks.echo.module_path: Pin(2)})

    assert maintenance.is_anything_astray(session, wanted)
    assert maintenance.push_unknown_heads(session, wanted) == 1

    row = acts.run(pinned)
    assert (row.status, row.wake_reason, row.lease_token) == (RunStatus.READY, WakeReason.VERSION, 0)
    assert timedelta(seconds=25) < row.due_at - datetime.now(UTC) < timedelta(seconds=65)
    assert acts.run(own).due_at < datetime.now(UTC)


def test_an_empty_queue_costs_one_look_and_no_lock(session: vendors.Session) -> None:
    wanted = claims.Wanted(worker_id=acts.WORKER, task_paths=acts.PATHS)
    with CaptureQueriesContext(connection) as captured:
        assert claims.claim(session, wanted, limit=10) == []

    assert len(captured) == 1
    assert "FOR" not in captured[0]["sql"].split("READY")[-1]


LOCKS = {"postgresql": "FOR NO KEY UPDATE SKIP LOCKED", "mysql": "FOR UPDATE SKIP LOCKED"}


@pytest.mark.databases("postgresql", "mysql")
def test_a_claim_never_waits_for_a_row(session: vendors.Session) -> None:
    acts.enqueue()
    with CaptureQueriesContext(connection) as captured:
        acts.claim(session)

    statements = [query["sql"] for query in captured]
    assert any(LOCKS[connection.vendor] in sql and "taskrun" in sql for sql in statements), statements
    assert not any(sql.rstrip().endswith("FOR UPDATE") for sql in statements)


def test_names_that_differ_by_case_are_different_names(session: vendors.Session) -> None:
    acts.enqueue(tasks.echo, 1)
    TaskRun.objects.update(task_path=tasks.echo.module_path.upper())

    assert acts.claim(session) == []
