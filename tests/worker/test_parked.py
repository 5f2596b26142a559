"""Ten thousand runs that wait cost a worker nothing: no slot, no lease, no memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from django_tasks_durable.conf import get_options
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import LEASED, RunStatus
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from tests.probe import tasks
from tests.store import acts

PATIENCE = 60.0


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    """A worker at work in this process."""
    worker = Worker(get_options("default"), WorkerSettings(concurrency=8, poll_seconds=0.1, shutdown_seconds=1))
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stop()
    thread.join(30)
    assert not thread.is_alive()


def wait_until_parked(sleeping: int, waiting: int) -> None:
    """Wait until so many runs rest."""
    end = time.monotonic() + PATIENCE
    while True:
        rows = TaskRun.objects.exclude(due_at=None).filter(status=RunStatus.READY, wake_reason="sleep").count()
        if (rows, TaskRun.objects.filter(status=RunStatus.WAITING).count()) == (sleeping, waiting):
            return
        assert time.monotonic() < end, TaskRun.objects.values_list("status").distinct()
        time.sleep(0.2)


@pytest.mark.slow
def test_ten_thousand_parked_runs_hold_nothing(worker: Worker) -> None:
    tasks.naps.enqueue_many([((86400.0,), {})] * 4000)
    tasks.asks.enqueue_many([((), {})] * 4000)
    # Each of these waits for a child, which asks.
    tasks.parent_of_the_lost.enqueue_many([((), {})] * 1000)
    wait_until_parked(4000, 6000)

    assert not TaskRun.objects.filter(status__in=LEASED).exists()
    assert worker.writer.held == {}
    assert not worker.writer.has_work()
    assert {(room.running, room.waiting) for room in worker._rooms.values()} == {(0, 0)}
    assert worker._wake_at == []
    assert worker._maintenance._deadlines == []
    assert not worker._maintenance.family.has_work
    # All slots are free: an eleven thousandth run is done at once.
    run_id = acts.enqueue(tasks.add, 1, 2)
    end = time.monotonic() + PATIENCE
    while acts.run(run_id).status != RunStatus.SUCCESSFUL:
        assert time.monotonic() < end
        time.sleep(0.05)
