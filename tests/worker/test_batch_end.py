"""When a worker that was started with ``--batch`` may leave."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db.models import F

from django_tasks_durable import testing
from django_tasks_durable.conf import Options
from django_tasks_durable.models import Worker as DeadWorker
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Started
from django_tasks_durable.store import vendors
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from tests.probe import tasks
from tests.store import acts


@pytest.fixture
def session(transactional_db: None) -> vendors.Session:
    """Speak to the test's database through Django's connection."""
    return vendors.session("default")


@pytest.fixture
def worker() -> Worker:
    """A worker that has not begun, and has nothing to take over from others."""
    worker = Worker(Options(), WorkerSettings(batch=True))
    worker._maintenance.has_swept = True
    return worker


@pytest.fixture
def lost(session: vendors.Session) -> UUID:
    """Leave a run with a worker that died in the middle of it."""
    acts.register(session)
    run_id = acts.enqueue(tasks.echo, "hello")
    (claimed,) = acts.claim(session)
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    return run_id


@pytest.mark.django_db(transaction=True)
def test_what_a_dead_worker_left_is_taken_over_before_the_end(lost: UUID) -> None:
    DeadWorker.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(seconds=60))
    Worker(Options(), WorkerSettings(batch=True)).run()
    assert (acts.run(lost).status, acts.run(lost).result) == (RunStatus.SUCCESSFUL, '"hello"')


@pytest.mark.django_db(transaction=True)
def test_what_a_worker_holds_whose_lease_has_not_ended_is_left(lost: UUID) -> None:
    Worker(Options(), WorkerSettings(batch=True)).run()
    assert (acts.run(lost).status, acts.run(lost).lease_token) == (RunStatus.RUNNING, 1)


def test_who_has_not_looked_for_the_dead_stays(worker: Worker) -> None:
    worker._maintenance.has_swept = False
    worker._looked(False)
    worker._looked(False)
    assert not worker._is_done()


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
