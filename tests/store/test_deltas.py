"""Many facts of one run become one change."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import Cancelled, ClaimedRun, SetProgress, Started, Succeeded
from django_tasks_durable.store.deltas import Delta
from tests.store import acts

LEASE = Lease(run_id=UUID(int=7), token=3)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def delta() -> Delta:
    """Begin a change of a run that was claimed."""
    claimed = ClaimedRun(
        lease=LEASE, task_path="t", backend="default", queue_name="default", priority=0, args="[]", kwargs="{}", options="{}",
        attempts=1, max_attempts=3, crashes=0, inbox=0, enqueued_at=NOW, run_after=None, started_at=None, now_at=NOW,
        claimed_monotonic=0.0, worker_ids="[]", errors="[]",
    )  # fmt: skip
    return Delta(claimed, "worker-1")


def test_lines_keep_the_order_in_which_they_were_handed_in(delta: Delta) -> None:
    for write in (Started(lease=LEASE), acts.append(LEASE, "a"), acts.save(LEASE), acts.append(LEASE, "b")):
        delta.add(write)
    delta.add(Succeeded(lease=LEASE, result="1"))

    told = [(line.kind, line.message) for line in delta.lines]
    assert told == [
        (StepKind.CLAIMED, "worker-1"), (StepKind.STARTED, ""), (StepKind.LOG, "a"), (StepKind.STEP, ""), (StepKind.LOG, "b"),
        (StepKind.SUCCEEDED, ""),
    ]  # fmt: skip


def test_the_latest_progress_wins_field_by_field(delta: Delta) -> None:
    delta.add(SetProgress(lease=LEASE, percent=10.0, label="one"))
    delta.add(SetProgress(lease=LEASE, percent=0.0, meta="{}"))

    assert (delta.percent, delta.label, delta.meta) == (0.0, "one", "{}")


def test_a_run_ends_once(delta: Delta) -> None:
    delta.add(Succeeded(lease=LEASE, result="1"))
    with pytest.raises(AssertionError, match="ended twice"):
        delta.add(Cancelled(lease=LEASE))


def test_what_depends_on_the_row_is_decided_under_its_lock(delta: Delta) -> None:
    delta.add(Started(lease=LEASE))
    assert delta.is_unconditional
    delta.add(acts.parked(LEASE, inbox=4))

    assert not delta.is_unconditional
    assert delta.settle(cancel_requested=False, inbox=5) is RunStatus.READY
    assert delta.reason is WakeReason.MESSAGE


def test_a_cancellation_wins_over_a_message(delta: Delta) -> None:
    delta.add(acts.parked(LEASE, inbox=4))

    assert delta.settle(cancel_requested=True, inbox=5) is RunStatus.CANCELLED
    assert delta.lines[-1].kind is StepKind.CANCELLED
    assert delta.due_at is None


def test_the_attempt_of_a_line_is_the_one_under_way(delta: Delta) -> None:
    assert delta.attempt == 2
