"""A run between two stores: all that is needed to go on with it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from .status import FINISHED, LEASED, RunStatus, WakeReason
from .writes import UNSTAGED, CheckpointRecord, History, MessageRecord, Stage, WaitRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class PortableRun:
    """What a run is made of, whatever keeps it. Payloads are JSON text, as in the rows.

    ``checkpoints`` stand in the order in which they were written, ``messages`` in that in which they were sent: those
    that nobody took. ``partials`` are pairs of a scope's path and the text of
    a value. ``stage`` is that of a class workflow, whose visit began after so many partials. ``read_at`` is the instant at
    which it was read, by the clock of its store.
    """

    task_path: str
    args: str = "[]"
    kwargs: str = "{}"
    options: str = "{}"
    metadata: str = "{}"
    backend: str = "default"
    queue_name: str = "default"
    priority: int = 0
    run_id: UUID | None = None
    forked_from: UUID | None = None
    status: RunStatus = RunStatus.READY
    wake_reason: WakeReason = WakeReason.NONE
    cancel_requested: bool = False
    attempts: int = 0
    max_attempts: int = 1
    max_deliveries: int = 3
    inbox: int = 0
    code_version: int = 1
    enqueued_at: datetime | None = None
    run_after: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    read_at: datetime | None = None
    result: str | None = None
    errors: str = "[]"
    error_code: str = ""
    worker_ids: str = "[]"
    percent: float | None = None
    label: str = ""
    meta: str = ""
    checkpoints: tuple[CheckpointRecord, ...] = ()
    waits: tuple[WaitRecord, ...] = ()
    messages: tuple[MessageRecord, ...] = ()
    partials: tuple[tuple[str, str], ...] = ()
    stage: Stage = UNSTAGED
    partials_before_visit: int = 0

    @property
    def arrived_stage(self) -> Stage:
        """The stage in a timeline that begins with one line, and then has the partials."""
        return replace(self.stage, sequence=1 + self.partials_before_visit) if self.stage.visit else self.stage

    @property
    def history(self) -> History:
        """What a slice of this run would find."""
        counted: dict[str, int] = {}
        for path, _ in self.partials:
            counted[path] = counted.get(path, 0) + 1
        return History(
            checkpoints=self.checkpoints,
            waits=self.waits,
            messages=self.messages,
            partials=counted,
            inbox=self.inbox,
        )

    def landed(self, now: datetime) -> PortableRun:
        """Return the run as it stands once it has arrived in a store whose clock says ``now``.

        Nobody holds it there, so what was under way is due at once; a sleep, a deadline and an end stay as they were.
        """
        run = replace(self, enqueued_at=self.enqueued_at or now)
        if run.status in FINISHED:
            return replace(run, due_at=None, finished_at=run.finished_at or now)
        if run.cancel_requested:
            return replace(run, status=RunStatus.CANCELLED, wake_reason=WakeReason.NONE, due_at=None, finished_at=now)
        if run.status in LEASED:
            return replace(run, status=RunStatus.READY, wake_reason=WakeReason.RELEASED, due_at=now)
        if run.status is RunStatus.WAITING and run.has_open_wait:
            return run
        return replace(run, status=RunStatus.READY, due_at=run.due_at or run.run_after or now)

    @property
    def has_open_wait(self) -> bool:
        """Whether a question is asked that nobody has answered and that the run has not gone on without."""
        done = {record.path for record in self.checkpoints}
        return any(wait.answer is None and wait.path not in done for wait in self.waits)
