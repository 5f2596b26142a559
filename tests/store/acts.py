"""What the tests of the store do again and again, each in one word."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.models import Checkpoint, Message, Step, TaskRun, Wait, Worker
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import CheckpointKind, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Append,
    Cancelled,
    CheckpointRecord,
    ClaimedRun,
    ErrorRecord,
    Failed,
    Line,
    Released,
    SaveCheckpoint,
    SetProgress,
    Started,
    Succeeded,
    Suspended,
    WaitRequest,
    Write,
)
from django_tasks_durable.store import claims, intake, vendors, workers
from django_tasks_durable.store.commit import Answer, commit
from django_tasks_durable.store.deltas import Delta
from tests.probe import tasks

WORKER = "worker-1"
PATHS = [
    f"tests.probe.tasks.{name}"
    for name in (
        "echo",
        "elsewhere",
        "add",
        "three_steps",
        "atomic_steps",
        "asks",
        "naps",
        "fails",
        "alone",
        "in_pairs",
        "keeps_its_key",
        "now_and_then",
    )
]


def enqueue(task: Any = tasks.echo, *args: Any, using: str = "default", **options: Any) -> UUID:
    """Put one run into the store; options are those of Task.using()."""
    return intake.enqueue(
        task.using(**options) if options else task, list(args), {}, using=using, backend_alias="default"
    )


def enqueue_waiting(task: Any) -> UUID:
    """Put one run into the store and let it run until it waits."""
    from django_tasks_durable.testing import drain

    run_id = enqueue(task)
    drain()
    return run_id


def register(session: vendors.Session, worker_id: str = WORKER, *, lease_seconds: float = 30) -> str:
    """Enter a worker."""
    workers.register(session, worker_id, queues=None, concurrency=4, lease_seconds=lease_seconds)
    return worker_id


def wanted(worker_id: str = WORKER, **wants: Any) -> claims.Wanted:
    """Say what a worker would take."""
    return claims.Wanted(worker_id=worker_id, **{"task_paths": PATHS, **wants})


def claim(session: vendors.Session, worker_id: str = WORKER, *, limit: int = 10, **wants: Any) -> list[ClaimedRun]:
    """Claim what is due."""
    order = wanted(worker_id, **wants)
    with session.transaction():
        return claims.claim(session, order, limit=limit)


def hand_in(session: vendors.Session, claimed: ClaimedRun, *writes: Write, waits_for_locks: bool = False) -> Answer:
    """Commit the facts of one attempt."""
    delta = Delta(claimed, WORKER)
    for write in writes:
        delta.add(write)
    with session.transaction():
        return commit(session, [delta], waits_for_locks=waits_for_locks)[claimed.run_id]


def lose_worker(session: vendors.Session, worker_id: str = WORKER) -> list[UUID]:
    """Let a worker die and sweep its runs."""
    session.execute(f"UPDATE durable_tasks_worker SET dead_at = {session.now} WHERE id = %s", (worker_id,))
    swept = workers.sweep(session)
    session.execute("UPDATE durable_tasks_worker SET dead_at = NULL WHERE id = %s", (worker_id,))
    return swept


def everything() -> dict[str, list[dict[str, Any]]]:
    """Read every row of every table, to compare before and after."""
    tables = (TaskRun, Step, Checkpoint, Wait, Message, Worker)
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in tables}


def run(run_id: UUID) -> TaskRun:
    """Read one run's row."""
    return TaskRun.objects.get(pk=run_id)


def kinds(run_id: UUID) -> list[str]:
    """Read the kinds of a run's lines in order."""
    return list(Step.objects.filter(run_id=run_id).order_by("sequence").values_list("kind", flat=True))


def sequences(run_id: UUID) -> list[int]:
    """Read the numbers of a run's lines."""
    return list(Step.objects.filter(run_id=run_id).order_by("sequence").values_list("sequence", flat=True))


def checkpoint(path: str = "step:load", *, position: int = 1, value: str = "1", **more: Any) -> CheckpointRecord:
    """Make a checkpoint."""
    return CheckpointRecord(path=path, kind=CheckpointKind.STEP, position=position, value=value, **more)


def save(lease: Lease, path: str = "step:load", **more: Any) -> SaveCheckpoint:
    """Make the fact of a finished step."""
    return SaveCheckpoint(lease=lease, checkpoint=checkpoint(path, **more), line=Line(kind=StepKind.STEP, path=path))


def append(lease: Lease, message: str = "hello", kind: StepKind = StepKind.LOG, path: str = "") -> Append:
    """Make a log line or a partial result."""
    return Append(lease=lease, line=Line(kind=kind, message=message, path=path))


def failed(lease: Lease, *, retry_at: datetime | None = None, forget: tuple[str, ...] = ()) -> Failed:
    """Make the end of an attempt that raised."""
    error = ErrorRecord(exception_class_path="builtins.ValueError", message="no", traceback="Traceback ...")
    return Failed(lease=lease, error=error, retry_at=retry_at, forget=forget)


def parked(lease: Lease, *, inbox: int = 0, wake_at: datetime | None = None, token: str = "a" * 32) -> Suspended:
    """Make a suspension that waits for an answer."""
    return Suspended(
        lease=lease, parked=True, wake_at=wake_at, reason=WakeReason.NONE, inbox=inbox,
        waits=(WaitRequest(path="wait:1", kind="interrupt", position=1, token=token, request="null"),),
    )  # fmt: skip


def asleep(lease: Lease, wake_at: datetime, *, inbox: int = 0) -> Suspended:
    """Make a suspension that sleeps."""
    record = CheckpointRecord(path="sleep:1", kind=CheckpointKind.SLEEP, position=1, value="null")
    return Suspended(
        lease=lease, parked=False, wake_at=wake_at, reason=WakeReason.SLEEP, inbox=inbox, checkpoints=(record,)
    )


def each_write(lease: Lease, soon: datetime) -> dict[str, Write]:
    """Make one write of every kind that an attempt may make."""
    return {
        "started": Started(lease=lease),
        "checkpoint": save(lease),
        "log": append(lease),
        "partial": append(lease, kind=StepKind.PARTIAL),
        "progress": SetProgress(lease=lease, percent=50.0, label="half", meta="{}"),
        "succeeded": Succeeded(lease=lease, result="1"),
        "failed for good": failed(lease),
        "failed, to be retried": failed(lease, retry_at=soon, forget=("step:load",)),
        "waiting": parked(lease),
        "sleeping": asleep(lease, soon),
        "cancelled": Cancelled(lease=lease, reason="stop"),
        "released": Released(lease=lease),
    }


WRITE_KINDS = (
    "started", "checkpoint", "log", "partial", "progress", "succeeded", "failed for good", "failed, to be retried", "waiting",
    "sleeping", "cancelled", "released",
)  # fmt: skip
