"""Runs whose process died, while the worker that had started it lives."""

from __future__ import annotations

import json

import pytest

from django_tasks_durable.exceptions import ProcessDied
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.primitives.writes import ClaimedRun, Lost, Started, Verdict
from django_tasks_durable.store import control, vendors
from tests.store import acts

DIED = codec.error_record(ProcessDied(-9, "was killed by SIGKILL"))


def lose(session: vendors.Session, claimed: ClaimedRun) -> RunStatus:
    """Tell that the run's process died."""
    answer = acts.hand_in(session, claimed, Started(lease=claimed.lease), Lost(lease=claimed.lease, error=DIED))
    assert isinstance(answer, Verdict)
    return answer.status


def again(session: vendors.Session) -> ClaimedRun:
    """Claim the one run that is due."""
    (claimed,) = acts.claim(session)
    return claimed


@pytest.mark.seed("TR-35")
def test_a_lost_process_counts_a_delivery_and_no_attempt(session: vendors.Session, claimed: ClaimedRun) -> None:
    assert lose(session, claimed) == RunStatus.READY
    row = acts.run(claimed.run_id)
    assert (row.attempts, row.deliveries, row.crashes) == (0, 1, 1)
    assert row.wake_reason == WakeReason.STALE
    assert json.loads(row.errors) == []
    assert acts.kinds(claimed.run_id)[-1] == "stale"


@pytest.mark.seed("TR-35")
def test_the_last_delivery_fails_the_run_and_says_how_it_died(session: vendors.Session, claimed: ClaimedRun) -> None:
    for _ in range(2):
        assert lose(session, claimed) == RunStatus.READY
        claimed = again(session)
    assert lose(session, claimed) == RunStatus.FAILED

    row = acts.run(claimed.run_id)
    assert (row.error_code, row.deliveries, row.attempts) == ("CRASHED", 3, 0)
    assert "SIGKILL" in json.loads(row.errors)[-1]["message"]
    assert json.loads(row.worker_ids) == [acts.WORKER]
    assert row.finished_at is not None
    assert acts.kinds(claimed.run_id)[-1] == "failed"


def test_a_checkpoint_starts_the_count_anew(session: vendors.Session, claimed: ClaimedRun) -> None:
    for number in range(5):
        acts.hand_in(session, claimed, acts.save(claimed.lease, f"step:{number}", position=number))
        assert lose(session, claimed) == RunStatus.READY
        claimed = again(session)
    assert acts.run(claimed.run_id).deliveries == 1


def test_a_checkpoint_in_the_same_commit_counts_too(session: vendors.Session, claimed: ClaimedRun) -> None:
    for number in range(5):
        lease = claimed.lease
        acts.hand_in(
            session, claimed, acts.save(lease, f"step:{number}", position=number), Lost(lease=lease, error=DIED)
        )
        claimed = again(session)
    assert acts.run(claimed.run_id).deliveries == 1


@pytest.mark.seed("TR-21")
def test_a_lost_run_that_was_to_be_cancelled_is_cancelled(session: vendors.Session, claimed: ClaimedRun) -> None:
    control.cancel(claimed.run_id, using="default")
    assert lose(session, claimed) == RunStatus.CANCELLED
    assert acts.run(claimed.run_id).deliveries == 1
    assert acts.claim(session) == []
