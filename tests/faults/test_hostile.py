"""Tasks that misbehave: the worker lives, the run ends, the next task finds everything clean."""

from __future__ import annotations

import json

import pytest

from django_tasks_durable.models import Worker
from django_tasks_durable.primitives.status import RunStatus
from tests.faults.harness import Yard, oracle, run_of, wait_end
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mysql")


@pytest.mark.fault("F35")
def test_nothing_that_a_task_raises_or_returns_takes_the_worker_along(yard: Yard) -> None:
    """One process carries them all, each followed by a task that must find nothing amiss."""
    hostile = [(task.module_path.rsplit(".", 1)[1], acts.enqueue(task)) for task in tasks.HOSTILE]
    after = [acts.enqueue(tasks.add, number, 1) for number in range(len(hostile))]
    worker = yard.start("--concurrency", "1")
    wait_end(yard, *(run_id for _, run_id in hostile), *after)

    for name, run_id in hostile:
        row = run_of(run_id)
        assert row.status == RunStatus.FAILED, name
        (error,) = json.loads(row.errors)
        assert error["exception_class_path"], name
        assert len(error["traceback"]) <= 10_000, name
        assert "\x00" not in row.errors
    assert all(run_of(run_id).status == RunStatus.SUCCESSFUL for run_id in after)
    assert worker.is_alive
    assert Worker.objects.filter(pid=worker.pid, dead_at=None).count() == 1
    oracle([*(run_id for _, run_id in hostile), *after])


def test_an_unstorable_result_names_its_place(yard: Yard) -> None:
    run_id = acts.enqueue(tasks.unstorable)
    yard.start()
    (row,) = wait_end(yard, run_id)

    (error,) = json.loads(row.errors)
    assert row.error_code == "NOT_SERIALIZABLE"
    assert '["rows"][1]' in error["message"]


@pytest.mark.fault("F23")
def test_the_next_task_on_the_thread_finds_the_connection_clean(yard: Yard) -> None:
    found = []
    for untidy in tasks.UNTIDY:
        found.append(acts.enqueue(untidy))
        found.append(acts.enqueue(tasks.says_if_clean))
    worker = yard.start("--concurrency", "1", options={"prefetch": 0})
    wait_end(yard, *found)

    for run_id in found[1::2]:
        row = run_of(run_id)
        assert row.status == RunStatus.SUCCESSFUL, row.errors
        clean = {"in_atomic_block": False, "autocommit": True, "needs_rollback": False, "leftovers": 0}
        assert json.loads(row.result or "") == clean
    assert worker.is_alive
    oracle(found)


@pytest.mark.fault("F32")
def test_an_unknown_task_stays_queued_and_the_worker_serves_on(yard: Yard) -> None:
    from django_tasks_durable.models import TaskRun

    unknown = acts.enqueue(tasks.echo, "who")
    TaskRun.objects.filter(pk=unknown).update(task_path="tests.probe.tasks.removed")
    known = acts.enqueue(tasks.echo, "me")
    worker = yard.start("--batch")

    assert worker.wait() == 0
    assert run_of(known).status == RunStatus.SUCCESSFUL
    assert run_of(unknown).status == RunStatus.READY
