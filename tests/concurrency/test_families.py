"""Parents that go to rest while a child ends, and operators who meet in one family."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind
from django_tasks_durable.primitives.writes import Append, ClaimedRun, Line, Started, Succeeded
from django_tasks_durable.store import children, control, vendors
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.concurrency.test_control import insist
from tests.store import acts
from tests.store.test_children import birth, waiting


def family(session: vendors.Session) -> tuple[ClaimedRun, ClaimedRun]:
    """Claim a parent and its child."""
    acts.enqueue()
    (parent,) = acts.claim(session)
    insist(session, parent, Started(lease=parent.lease), birth(parent))
    (child,) = acts.claim(session)
    insist(session, child, Started(lease=child.lease))
    return parent, child


def told(session: vendors.Session, parent_id: UUID) -> None:
    """Do what a worker does after the commit of a child."""
    while children.wake_parents(session, [parent_id]).busy:
        pass


def put_away() -> None:
    """Let nothing be due any more."""
    TaskRun.objects.exclude(status__in=FINISHED).update(status=RunStatus.CANCELLED)


def test_a_child_that_ends_while_its_parent_goes_to_rest_is_never_missed(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        parent, child = family(session)

        def end(own: vendors.Session, p: ClaimedRun = parent, c: ClaimedRun = child) -> None:
            insist(own, c, Succeeded(lease=c.lease, result="1"))
            told(own, p.run_id)

        side_by_side(lambda own, p=parent, c=child: insist(own, p, waiting(p, c.run_id)), end)
        assert acts.run(parent.run_id).status == RunStatus.READY
        put_away()


def test_a_partial_that_comes_while_its_parent_goes_to_rest_is_never_missed(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        parent, child = family(session)

        def tell(own: vendors.Session, p: ClaimedRun = parent, c: ClaimedRun = child) -> None:
            insist(own, c, Append(lease=c.lease, line=Line(kind=StepKind.PARTIAL, data="1")))
            told(own, p.run_id)

        side_by_side(lambda own, p=parent, c=child: insist(own, p, waiting(p, c.run_id, after=1)), tell)
        assert acts.run(parent.run_id).status == RunStatus.READY
        put_away()


def test_two_children_that_end_at_once_wake_their_parent_once(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        acts.enqueue()
        (parent,) = acts.claim(session)
        insist(session, parent, Started(lease=parent.lease), birth(parent, "a"), birth(parent, "b"))
        twins = acts.claim(session)
        insist(session, parent, waiting(parent, *(twin.run_id for twin in twins)))

        def end(own: vendors.Session, twin: ClaimedRun, p: ClaimedRun = parent) -> None:
            insist(own, twin, Started(lease=twin.lease), Succeeded(lease=twin.lease, result="1"))
            told(own, p.run_id)

        before = acts.run(parent.run_id).version
        side_by_side(*(lambda own, t=twin, e=end: e(own, t) for twin in twins))
        row = acts.run(parent.run_id)
        assert (row.status, row.version) == (RunStatus.READY, before + 1)
        put_away()


@pytest.mark.fault("F20")
def test_operators_who_meet_in_one_family_wait_for_each_other_without_deadlock(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        parent, child = family(session)
        insist(session, parent, waiting(parent, child.run_id))
        retry_at = child.now_at + timedelta(hours=1)
        insist(session, child, acts.failed(child.lease, retry_at=retry_at))
        side_by_side(
            lambda own, p=parent: control.cancel(p.run_id, using="default"),
            lambda own, c=child: control.cancel(c.run_id, using="default"),
        )
        for run_id in (parent.run_id, child.run_id):
            row = acts.run(run_id)
            assert row.status == RunStatus.CANCELLED
            assert acts.sequences(run_id) == list(range(1, row.last_sequence + 1))
