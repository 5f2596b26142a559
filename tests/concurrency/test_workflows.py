"""Commands that come while an attempt writes, and several at once."""

from __future__ import annotations

import json

import pytest

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import SaveState, Started, StateRecord
from django_tasks_durable.store import vendors
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.seeds.workflows import IntervalPayment
from tests.store import acts

from .test_control import insist

PATH = IntervalPayment.task.module_path


def enqueue(session: vendors.Session) -> str:
    """Enqueue a payment."""
    return str(IntervalPayment.enqueue({"usage": [0]}).id)


@pytest.mark.seed("TW-22", "TW-23")
def test_of_commands_at_once_none_is_lost(session: vendors.Session) -> None:
    for _ in range(TRIALS):
        run_id = enqueue(session)
        side_by_side(
            lambda own, r=run_id: IntervalPayment.of(r).add_usage(1),
            lambda own, r=run_id: IntervalPayment.of(r).add_usage(2),
        )
        assert sorted(IntervalPayment.of(run_id).state.usage) == [0, 1, 2]
        assert acts.run(run_id).state_version == 2


def test_a_command_is_never_overwritten_by_an_attempt_that_writes_at_the_same_time(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        run_id = enqueue(session)
        (claimed,) = acts.claim(session, task_paths=[PATH])
        moved = SaveState(
            lease=claimed.lease,
            state=StateRecord(
                state='{"usage":[100],"status":"active","receipts":[]}', step="wait_cycle", visit=2, expected=0
            ),
        )
        side_by_side(
            lambda own, c=claimed, m=moved: insist(own, c, Started(lease=c.lease), m),
            lambda own, r=run_id: IntervalPayment.of(r).add_usage(1),
        )
        row = acts.run(run_id)
        usage = json.loads(row.workflow_state or "{}")["usage"]
        # Whoever came first, the command is in the state; the attempt's own change only if it came first.
        assert usage == ([100, 1] if row.status == RunStatus.RUNNING else [0, 1])
        assert row.visit == (2 if row.status == RunStatus.RUNNING else 0)
        TaskRun.objects.filter(pk=row.id).update(status=RunStatus.CANCELLED)
