"""A run whose place was taken while it was running."""

from __future__ import annotations

import pytest

from django_tasks_durable.models import Step
from django_tasks_durable.primitives.status import RunStatus, StepKind
from tests.faults.harness import Yard, run_of, wait_status
from tests.probe import tasks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.databases("sqlite", "postgresql", "mysql"),
    pytest.mark.fault("F28"),
]


@pytest.mark.seed("TR-6")
def test_it_is_stopped_with_the_next_heartbeat_and_frees_its_slot(yard: Yard) -> None:
    call = tasks.asleep_on_the_loop.using(supersede_key="scan")
    old = call.enqueue()
    yard.start(options={"async_concurrency": 1, "prefetch": 0})
    wait_status(yard, old.run_id, RunStatus.RUNNING)
    new = call.enqueue()
    wait_status(yard, new.run_id, RunStatus.RUNNING)

    row = run_of(old.run_id)
    assert (row.status, row.error_code) == (RunStatus.CANCELLED, "SUPERSEDED")
    last = Step.objects.filter(run=row).order_by("sequence").last()
    assert (last.kind, last.sequence) == (StepKind.CANCELLED, row.last_sequence)
