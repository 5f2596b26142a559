"""What a worker's attempt undoes when it fails."""

from __future__ import annotations

import pytest

from django_tasks_durable.conf import get_options
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from tests.faults.harness import run_of
from tests.probe import tasks
from tests.store import acts


@pytest.mark.usefixtures("transactional_db")
def test_what_the_failing_slice_itself_has_done_is_undone() -> None:
    run_id = acts.enqueue(tasks.regretful)
    Worker(get_options("default"), WorkerSettings(batch=True, poll_seconds=0.1)).run()
    row = run_of(run_id)
    assert row.status == "FAILED"
    assert [line.kind for line in row.steps.order_by("sequence")].count("compensated") == 2
