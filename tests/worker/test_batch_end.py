"""When a worker that was started with ``--batch`` may leave."""

from __future__ import annotations

import pytest

from django_tasks_durable.conf import Options
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.worker.loop import Worker, WorkerSettings


@pytest.fixture
def worker() -> Worker:
    """A worker that has not begun."""
    return Worker(Options(), WorkerSettings(batch=True))


def test_a_look_that_may_have_begun_too_early_does_not_count(worker: Worker) -> None:
    # The last run's end, or its parent's waking, may have been committed after that look had begun.
    worker._looked(False)
    assert not worker._is_done()
    worker._looked(False)
    assert worker._is_done()


def test_whoever_is_still_to_be_woken_is_waited_for(worker: Worker) -> None:
    worker._looked(False)
    worker._looked(False)
    worker._maintenance.family._note(parent=new_id())
    assert not worker._is_done()

    worker._maintenance.family._parents.clear()
    worker._looked(False)
    assert not worker._is_done()
    worker._looked(False)
    assert worker._is_done()


def test_what_was_found_is_done_first(worker: Worker) -> None:
    worker._looked(False)
    worker._looked(True)
    worker._looked(False)
    assert not worker._is_done()


def test_a_worker_that_is_no_batch_worker_never_leaves_by_itself() -> None:
    worker = Worker(Options(), WorkerSettings())
    worker._looked(False)
    worker._looked(False)
    assert not worker._is_done()
