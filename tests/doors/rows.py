"""Rows as the store leaves them, made by hand: a door must show whatever it finds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django_tasks_durable.models import Checkpoint, Step, TaskRun, Wait, Worker
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import CheckpointKind, Level, RunStatus, StepKind, WakeReason

AT = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
TRACEBACK = 'Traceback (most recent call last):\n  File "shop/tasks.py", line 3, in pay\nValueError: no money\n'


def later(seconds: float) -> datetime:
    """Return an instant some seconds after the rows' first."""
    return AT + timedelta(seconds=seconds)


def a_run(**columns: Any) -> TaskRun:
    """Make a run that is ready and due, unless told otherwise."""
    values: dict[str, Any] = {
        "id": new_id(),
        "task_path": "shop.tasks.pay",
        "enqueued_at": AT,
        "due_at": AT,
        "last_sequence": 1,
        **columns,
    }
    run = TaskRun.objects.create(**values)
    Step.objects.create(run=run, sequence=1, kind=StepKind.ENQUEUED, created_at=AT)
    return run


def a_running_run(**columns: Any) -> TaskRun:
    """Make a run that a worker is at."""
    values: dict[str, Any] = {
        "status": RunStatus.RUNNING,
        "due_at": None,
        "started_at": later(2),
        "last_attempted_at": later(2),
        "lease_worker": "worker-1",
        "lease_token": 1,
        "progress_percent": 42.5,
        "progress_label": "reading",
        **columns,
    }
    return a_run(**values)


def a_failed_run(**columns: Any) -> TaskRun:
    """Make a run whose only attempt failed."""
    error = {
        "exception_class_path": "builtins.ValueError",
        "message": "no money",
        "traceback": TRACEBACK,
        "code": "",
        "attempt": 1,
    }
    values: dict[str, Any] = {
        "status": RunStatus.FAILED,
        "due_at": None,
        "started_at": later(2),
        "last_attempted_at": later(2),
        "finished_at": later(5),
        "attempts": 1,
        "worker_ids": json.dumps(["worker-1"]),
        "errors": json.dumps([error]),
        "error_code": "EXCEPTION",
        **columns,
    }
    return a_run(**values)


def a_waiting_run(*tokens: str, request: Any = "Go on?", **columns: Any) -> TaskRun:
    """Make a run that waits for one answer for each token."""
    values: dict[str, Any] = {
        "status": RunStatus.WAITING,
        "due_at": None,
        "started_at": later(2),
        "last_attempted_at": later(2),
        "lease_token": 1,
        **columns,
    }
    run = a_run(**values)
    for number, token in enumerate(tokens or ("token",)):
        a_wait(run, token, path=f"wait:{number}", request=request)
    return run


def a_wait(run: TaskRun, token: str, *, path: str = "wait:0", request: Any = "Go on?", **columns: Any) -> Wait:
    """Make a question of a run."""
    return Wait.objects.create(
        run=run,
        path=path,
        kind="interrupt",
        position=0,
        token=token,
        request=json.dumps(request),
        created_at=later(3),
        **columns,
    )


def a_checkpoint(run: TaskRun, path: str, value: Any = None, **columns: Any) -> Checkpoint:
    """Make a checkpoint of a run."""
    values: dict[str, Any] = {
        "kind": CheckpointKind.STEP,
        "position": 0,
        "value": json.dumps(value),
        "seconds": 0.25,
        "created_at": later(3),
        **columns,
    }
    return Checkpoint.objects.create(run=run, path=path, **values)


def a_line(run: TaskRun, kind: StepKind = StepKind.LOG, **columns: Any) -> Step:
    """Add a line to a run's timeline."""
    run.last_sequence += 1
    TaskRun.objects.filter(pk=run.pk).update(last_sequence=run.last_sequence)
    values: dict[str, Any] = {"level": Level.INFO, "created_at": later(run.last_sequence), **columns}
    return Step.objects.create(run=run, sequence=run.last_sequence, kind=kind, **values)


def a_worker(name: str = "worker-1", **columns: Any) -> Worker:
    """Make a worker."""
    values: dict[str, Any] = {"host": "host", "pid": 1, "started_at": AT, "heartbeat_at": AT, **columns}
    return Worker.objects.create(id=name, **values)


def a_full_run() -> TaskRun:
    """Make the run that the golden file shows: something in every field."""
    run = a_failed_run(
        id=UUID("01960000-0000-7000-8000-000000000001"),
        args=json.dumps([1, "zwei", None]),
        kwargs=json.dumps({"amount": 12.5, "api_key": "sesame"}),
        metadata=json.dumps({"customer": 7}),
        priority=5,
        queue_name="money",
        max_attempts=3,
        attempts=3,
        version=9,
        progress_percent=66.0,
        progress_label="charging",
        progress_meta=json.dumps({"page": 2}),
        progress_at=later(4),
        wake_reason=WakeReason.NONE,
        workflow_state=json.dumps({"charged": False, "password": "sesame"}),
        workflow_step="charge",
        visit=2,
    )
    a_line(run, StepKind.CLAIMED, message="worker-1", attempt=1)
    a_line(run, StepKind.STARTED, attempt=1)
    a_line(run, StepKind.STEP, path="step:load", attempt=1, data=json.dumps({"rows": 3}))
    a_line(run, StepKind.PARTIAL, attempt=1, data=json.dumps("half"), percent=50.0)
    a_line(run, StepKind.FAILED, attempt=3, level=Level.ERROR, message="builtins.ValueError: no money")
    a_checkpoint(run, "step:load", {"rows": 3}, attempt=1)
    a_checkpoint(run, "call:child/step:inner", None, attempt=1, seconds=None)
    a_wait(
        run,
        "secret-token",
        path="wait:ask",
        request={"question": "Pay?"},
        answer="true",
        answered_at=later(4),
        answered_by="anna",
    )
    return TaskRun.objects.get(pk=run.pk)
