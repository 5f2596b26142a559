"""TRANSITIONS is what really happens: every act is tried on a run in every status."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.models import TaskRun, Wait
from django_tasks_durable.primitives.status import FINISHED, TRANSITIONS, RunStatus, may_move
from django_tasks_durable.primitives.writes import Cancelled, ClaimedRun, Started, Succeeded
from django_tasks_durable.store import control, maintenance, vendors
from tests.store import acts

Act = Callable[[vendors.Session, ClaimedRun], object]


def in_status(session: vendors.Session, status: RunStatus) -> ClaimedRun:
    """Bring a run into a status by the store's own acts, and return it as it was claimed."""
    acts.register(session)
    acts.enqueue()
    (claimed,) = acts.claim(session)
    lease = claimed.lease
    ways: dict[RunStatus, list[object]] = {
        RunStatus.CLAIMED: [],
        RunStatus.RUNNING: [Started(lease=lease)],
        RunStatus.WAITING: [acts.parked(lease, wake_at=claimed.now_at - timedelta(hours=1))],
        RunStatus.SUCCESSFUL: [Succeeded(lease=lease, result="1")],
        RunStatus.FAILED: [acts.failed(lease)],
        RunStatus.CANCELLED: [Cancelled(lease=lease)],
        RunStatus.READY: [acts.failed(lease, retry_at=claimed.now_at - timedelta(hours=1))],
    }
    for write in ways[status]:
        acts.hand_in(session, claimed, write)  # type: ignore[arg-type]
    row = acts.run(claimed.run_id)
    assert row.status == status
    return claimed


def _write(kind: str) -> Act:
    return lambda session, claimed: acts.hand_in(
        session, claimed, acts.each_write(claimed.lease, claimed.now_at + timedelta(hours=1))[kind]
    )


def _answer(session: vendors.Session, claimed: ClaimedRun) -> object:
    if not Wait.objects.filter(run_id=claimed.run_id).exists():
        Wait.objects.create(
            run_id=claimed.run_id,
            path="wait:0",
            kind="interrupt",
            position=0,
            token="b" * 32,
            created_at=claimed.now_at,
        )
    return control.resume(claimed.run_id, "yes", using="default")


ACTS: dict[str, Act] = {
    "claim": lambda session, claimed: acts.claim(session),
    "sweep": lambda session, claimed: acts.lose_worker(session),
    "wake": lambda session, claimed: maintenance.wake_overdue(session),
    "cancel": lambda session, claimed: control.cancel(claimed.run_id, using="default"),
    "retry": lambda session, claimed: control.retry(claimed.run_id, using="default"),
    "resume": _answer,
    "run now": lambda session, claimed: control.run_now(claimed.run_id, using="default"),
    **{kind: _write(kind) for kind in acts.WRITE_KINDS},
}
# Outcomes that another fact of the same run decides.
POISONED: dict[str, Act] = {
    "sweep of a poison run": lambda session, claimed: (
        TaskRun.objects.update(deliveries=9),
        acts.lose_worker(session),
    ),
    "sweep of a run to be cancelled": lambda session, claimed: (
        TaskRun.objects.filter(status__in=["CLAIMED", "RUNNING"]).update(cancel_requested_at=datetime.now(UTC)),
        acts.lose_worker(session),
    ),
}


def moves_from(session: vendors.Session, status: RunStatus) -> set[RunStatus]:
    """Try every act on a run in this status and gather where it went."""
    found = set()
    for act in (ACTS | POISONED).values():
        claimed = in_status(session, status)
        before = acts.run(claimed.run_id)
        try:
            act(session, claimed)
        except DurableError:
            pass  # a refusal is an answer: the row is looked at all the same
        after = acts.run(claimed.run_id)
        if after.status != before.status:
            assert after.version > before.version
            found.add(RunStatus(after.status))
        assert acts.sequences(claimed.run_id) == list(range(1, after.last_sequence + 1))
        for table in ("step", "checkpoint", "wait", "taskrun", "worker"):
            session.execute(f"DELETE FROM durable_tasks_{table}")
    return found


@pytest.mark.seed("TR-2")
@pytest.mark.parametrize("status", list(RunStatus))
def test_a_run_goes_just_where_the_table_says(session: vendors.Session, status: RunStatus) -> None:
    assert moves_from(session, status) == TRANSITIONS[status]


@pytest.mark.seed("TW-21")
@pytest.mark.parametrize("status", sorted(FINISHED))
@pytest.mark.parametrize("act", [name for name in ACTS if name != "retry"])
def test_a_finished_run_is_never_changed_but_by_a_retry(session: vendors.Session, status: RunStatus, act: str) -> None:
    claimed = in_status(session, status)
    before = TaskRun.objects.values().get(pk=claimed.run_id)
    lines = acts.kinds(claimed.run_id)
    try:
        ACTS[act](session, claimed)
    except DurableError:
        pass  # refused, as it should be

    assert TaskRun.objects.values().get(pk=claimed.run_id) == before
    assert acts.kinds(claimed.run_id) == lines


def test_every_status_can_be_left_or_is_an_end() -> None:
    assert set(TRANSITIONS) == set(RunStatus)
    assert not TRANSITIONS[RunStatus.SUCCESSFUL]
    assert all(not may_move(status, status) for status in RunStatus)
