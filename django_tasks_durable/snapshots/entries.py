"""Lines of timelines and lives of workers as entries of one shape, for a log, a feed or another system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_tasks_durable.models import Worker
from django_tasks_durable.primitives.status import Level, State, StepKind

from .house import WORKER_LIMIT
from .parts import TimelineLine
from .shapes import RunSummary
from .wire import WIRE_VERSION, Show, instant, unveiled

TYPES = {StepKind.SLEEPING: "waiting"}
LEVELS = {
    StepKind.SUCCEEDED: Level.SUCCESS,
    StepKind.FAILED: Level.ERROR,
    StepKind.RETRIED: Level.WARN,
    StepKind.CANCELLED: Level.WARN,
    StepKind.STALE: Level.WARN,
    StepKind.STALLED: Level.WARN,
}
# Where a line leaves its run. The others, such as a message, say nothing of it.
STATES = {
    StepKind.ENQUEUED: State.QUEUED,
    StepKind.CLAIMED: State.CLAIMED,
    StepKind.STARTED: State.RUNNING,
    StepKind.STEP: State.RUNNING,
    StepKind.LOG: State.RUNNING,
    StepKind.EVENT: State.RUNNING,
    StepKind.CHECKPOINT: State.RUNNING,
    StepKind.CUSTOM: State.RUNNING,
    StepKind.PARTIAL: State.RUNNING,
    StepKind.WAITING: State.WAITING,
    StepKind.SLEEPING: State.WAITING,
    StepKind.RETRIED: State.RETRYING,
    StepKind.SUCCEEDED: State.SUCCEEDED,
    StepKind.FAILED: State.FAILED,
    StepKind.CANCELLED: State.CANCELLED,
    StepKind.STALE: State.STALE,
    StepKind.STALLED: State.STALE,
}
# What is done to a run rather than by its worker.
FROM_OUTSIDE = frozenset(
    {StepKind.ENQUEUED, StepKind.RESUMED, StepKind.MESSAGE, StepKind.AUDIT, StepKind.CANCEL_REQUESTED}
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that happened, in the shape that all entries have."""

    type: str
    level: Level
    timestamp: datetime
    message: str = ""
    percent: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    worker: str = ""
    task_id: str = ""
    task_path: str = ""
    state: State | None = None
    channels: Sequence[str] = ()
    sequence: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format, without the fields that are empty."""
        return {
            "v": WIRE_VERSION,
            "type": self.type,
            "level": self.level.value,
            "timestamp": instant(self.timestamp),
        } | filled(
            {
                "message": self.message,
                "percent": self.percent,
                "metadata": self.metadata,
                "worker": self.worker,
                "task_id": self.task_id,
                "task_path": self.task_path,
                "state": self.state and self.state.value,
                "channels": list(self.channels),
                "sequence": self.sequence,
            }
        )


def filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the fields that are empty; zero and False are not."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {}, ())}


def as_entry(line: TimelineLine, run: RunSummary, *, show: Show = unveiled) -> Entry:
    """Make the entry of a line of a run's timeline, what it carries as ``show`` lets it be seen.

    The state is the one that the line left the run in; for a line that says nothing of it, the one that the run is in.
    """
    shown = show(line.value) if line.data_text else None
    return Entry(
        type=TYPES.get(line.kind, line.kind.value),
        level=LEVELS.get(line.kind, line.level),
        timestamp=line.created_at,
        message=line.message,
        percent=line.percent,
        metadata=filled(
            {
                "attempt": line.attempt or None,
                "path": line.path,
                "data": filled(shown) if isinstance(shown, Mapping) else shown,
            }
        ),
        worker=_worker_of(line, run),
        task_id=str(run.id),
        task_path=run.task_path,
        state=STATES.get(line.kind, run.state),
        channels=run.channels,
        sequence=line.sequence,
    )


def _worker_of(line: TimelineLine, run: RunSummary) -> str:
    if line.kind in (StepKind.CLAIMED, StepKind.STALE):
        return line.message
    return run.lease_worker if line.kind not in FROM_OUTSIDE and line.attempt == run.attempt else ""


def progress_entry(run: RunSummary, *, show: Show = unveiled) -> Entry | None:
    """Make the entry of how far a run says it is; None while it has said nothing."""
    progress = run.progress
    if progress.updated_at is None:
        return None
    meta = show(progress.meta)
    return Entry(
        type="progress",
        level=Level.INFO,
        timestamp=progress.updated_at,
        message=progress.label,
        percent=progress.percent,
        metadata=filled({"data": filled(meta) if isinstance(meta, Mapping) else meta}),
        worker=run.lease_worker,
        task_id=str(run.id),
        task_path=run.task_path,
        state=State.RUNNING,
        channels=run.channels,
    )


def stale_requeued(entries: list[Entry]) -> Entry:
    """Make the one entry that counts the runs which were taken back from lost workers, from their own entries."""
    return Entry(
        type="stale_requeued",
        level=Level.WARN,
        timestamp=max(entry.timestamp for entry in entries),
        metadata={"count": len(entries), "workers": sorted({entry.worker for entry in entries})},
    )


def worker_entries(*, using: str, limit: int = WORKER_LIMIT) -> list[Entry]:
    """Read how the newest workers started and stopped, the oldest entry first."""
    rows = Worker.objects.using(using).order_by("-started_at", "id")[:limit]
    found = [entry for row in rows for entry in _entries_of(row)]
    return sorted(found, key=lambda entry: entry.timestamp)


def _entries_of(row: Worker) -> list[Entry]:
    metadata = filled(
        {"host": row.host, "pid": row.pid, "concurrency": row.concurrency, "version": row.package_version}
    )
    started = Entry(type="worker_started", level=Level.INFO, timestamp=row.started_at, metadata=metadata, worker=row.id)
    ended_at = row.stopped_at or row.dead_at
    if ended_at is None:
        return [started]
    stopped = Entry(
        type="worker_stopped",
        level=Level.INFO if row.stopped_at else Level.WARN,
        timestamp=ended_at,
        message="" if row.stopped_at else "It fell silent and was declared dead.",
        metadata=metadata,
        worker=row.id,
    )
    return [started, stopped]
