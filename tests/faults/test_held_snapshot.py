"""A transaction that reads and never ends: what was deleted and changed piles up behind it, and the work goes on."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, connections

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.store import intake
from tests.faults.harness import Yard, oracle, wait_until
from tests.probe import tasks

pytestmark = [
    pytest.mark.databases("sqlite", "postgresql", "mysql"),
    pytest.mark.fault("F22"),
    pytest.mark.nightly,
    pytest.mark.timeout(0),
]
#: `python -m tests.faults --held SECONDS` holds it for longer.
SECONDS = float(os.environ.get("HELD_SECONDS", "60"))
ROUND = 100
#: About how many runs are judged one by one; of all of them it is enough to know that they ended well and at once.
JUDGED = 500
BEGIN = {
    "sqlite": "BEGIN",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
}


@contextmanager
def held_snapshot() -> Iterator[None]:
    """See the database as it was, by a connection that stands idle in its transaction."""
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            if connection.vendor == "mysql":
                # Django asks for READ COMMITTED, which holds no snapshot.
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(BEGIN[connection.vendor])
            cursor.execute(f"SELECT count(*) FROM {TaskRun._meta.db_table}")
            (before,) = cursor.fetchone()
            yield
            cursor.execute(f"SELECT count(*) FROM {TaskRun._meta.db_table}")
            assert cursor.fetchone() == (before,), "the snapshot was not held"
            cursor.execute("ROLLBACK")
    finally:
        other.close()


def a_round() -> float:
    """Enqueue so many runs, wait until they are over, and tell how long that took."""
    begun = time.monotonic()
    runs = intake.enqueue_many(tasks.add, [((1, 2), {})] * ROUND, using="default", backend_alias="default")
    wait_until(
        lambda: TaskRun.objects.filter(pk__in=runs, status__in=FINISHED).count() == ROUND, "a round comes to its end"
    )
    return time.monotonic() - begun


def test_a_snapshot_that_is_held_open_does_not_bring_the_work_to_a_stand(yard: Yard) -> None:
    workers = [yard.start("--concurrency", "3", options={"lease_seconds": 30}) for _ in range(2)]
    for worker in workers:
        worker.wait_registered()
    quiet = [a_round() for _ in range(6)]
    held: list[float] = []
    with held_snapshot():
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            held.append(a_round())

    assert statistics.median(held[-5:]) < 10 * statistics.median(quiet[1:]), (quiet, held[-5:])
    assert set(TaskRun.objects.values_list("status", "attempts", "crashes")) == {(RunStatus.SUCCESSFUL, 0, 0)}
    there = list(TaskRun.objects.order_by("pk").values_list("pk", flat=True))
    oracle(there[:: max(1, len(there) // JUDGED)])
    assert all(worker.is_alive for worker in workers), yard.story()
