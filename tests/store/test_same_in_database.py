"""A run leaves the same behind in a database as in memory, whatever primitives it uses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from django_tasks_durable.models import Checkpoint, Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.store import control, intake, messages
from django_tasks_durable.testing import advance, drain, frozen
from tests.engine import test_crash_anywhere as engine
from tests.engine.laboratory import MortalStore


def in_memory(name: str, at: datetime) -> dict[str, Any]:
    """Run a task in memory and tell what remains."""
    engine.deeds.clear()
    with frozen(at):
        bench = engine.begun(name, MortalStore())
        engine.drive(bench)
    run = bench.run
    return {
        "result": run.result,
        "partials": run.partials,
        "checkpoints": sorted((record.path, record.kind.value, record.failed) for record in run.checkpoints.values()),
        "kinds": sorted(line.kind.value for line in run.lines),
    }


def in_database(name: str, at: datetime) -> dict[str, Any]:
    """Run a task in the database, as a worker and a person would, and tell what remains."""
    engine.deeds.clear()
    task = engine.TASKS[name]
    with frozen(at):
        run_id = intake.enqueue(task, [], {}, using="default", backend_alias="default")
        messages.send(run_id, "early", "too soon", using="default")
        for _ in range(100):
            drain()
            row = TaskRun.objects.get(pk=run_id)
            if row.status in FINISHED:
                break
            _go_on(row)
    lines = Step.objects.filter(run_id=run_id).order_by("sequence")
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
    checkpoints = Checkpoint.objects.filter(run_id=run_id)
    return {
        "result": row.result,
        "partials": [codec.decode(line.data) for line in lines if line.kind == "partial"],
        "checkpoints": sorted(checkpoints.values_list("path", "kind", "failed")),
        "kinds": sorted(line.kind for line in lines),
    }


def _go_on(row: TaskRun) -> None:
    taken = Checkpoint.objects.filter(run=row).values("path")
    waits = list(Wait.objects.filter(run=row, answer=None).exclude(path__in=taken))
    if row.status == RunStatus.WAITING and row.due_at is not None and "late?" in waits[0].request:
        advance(60)
    elif row.status == RunStatus.WAITING:
        for wait in waits:
            if wait.kind == "message":
                messages.send(row.id, wait.path.partition("recv:")[2].partition("#")[0], "told", using="default")
                continue
            control.resume(row.id, f"answer to {wait.request}", token=wait.token, using="default")
    else:
        advance(60)


@pytest.mark.parametrize("name", engine.TASKS)
def test_what_remains_is_the_same(name: str, db: None) -> None:
    with frozen() as at:
        pass
    assert in_database(name, at) == in_memory(name, at)
