"""When a worker that was started with ``--batch`` may leave."""

from __future__ import annotations

import pytest

from django_tasks_durable import testing
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


def test_a_kind_of_task_that_was_not_looked_for_may_still_be_there(worker: Worker) -> None:
    worker._rooms["thread"].found_none(1.0)
    worker._appetite()
    worker._looked(False)
    worker._looked(False)
    assert not worker._is_done()


def test_a_look_that_was_put_off_is_made_up_for(worker: Worker) -> None:
    with testing.frozen():
        worker._rooms["thread"].found_none(1.0)
        asked = [wanted.task_paths for wanted, _ in worker._appetite()]
        assert worker._paths["thread"] not in asked
        worker.writer._claim_wanted = False
        testing.advance(10.0)
        worker.writer._wait()
        assert worker._paths["thread"] in [wanted.task_paths for wanted, _ in worker._appetite()]
