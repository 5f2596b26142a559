"""Parents and children in the database: born in the parent's commit, told when they end, ended with their parent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable.models import Checkpoint, TaskRun
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Awaited,
    CheckpointRecord,
    ChildRun,
    ClaimedRun,
    Line,
    Spawn,
    Started,
    Succeeded,
    Suspended,
)
from django_tasks_durable.store import children, control, history, vendors
from django_tasks_durable.testing import drain
from tests.probe import tasks
from tests.store import acts


def birth(claimed: ClaimedRun, key: str = "add", **more: Any) -> Spawn:
    """Make the fact of a child."""
    run_id = new_id()
    values: dict[str, Any] = {
        "outlives_parent": False, "task_path": "tests.probe.tasks.add", "backend": "default", "queue_name": "default",
        "priority": 0, "run_after": None, "args": "[1,2]", "kwargs": "{}", "options": "{}", "metadata": "{}",
        "max_attempts": 1, "max_deliveries": 3,
    }  # fmt: skip
    path = f"spawn:{key}"
    return Spawn(
        lease=claimed.lease,
        checkpoint=CheckpointRecord(path=path, kind=CheckpointKind.SPAWN, position=0, value=f'"{run_id}"'),
        child=ChildRun(run_id=run_id, path=path, **{**values, **more}),
        line=Line(kind=StepKind.STEP, path=path),
    )


def waiting(claimed: ClaimedRun, *ids: UUID, after: int | None = None) -> Suspended:
    """Make the suspension that waits for children."""
    return Suspended(
        lease=claimed.lease, parked=True, wake_at=None, reason=WakeReason.NONE, inbox=claimed.inbox,
        awaited=(Awaited(children=ids, after=after),),
    )  # fmt: skip


class Family:
    """A claimed parent that waits for its claimed child."""

    def __init__(self, session: vendors.Session, **more: Any) -> None:
        acts.register(session)
        acts.enqueue()
        (self.parent,) = acts.claim(session)
        born = birth(self.parent, **more)
        acts.hand_in(session, self.parent, Started(lease=self.parent.lease), born)
        self.child_id = born.child.run_id
        (self.child,) = acts.claim(session)
        acts.hand_in(session, self.child, Started(lease=self.child.lease))

    def park(self, session: vendors.Session, **more: Any) -> None:
        acts.hand_in(session, self.parent, waiting(self.parent, self.child_id, **more))


@pytest.fixture
def family(session: vendors.Session) -> Family:
    """A parent under way and its child, both claimed."""
    return Family(session)


def test_a_child_is_born_with_its_parents_checkpoint(session: vendors.Session, family: Family) -> None:
    row = acts.run(family.child_id)
    assert (row.parent_id, row.parent_path, row.args) == (family.parent.run_id, "spawn:add", "[1,2]")
    assert family.child.parent_id == family.parent.run_id
    assert Checkpoint.objects.get(run_id=family.parent.run_id).kind == "spawn"
    assert acts.kinds(family.child_id)[0] == "enqueued"


def test_no_child_is_born_of_a_lost_lease(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.lose_worker(session)
    acts.hand_in(session, claimed, birth(claimed))
    assert TaskRun.objects.count() == 1


def test_a_success_in_the_same_tick_bears_the_child_too(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(
        session, claimed, Started(lease=claimed.lease), birth(claimed), Succeeded(lease=claimed.lease, result="1")
    )
    assert acts.run(claimed.run_id).status == RunStatus.SUCCESSFUL
    assert TaskRun.objects.count() == 2


def test_a_parent_waits_until_its_child_has_ended(session: vendors.Session, family: Family) -> None:
    family.park(session)
    assert acts.run(family.parent.run_id).status == RunStatus.WAITING
    assert not children.wake_parents(session, [family.parent.run_id]).queues

    acts.hand_in(session, family.child, Succeeded(lease=family.child.lease, result="3"))
    assert children.wake_parents(session, [family.parent.run_id]).queues == {family.parent.run_id: "default"}

    row = acts.run(family.parent.run_id)
    assert (row.status, row.wake_reason) == (RunStatus.READY, WakeReason.CHILD)
    (claimed,) = acts.claim(session)
    told = history.read(session, claimed).children[family.child_id]
    assert (told.status, told.result) == (RunStatus.SUCCESSFUL, "3")


def test_a_child_that_ended_before_the_suspension_is_not_missed(session: vendors.Session, family: Family) -> None:
    """Nobody wakes a parent that runs: the suspension looks again under the lock of its row."""
    acts.hand_in(session, family.child, Succeeded(lease=family.child.lease, result="3"))
    children.wake_parents(session, [family.parent.run_id])
    family.park(session)
    row = acts.run(family.parent.run_id)
    assert (row.status, row.wake_reason) == (RunStatus.READY, WakeReason.CHILD)


def test_a_partial_wakes_a_parent_that_streams_and_no_other(session: vendors.Session, family: Family) -> None:
    family.park(session, after=0)
    acts.hand_in(session, family.child, acts.append(family.child.lease, kind=StepKind.PARTIAL))
    children.wake_parents(session, [family.parent.run_id])
    assert acts.run(family.parent.run_id).status == RunStatus.READY

    (again,) = acts.claim(session)
    acts.hand_in(session, again, waiting(again, family.child_id))
    acts.hand_in(session, family.child, acts.append(family.child.lease, kind=StepKind.PARTIAL))
    children.wake_parents(session, [family.parent.run_id])
    assert acts.run(family.parent.run_id).status == RunStatus.WAITING


@pytest.mark.databases("postgresql", "mysql")
def test_a_parent_whose_row_is_held_is_asked_for_again(
    session: vendors.Session, other_session: vendors.Session
) -> None:
    family = Family(session)
    acts.hand_in(session, family.child, Succeeded(lease=family.child.lease, result="3"))
    with other_session.transaction():
        other_session.execute(
            f"SELECT 1 FROM durable_tasks_taskrun WHERE id = %s {other_session.brand.lock}",
            (other_session.uuid(family.parent.run_id),),
        )
        assert children.wake_parents(session, [family.parent.run_id]).busy == {family.parent.run_id}
    assert not children.wake_parents(session, [family.parent.run_id]).busy


def test_a_crash_between_the_end_of_a_child_and_the_news_of_it_only_delays(
    session: vendors.Session, family: Family
) -> None:
    family.park(session)
    assert children.forgotten(session) == children.Forgotten([], [])
    acts.hand_in(session, family.child, Succeeded(lease=family.child.lease, result="3"))
    assert children.forgotten(session).to_wake == [family.parent.run_id]
    children.tend(session)
    assert acts.run(family.parent.run_id).status == RunStatus.READY
    assert children.forgotten(session) == children.Forgotten([], [])


def test_a_crash_between_the_end_of_a_parent_and_that_of_its_child_only_delays(
    session: vendors.Session, family: Family
) -> None:
    acts.hand_in(session, family.parent, acts.failed(family.parent.lease))
    assert children.forgotten(session).given_up == [family.parent.run_id]
    children.tend(session)
    row = acts.run(family.child_id)
    assert row.cancel_requested_at is not None
    assert row.cancel_reason == children.PARENT_ENDED
    assert children.forgotten(session) == children.Forgotten([], [])


def test_a_child_that_outlives_its_parent_is_left_alone(session: vendors.Session) -> None:
    family = Family(session, outlives_parent=True)
    acts.hand_in(session, family.parent, acts.failed(family.parent.lease))
    children.tend(session)
    assert acts.run(family.child_id).cancel_requested_at is None


def test_an_operator_who_cancels_a_waiting_parent_cancels_what_is_below(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.parent_of_the_lost)
    drain()
    child = TaskRun.objects.get(parent_id=run_id)
    assert (acts.run(run_id).status, child.status) == (RunStatus.WAITING, RunStatus.WAITING)
    control.cancel(run_id, using="default", reason="enough")
    child.refresh_from_db()
    assert (child.status, child.cancel_reason) == (RunStatus.CANCELLED, children.PARENT_ENDED)
    assert acts.sequences(child.id) == list(range(1, child.last_sequence + 1))


def test_a_retry_of_the_parent_lets_its_children_go_on(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.parent_of_the_lost)
    drain()
    control.cancel(run_id, using="default")
    control.retry(run_id, using="default")
    drain()
    child = TaskRun.objects.get(parent_id=run_id)
    assert (acts.run(run_id).status, child.status) == (RunStatus.WAITING, RunStatus.WAITING)
    control.resume(child.id, "yes", using="default")
    drain()
    assert acts.run(run_id).result == '"yes"'


def test_an_operator_who_cancels_a_child_wakes_its_parent(
    session: vendors.Session, django_capture_on_commit_callbacks: Any
) -> None:
    run_id = acts.enqueue(tasks.parent_of_the_lost)
    drain()
    child = TaskRun.objects.get(parent_id=run_id)
    with django_capture_on_commit_callbacks(execute=True):
        control.cancel(child.id, using="default")
    assert acts.run(run_id).status == RunStatus.READY
    drain()
    assert acts.run(run_id).status == RunStatus.FAILED
    assert acts.run(run_id).error_code == "CHILD_CANCELLED"


def test_a_sweep_that_fails_a_child_is_told_to_its_parent(session: vendors.Session, family: Family) -> None:
    family.park(session)
    TaskRun.objects.filter(pk=family.child_id).update(max_deliveries=1)
    acts.lose_worker(session)
    children.tend(session)
    assert acts.run(family.child_id).status == RunStatus.FAILED
    assert acts.run(family.parent.run_id).status == RunStatus.READY


def test_retention_of_a_child_or_a_parent_breaks_nothing(session: vendors.Session, family: Family) -> None:
    family.park(session)
    TaskRun.objects.filter(pk=family.child_id).delete()
    children.tend(session)
    assert acts.run(family.parent.run_id).status == RunStatus.READY, "a child that is gone is not waited for"
    TaskRun.objects.filter(pk=family.parent.run_id).delete()
    children.tend(session)


def test_a_family_is_drained(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.parent, 3)
    drain()
    row = acts.run(run_id)
    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, "[1,2,3]"), row.errors
    assert acts.sequences(run_id) == list(range(1, row.last_sequence + 1))


def test_a_result_lists_what_its_run_has_started(session: vendors.Session) -> None:
    result = tasks.parent.enqueue(2)
    drain()
    assert [child.task_path for child in result.children()] == ["tests.probe.tasks.add"] * 2  # type: ignore[attr-defined]


def test_a_stream_is_drained_and_nothing_is_seen_twice(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.listener, 3)
    drain()
    row = acts.run(run_id)
    assert row.status == RunStatus.SUCCESSFUL, row.errors
    heard = Checkpoint.objects.filter(run_id=run_id, path__startswith="step:heard").order_by("id")
    assert list(heard.values_list("path", flat=True)) == ["step:heard", "step:heard#2", "step:heard#3"]
    assert acts.kinds(run_id).count("partial") == 3
