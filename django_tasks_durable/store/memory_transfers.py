"""A run out of this process's memory, and into it."""

from __future__ import annotations

from uuid import UUID

from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import Level, StepKind
from django_tasks_durable.primitives.writes import Line

from .memory import MemoryStore
from .memory_run import MemoryRun


def take_out(store: MemoryStore, name: UUID | str) -> PortableRun:
    """Read a run as it stands; it stays where it is. Raise RunNotFound."""
    run = store.copy(name)
    return PortableRun(
        task_path=run.task_path,
        args=run.args,
        kwargs=run.kwargs,
        options=run.options,
        metadata=run.metadata,
        backend=run.backend,
        queue_name=run.queue_name,
        priority=run.priority,
        run_id=run.id,
        status=run.status,
        wake_reason=run.wake_reason,
        cancel_requested=run.cancel_requested,
        attempts=run.attempts,
        max_attempts=run.max_attempts,
        inbox=run.inbox,
        code_version=run.code_version,
        enqueued_at=run.enqueued_at,
        run_after=run.run_after,
        due_at=run.due_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        read_at=store.now(),
        result=run.result,
        errors=run.errors,
        error_code=run.error_code,
        worker_ids=run.worker_ids,
        percent=run.percent,
        label=run.label,
        meta=run.meta,
        checkpoints=tuple(run.checkpoints.values()),
        waits=tuple(run.waits.values()),
        messages=tuple(run.messages.values()),
        partials=tuple((line.path, line.data) for line in run.lines if line.kind is StepKind.PARTIAL),
        stage=run.stage,
        partials_before_visit=sum(line.kind is StepKind.PARTIAL for line in run.lines[: run.stage.sequence]),
    )


def bring_in(store: MemoryStore, run: PortableRun, *, name: str | None = None, run_id: UUID | None = None) -> UUID:
    """Put a run into a store, to go on there. Raise RunExists when there is one of this name or id."""
    now = store.now()
    run = run.landed(now)
    run_id = run_id or new_id()
    lines = [Line(kind=StepKind.ENQUEUED)]
    lines += [Line(kind=StepKind.PARTIAL, path=path, data=text) for path, text in run.partials]
    lines.append(Line(kind=StepKind.AUDIT, message="Imported", level=Level.INFO))
    made = MemoryRun(
        id=run_id,
        name=name or str(run_id),
        task_path=run.task_path,
        args=run.args,
        kwargs=run.kwargs,
        options=run.options,
        metadata=run.metadata,
        backend=run.backend,
        queue_name=run.queue_name,
        priority=run.priority,
        max_attempts=run.max_attempts,
        enqueued_at=run.enqueued_at or now,
        run_after=run.run_after,
        due_at=run.due_at,
        status=run.status,
        wake_reason=run.wake_reason,
        # As if it had been claimed once before: a first claim would not look for a history.
        token=1,
        attempts=run.attempts,
        inbox=run.inbox,
        code_version=run.code_version,
        worker_ids=run.worker_ids,
        errors=run.errors,
        error_code=run.error_code,
        started_at=run.started_at,
        finished_at=run.finished_at,
        result=run.result,
        percent=run.percent,
        label=run.label,
        meta=run.meta,
        lines=lines,
        checkpoints={record.path: record for record in run.checkpoints},
        waits={wait.path: wait for wait in run.waits},
        stage=run.arrived_stage,
        messages={message.id: message for message in run.messages},
        sent=max((message.id for message in run.messages), default=0),
    )
    store.admit(made)
    return run_id
