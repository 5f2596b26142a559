"""What is deleted in the end, and what never is."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from django_tasks_durable.conf import Options, RetentionPolicy
from django_tasks_durable.models import Checkpoint, OpenKey, Step, TaskRun
from django_tasks_durable.primitives.status import FINISHED, OPEN, RunStatus, StepKind
from django_tasks_durable.primitives.writes import ClaimedRun
from django_tasks_durable.store import retention, vendors
from django_tasks_durable.store.retention import Pruned
from django_tasks_durable.worker.loop import WorkerSettings
from django_tasks_durable.worker.maintenance import Maintenance
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db
DAY = 86_400
A_WEEK = RetentionPolicy(successful=7 * DAY, failed=30 * DAY, cancelled=7 * DAY)


def ended(session: vendors.Session, status: RunStatus, days: float, task: Any = tasks.echo, **options: Any) -> UUID:
    """Put a run into the store that ended so many days ago."""
    run_id = acts.enqueue(task, **options)
    when = session.now_at() - timedelta(days=days)
    TaskRun.objects.filter(id=run_id).update(status=status, finished_at=when if status in FINISHED else None)
    return run_id


def left() -> set[UUID]:
    """The ids of what is still there."""
    return set(TaskRun.objects.values_list("id", flat=True))


@pytest.mark.seed("TR-34")
def test_each_outcome_is_kept_for_its_own_time(session: vendors.Session) -> None:
    old = {status: ended(session, status, 8) for status in sorted(FINISHED)}
    young = {ended(session, status, 6) for status in sorted(FINISHED)}

    pruned = retention.prune(session, A_WEEK)

    assert left() == young | {old[RunStatus.FAILED]}
    assert (pruned.deleted_tasks, pruned.deleted_steps, pruned.compacted_tasks, pruned.cursor) == (2, 2, 0, None)
    assert set(Step.objects.values_list("run_id", flat=True)) == left()


def test_nothing_open_is_deleted_however_old(session: vendors.Session) -> None:
    for status in sorted(OPEN):
        ended(session, status, 10_000)
    everything = RetentionPolicy(successful=0, failed=0, cancelled=0, latest=1)

    assert retention.prune(session, everything) + retention.prune_surplus(session, everything) == Pruned()
    assert TaskRun.objects.count() == len(OPEN)


@pytest.mark.seed("TR-34")
def test_without_a_policy_nothing_is_deleted(session: vendors.Session) -> None:
    ended(session, RunStatus.SUCCESSFUL, 10_000)

    assert retention.prune(session, RetentionPolicy()) == Pruned()
    assert retention.prune_surplus(session, RetentionPolicy()) == Pruned()


def test_all_that_belongs_to_a_run_goes_with_it(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, acts.save(claimed.lease), acts.append(claimed.lease))
    TaskRun.objects.update(status=RunStatus.SUCCESSFUL, finished_at=session.now_at() - timedelta(days=8))

    assert retention.prune(session, A_WEEK).deleted_tasks == 1
    assert not Checkpoint.objects.exists()
    assert not Step.objects.exists()


def test_a_task_may_say_how_long_its_own_runs_are_kept_that_ended_well(session: vendors.Session) -> None:
    ended(session, RunStatus.SUCCESSFUL, 0, retention=0)
    failed = ended(session, RunStatus.FAILED, 1, retention=0)
    kept = ended(session, RunStatus.SUCCESSFUL, 8, retention=timedelta(days=9))

    retention.prune(session, A_WEEK)
    assert left() == {failed, kept}


@pytest.mark.seed("TR-34")
def test_of_each_task_and_outcome_the_newest_are_kept(session: vendors.Session) -> None:
    policy = RetentionPolicy(latest=2)
    echoes = [ended(session, RunStatus.SUCCESSFUL, 0) for _ in range(4)]
    failures = [ended(session, RunStatus.FAILED, 0) for _ in range(3)]
    others = [ended(session, RunStatus.SUCCESSFUL, 0, tasks.fails) for _ in range(2)]
    cancelled = [ended(session, RunStatus.CANCELLED, 0) for _ in range(3)]

    assert retention.prune_surplus(session, policy, dry_run=True).deleted_tasks == 3
    assert retention.prune_surplus(session, policy).deleted_tasks == 3
    assert left() == {*echoes[2:], *failures[1:], *others, *cancelled}
    assert retention.prune_surplus(session, policy) == Pruned()


@pytest.mark.seed("TR-34")
def test_of_a_long_timeline_old_log_lines_go_and_nothing_else(session: vendors.Session, claimed: ClaimedRun) -> None:
    partial = acts.append(claimed.lease, "partial", kind=StepKind.PARTIAL)
    logs = [acts.append(claimed.lease, f"line {number}") for number in range(10)]
    acts.hand_in(session, claimed, partial, acts.save(claimed.lease), *logs)

    pruned = retention.prune(session, RetentionPolicy(steps=4))

    # enqueued, partial, step and ten log lines: six of these are older than the newest four lines.
    assert (pruned.deleted_steps, pruned.compacted_tasks, pruned.deleted_tasks) == (6, 1, 0)
    assert acts.kinds(claimed.run_id) == ["enqueued", "partial", "step", *["log"] * 4]
    run = acts.run(claimed.run_id)
    assert (run.first_sequence, run.last_sequence) == (10, 13)
    assert retention.prune(session, RetentionPolicy(steps=4)) == Pruned()
    # The attempt that is under way goes on numbering where it was.
    acts.hand_in(session, claimed, acts.append(claimed.lease, "more"))
    assert acts.sequences(claimed.run_id)[-1] == 14


def test_a_dry_run_counts_and_changes_nothing(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, *[acts.append(claimed.lease) for _ in range(9)])
    ended(session, RunStatus.SUCCESSFUL, 8)
    before = acts.everything()

    policy = RetentionPolicy(successful=7 * DAY, steps=3)
    told = retention.prune(session, policy, dry_run=True)
    assert acts.everything() == before
    assert told == retention.prune(session, policy)
    assert (told.deleted_tasks, told.compacted_tasks) == (1, 1)


def test_a_run_stays_while_its_idempotency_key_stands_for_it(session: vendors.Session) -> None:
    run_id = acts.enqueue(idempotency_key="order 7")
    TaskRun.objects.update(status=RunStatus.SUCCESSFUL, finished_at=session.now_at() - timedelta(days=8))

    assert retention.prune(session, A_WEEK).deleted_tasks == 0
    OpenKey.objects.update(expires_at=session.now_at() - timedelta(seconds=1))
    assert retention.prune(session, A_WEEK).deleted_tasks == 1
    assert run_id not in left()
    assert not OpenKey.objects.exists()


def test_a_child_stays_while_its_parent_has_not_come_to_its_end(session: vendors.Session) -> None:
    parent, child = ended(session, RunStatus.WAITING, 0), ended(session, RunStatus.SUCCESSFUL, 8)
    TaskRun.objects.filter(id=child).update(parent_id=parent)
    TaskRun.objects.filter(id=parent).update(status=RunStatus.WAITING)

    assert retention.prune(session, A_WEEK).deleted_tasks == 0
    TaskRun.objects.filter(id=parent).update(status=RunStatus.SUCCESSFUL, finished_at=session.now_at())
    assert retention.prune(session, A_WEEK).deleted_tasks == 1
    assert left() == {parent}


def test_bites_go_on_where_the_last_one_ended(session: vendors.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BITE", 3)
    for _ in range(7):
        ended(session, RunStatus.SUCCESSFUL, 8)
    young = ended(session, RunStatus.SUCCESSFUL, 1)

    bites = [retention.prune(session, A_WEEK)]
    while bites[-1].cursor is not None:
        bites.append(retention.prune(session, A_WEEK, after=bites[-1].cursor))
    assert [bite.deleted_tasks for bite in bites] == [3, 3, 1]
    assert left() == {young}


@pytest.mark.databases("postgresql", "mysql")
@pytest.mark.django_db(transaction=True)
def test_a_run_that_somebody_is_retrying_is_left_alone(
    session: vendors.Session, other_session: vendors.Session
) -> None:
    held, free = (ended(session, RunStatus.FAILED, 40) for _ in range(2))
    with transaction.atomic():
        list(TaskRun.objects.select_for_update().filter(id=held))
        assert retention.prune(other_session, A_WEEK).deleted_tasks == 1
    assert left() == {held}
    assert free not in left()


@pytest.mark.django_db(transaction=True)
def test_a_run_that_was_retried_meanwhile_is_looked_at_again(
    session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = ended(session, RunStatus.FAILED, 40)
    look = retention._look

    def look_then_retry(*args: Any) -> Any:
        rows = look(*args)
        TaskRun.objects.filter(id=run_id).update(status=RunStatus.READY)
        return rows

    monkeypatch.setattr(retention, "_look", look_then_retry)
    assert retention.prune(session, A_WEEK).deleted_tasks == 0
    assert left() == {run_id}


def test_it_takes_a_bounded_number_of_statements(session: vendors.Session, django_assert_max_num_queries: Any) -> None:
    for _ in range(60):
        ended(session, RunStatus.SUCCESSFUL, 8)
    with django_assert_max_num_queries(13):
        retention.prune(session, A_WEEK)
    assert left() == set()


def test_a_worker_prunes_by_itself_where_something_is_to_be_deleted(
    session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(session, RunStatus.SUCCESSFUL, 8)
    worker = SimpleNamespace(
        options=Options(retention=A_WEEK),
        settings=WorkerSettings(scheduler=False),
        using="default",
        wanted=acts.wanted,
        writer=SimpleNamespace(wake=lambda: None),
        look_again=lambda: None,
    )
    chores = Maintenance(worker)
    chores.turn(session)
    assert left() == set()

    # With nothing to delete by, the table is not even looked at.
    ended(session, RunStatus.SUCCESSFUL, 8)
    worker.options = Options()
    monkeypatch.setattr(retention, "prune", pytest.fail)
    idle = Maintenance(worker)
    idle.turn(session)
    assert len(left()) == 1
