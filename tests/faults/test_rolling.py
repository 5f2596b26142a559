"""A rolling deploy: workers of two releases together on one database, and a migration while they work."""

from __future__ import annotations

import itertools
import json
import os
import signal
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from django_tasks_durable.models import TaskRun, Worker
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import control
from tests.faults.harness import ROOT, RunningWorker, Yard, oracle, run_of, wait_end, wait_status, wait_until
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mysql")
BEFORE, AFTER = "before", "after"


def start(yard: Yard, release: str, **options: Any) -> RunningWorker:
    """Start a worker of a release."""
    path = os.pathsep.join([str(ROOT / "tests" / "rolling" / release), str(ROOT)])
    return yard.start(cold=True, options=options, PYTHONPATH=path, DJANGO_SETTINGS_MODULE="tests.rolling.settings")


def enqueued(name: str, *, version: int = 1) -> UUID:
    """Enqueue a task of the shop, as a site of either release does."""
    run_id = acts.enqueue(tasks.echo, run_after=timedelta(hours=1))
    TaskRun.objects.filter(pk=run_id).update(task_path=f"shop.tasks.{name}", code_version=version)
    return run_id


def release(*run_ids: UUID) -> None:
    """Let runs begin."""
    for run_id in run_ids:
        control.run_now(run_id, using="default")


def result_of(run_id: UUID) -> Any:
    """Return what a run returned."""
    row = run_of(run_id)
    assert row.status == RunStatus.SUCCESSFUL, row.errors
    return json.loads(str(row.result))


def test_each_release_takes_what_it_knows_and_nothing_is_failed_for_being_unknown(yard: Yard) -> None:
    start(yard, BEFORE).wait_registered()
    added, common, retired = enqueued("added"), [enqueued("both") for _ in range(4)], enqueued("retired")
    release(added, *common, retired)
    wait_end(yard, *common, retired)
    assert run_of(added).status == RunStatus.READY
    start(yard, AFTER)
    wait_end(yard, added)
    assert [result_of(run_id) for run_id in (added, retired)] == [AFTER, BEFORE]
    oracle([added, retired, *common])


@pytest.mark.slow
def test_a_changed_body_is_parked_before_it_does_anything_and_ends_with_the_old_code(yard: Yard) -> None:
    old = start(yard, BEFORE)
    run_id = enqueued("checkout")
    release(run_id)
    wait_status(yard, run_id, RunStatus.WAITING)
    old.send(signal.SIGTERM)
    assert old.wait() == 0
    start(yard, AFTER)
    control.resume(run_id, True, using="default")
    parked = wait_status(yard, run_id, RunStatus.FAILED)
    assert parked.error_code == "DRIFT"
    message = json.loads(parked.errors)[-1]["message"]
    assert "step:load" in message
    assert "step:check" in message
    assert yard.times("check") == yard.times("charge") == 0

    for worker in yard.workers[1:]:
        worker.send(signal.SIGTERM)
        worker.wait()
    start(yard, BEFORE)
    control.retry(run_id, using="default")
    wait_end(yard, run_id)
    assert result_of(run_id) == [BEFORE, BEFORE]
    assert (yard.times("load"), yard.times("charge"), yard.times("check")) == (1, 1, 0)


@pytest.mark.slow
def test_a_pinned_run_is_left_alone_by_the_new_release_and_ends_with_its_own(yard: Yard) -> None:
    old = start(yard, BEFORE)
    run_id = enqueued("pinned", version=1)
    release(run_id)
    token = wait_status(yard, run_id, RunStatus.WAITING).lease_token
    old.send(signal.SIGTERM)
    old.wait()
    start(yard, AFTER).wait_registered()
    control.resume(run_id, True, using="default")
    after = enqueued("both")
    release(after)
    wait_end(yard, after)  # the new release works, and was free to take it
    left = run_of(run_id)
    assert (left.status, left.lease_token) == (RunStatus.READY, token)
    start(yard, BEFORE)
    wait_end(yard, run_id)
    assert result_of(run_id) == [BEFORE, BEFORE]
    assert (yard.times("load"), yard.times("charge"), yard.times("check")) == (1, 1, 0)


def test_a_worker_of_the_last_release_enters_itself_into_the_tables_of_this_one(yard: Yard) -> None:
    """What 0.1's first migration had as columns of a worker is all that such a worker writes."""
    worker = yard.start()
    row = worker.wait_registered()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO durable_tasks_worker (id, host, pid, queues, concurrency, lease_seconds, package_version, "
            "started_at, heartbeat_at) SELECT 'old', host, 1, queues, concurrency, lease_seconds, package_version, "
            "started_at, heartbeat_at FROM durable_tasks_worker WHERE id = %s",
            [row.pk],
        )
    old = Worker.objects.get(pk="old")
    assert (old.failed_heartbeats, old.deaf_because) == (0, "")


@pytest.mark.slow
@pytest.mark.databases("postgresql")
def test_a_migration_under_load_holds_up_claims_for_less_than_a_second(yard: Yard) -> None:
    """The gap is judged beside the longest of the same worker without a migration, for a machine that others use too."""

    def enqueue(count: int) -> list[UUID]:
        return [acts.enqueue(tasks.echo, number) for number in range(count)]

    def longest_gap(run_ids: list[UUID]) -> float:
        begun = sorted(TaskRun.objects.filter(pk__in=run_ids).values_list("started_at", flat=True))
        return max((after - before).total_seconds() for before, after in itertools.pairwise(begun))

    worker = yard.start(options={"prefetch": 0})
    worker.wait_registered()
    quiet = enqueue(400)
    wait_end(yard, *quiet)
    accepted = enqueue(400)
    done = TaskRun.objects.filter(pk__in=accepted, status=RunStatus.SUCCESSFUL)
    wait_until(lambda: done.count() > 50, yard.story())
    try:
        with connection.cursor() as cursor:
            for model in (TaskRun, Worker):  # as Django writes AddField with a db_default
                cursor.execute(f"ALTER TABLE {model._meta.db_table} ADD COLUMN extra integer DEFAULT 0 NOT NULL")
            cursor.execute("CREATE INDEX CONCURRENTLY durable_extra ON durable_tasks_taskrun (extra)")
        assert done.count() < 400, "the load was over before the migration"
        wait_end(yard, *accepted)
    finally:
        with connection.cursor() as cursor:
            for model in (TaskRun, Worker):
                cursor.execute(f"ALTER TABLE {model._meta.db_table} DROP COLUMN IF EXISTS extra")
    before, during = longest_gap(quiet), longest_gap(accepted)
    print(f"longest gap between claims: {before:.3f} s without a migration, {during:.3f} s with one")
    assert during < 1.0 + before
    assert worker.is_alive
    oracle(accepted)
