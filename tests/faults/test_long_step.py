"""An atomic step that takes longer than the lease: on SQLite it holds the one write lock all the while."""

from __future__ import annotations

import pytest

from django_tasks_durable.models import Worker
from django_tasks_durable.primitives.status import RunStatus
from tests.faults.harness import LEASE_SECONDS, Yard, oracle, wait_end, wait_until
from tests.probe import effects, tasks
from tests.store import acts

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mysql")


def test_a_long_atomic_step_is_done_once_and_its_worker_lives(yard: Yard) -> None:
    workers = [yard.start("--concurrency", "2") for _ in range(2)]
    for worker in workers:
        worker.wait_registered()
    run_id = acts.enqueue(tasks.long_atomic, LEASE_SECONDS * 2)
    wait_until(lambda: acts.run(run_id).status == RunStatus.RUNNING or acts.run(run_id).result, "it runs")
    (row,) = wait_end(yard, run_id)
    after = acts.enqueue(tasks.echo, "after")
    wait_end(yard, after)

    assert (row.status, row.crashes, row.lease_token) == (RunStatus.SUCCESSFUL, 0, 1), yard.story()
    assert effects.times("long", run_id) == 1
    assert Worker.objects.filter(dead_at=None).count() == Worker.objects.count() == 2, yard.story()
    oracle([run_id, after])
