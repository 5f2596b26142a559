"""A worker at work among limits: what is free is not kept waiting, and a place is taken as soon as it is free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from django_tasks_durable.conf import get_options
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from tests.faults.harness import wait_until
from tests.probe import tasks
from tests.store import acts

# Whoever is not told in time would be found by the next poll, long after the test has lost its patience.
NEVER = 300.0
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def at_work(*, batch: bool = False, concurrency: int = 2) -> Iterator[Worker]:
    """Let a worker work that polls next to never."""
    settings = WorkerSettings(concurrency=concurrency, poll_seconds=NEVER, shutdown_seconds=1, batch=batch)
    worker = Worker(replace(get_options("default"), poll_seconds=NEVER), settings)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
        if batch:
            thread.join(60)
    finally:
        worker.stop()
        thread.join(30)
    assert not thread.is_alive()


def all_done(count: int) -> Callable[[], bool]:
    """Whether so many runs have ended well."""
    return lambda: TaskRun.objects.filter(status=RunStatus.SUCCESSFUL).count() >= count


@pytest.mark.parametrize("options", [{"concurrency_key": "k"}, {"concurrency_key": "k", "hold_key": True}])
def test_the_next_of_a_key_begins_when_the_one_before_ends(options: dict[str, object]) -> None:
    tasks.echo.using(**options).enqueue_many([((), {})] * 15)
    with at_work():
        wait_until(all_done(15), "each begins when the one before has ended")


def test_the_next_of_a_limited_queue_begins_when_the_one_before_ends() -> None:
    tasks.echo.enqueue_many([((), {})] * 15)
    from django_tasks_durable.store import queues

    queues.limit("default", using="default", concurrency=1)
    with at_work():
        wait_until(all_done(15), "each begins when the one before has ended")


def test_a_token_is_used_when_it_is_there() -> None:
    tasks.echo.using(concurrency_key="k", concurrency_limit=9, rate="2/second").enqueue_many([((), {})] * 6)
    with at_work():
        wait_until(all_done(6), "the worker comes back for the tokens")
    ends = sorted(TaskRun.objects.values_list("started_at", flat=True))
    # Two seconds of tokens, the first of which may have waited for the worker.
    assert (ends[-1] - ends[0]).total_seconds() > 1


def test_a_flood_without_limits_does_not_keep_a_run_with_one_from_its_turn() -> None:
    tasks.echo.enqueue_many([((), {})] * 4000)
    limited = acts.enqueue(tasks.alone)
    with at_work():
        wait_until(lambda: acts.run(limited).status == RunStatus.SUCCESSFUL, "the run with a limit has its turn")
        assert TaskRun.objects.exclude(status__in=FINISHED).exists()


def test_a_flood_of_a_busy_key_does_not_keep_the_others_waiting(tmp_path: object) -> None:
    gate = f"{tmp_path}/gate"
    blocking = tasks.blocks_at_gate.using(concurrency_key="busy").enqueue(gate)
    tasks.echo.using(concurrency_key="busy").enqueue_many([((), {})] * 1000)
    with at_work():
        wait_until(lambda: acts.run(blocking.run_id).status == RunStatus.RUNNING, "the key is busy")
        free = [acts.enqueue(), acts.enqueue(tasks.echo, concurrency_key="free"), acts.enqueue(tasks.alone)]
        wait_until(
            lambda: TaskRun.objects.filter(pk__in=free, status=RunStatus.SUCCESSFUL).count() == 3,
            "what is free is done",
        )
        TaskRun.objects.filter(status=RunStatus.READY).delete()
        open(gate, "w").close()


def test_a_batch_waits_for_the_tokens_of_a_rate() -> None:
    tasks.echo.using(concurrency_key="k", concurrency_limit=9, rate="2/second").enqueue_many([((), {})] * 4)
    with at_work(batch=True):
        wait_until(all_done(4), "the batch is done")
