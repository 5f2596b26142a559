"""All that one batch changes about one run, gathered before the database is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import assert_never

from django_tasks_durable.authoring.options import compensates_on_cancel
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import LEASED, Level, RunStatus, StepKind, WakeReason, may_move
from django_tasks_durable.primitives.writes import (
    Append,
    Awaited,
    Cancelled,
    CheckpointRecord,
    ChildRun,
    ClaimedRun,
    ErrorRecord,
    Failed,
    Line,
    Lost,
    Migrated,
    Released,
    SaveCheckpoint,
    SaveState,
    SetProgress,
    Spawn,
    Started,
    StateRecord,
    Succeeded,
    Suspended,
    WaitRequest,
    Write,
)

from .telling import is_told, tells_all

KEPT_ERRORS = 20
_claimed_by = lru_cache(maxsize=64)(lambda worker_id: Line(kind=StepKind.CLAIMED, message=worker_id))
_STARTED = Line(kind=StepKind.STARTED)
_SUCCEEDED = Line(kind=StepKind.SUCCEEDED, level=Level.SUCCESS, percent=100.0)

# The lines that an attempt may end with, and that a cancellation takes the place of.
_ENDINGS = frozenset({StepKind.WAITING, StepKind.SLEEPING, StepKind.RETRIED, StepKind.RELEASED, StepKind.STALE})

for _status in (RunStatus.SUCCESSFUL, RunStatus.READY, RunStatus.WAITING, RunStatus.FAILED, RunStatus.CANCELLED):
    if not all(may_move(leased, _status) for leased in LEASED):
        raise AssertionError(f"An attempt may end a run as {_status}, but TRANSITIONS does not say so.")


@dataclass(slots=True, eq=False)
class Delta:
    """The change of one run in one batch: its new lines, checkpoints and waits, and how the attempt ended, if it did.

    ``status`` is None while the attempt goes on. ``ending`` says that the last line tells the end, so that it can be told
    as a cancellation when somebody asked for one meanwhile.
    """

    claimed: ClaimedRun
    worker_id: str
    lines: list[Line] = field(default_factory=list)
    checkpoints: list[CheckpointRecord] = field(default_factory=list)
    waits: list[WaitRequest] = field(default_factory=list)
    consumed: list[tuple[int, str]] = field(default_factory=list)
    children: list[ChildRun] = field(default_factory=list)
    awaited: tuple[Awaited, ...] = ()
    forget: tuple[str, ...] = ()
    started: bool = False
    percent: float | None = None
    label: str | None = None
    meta: str | None = None
    status: RunStatus | None = None
    result: str | None = None
    due_at: datetime | None = None
    reason: WakeReason = WakeReason.NONE
    inbox: int | None = None
    errors: str | None = None
    worker_ids: str | None = None
    error_code: str = ""
    attempts: int = 0
    unwinding: bool = False
    state: StateRecord | None = None
    # How many of the lines come before the visit that the workflow enters, if it enters one.
    lines_before_visit: int | None = None
    abandon: tuple[str, ...] = ()
    rewritten: Migrated | None = None
    # How the process that carried the attempt died, and how many deliveries were lost in a row with this one.
    lost: ErrorRecord | None = None
    deliveries: int = 0

    @property
    def lease(self) -> Lease:
        """The lease that every change of this batch is fenced by."""
        return self.claimed.lease

    @property
    def attempt(self) -> int:
        """The number of the attempt that these lines belong to."""
        return self.claimed.attempts + 1

    @property
    def tells_all(self) -> bool:
        """See tells_all()."""
        return tells_all(self.claimed)

    @property
    def is_decided(self) -> bool:
        """Whether the change holds whatever is in the row, given the lease."""
        return self.status is None or self.status is RunStatus.SUCCESSFUL

    @property
    def is_unconditional(self) -> bool:
        """Whether there is nothing to decide under the lock, and no row of another table or run to write."""
        return self.is_decided and not (self.consumed or self.children or self.state or self.rewritten)

    @property
    def is_suspension(self) -> bool:
        """Whether the attempt ended because its body waits."""
        return self.inbox is not None

    @property
    def may_free_keys(self) -> bool:
        """Whether the run may end with this change and lets go of names then."""
        return self.claimed.holds_keys and self.status is not None

    @property
    def has_progress(self) -> bool:
        """Whether the progress columns change."""
        return self.percent is not None or self.label is not None or self.meta is not None

    def add(self, write: Write) -> None:
        """Take up one more fact."""
        match write:
            case Succeeded():
                self._end(RunStatus.SUCCESSFUL, _SUCCEEDED)
                self.result = write.result
                self.percent = 100.0
                self._stand(write.state)
            case Started():
                self.started = True
                if self.tells_all:
                    self.lines += (_claimed_by(self.worker_id), _STARTED)
            case SaveCheckpoint():
                self.checkpoints.append(write.checkpoint)
                if write.consumes is not None:
                    self.consumed.append((write.consumes, write.checkpoint.path))
                self._tell(write.line)
                self._stand(write.state)
            case SaveState():
                self._tell(write.line)
                self._stand(write.state)
                self.lines_before_visit = len(self.lines)
                self.abandon += write.abandon
            case Spawn():
                self.checkpoints.append(write.checkpoint)
                self.children.append(write.child)
                self._tell(write.line)
            case Append():
                self.lines.append(write.line)
            case Migrated():
                self.rewritten = write
                self.checkpoints.extend(write.checkpoints)
                self.lines.append(write.line)
            case SetProgress():
                self._progress(write)
            case Failed():
                self._fail(write)
            case Suspended():
                self._suspend(write)
            case Cancelled():
                self._end(RunStatus.CANCELLED, Line(kind=StepKind.CANCELLED, level=Level.WARN, message=write.reason))
            case Released():
                self._end(RunStatus.READY, Line(kind=StepKind.RELEASED))
                self.reason = WakeReason.RELEASED
            case Lost():
                self._lose(write)
            case _:
                assert_never(write)

    def _tell(self, line: Line | None) -> None:
        """Add a line to the timeline, unless it tells what went well of a run that keeps only what did not."""
        if line is not None and is_told(line, self.claimed):
            self.lines.append(line)

    def _stand(self, state: StateRecord | None) -> None:
        """Take up where the workflow stands; a state that is not told anew is the one that was told before."""
        if state is not None and state.state is None and self.state is not None:
            state = replace(state, state=self.state.state)
        self.state = state or self.state

    def _progress(self, write: SetProgress) -> None:
        self.percent = self.percent if write.percent is None else write.percent
        self.label = self.label if write.label is None else write.label
        self.meta = self.meta if write.meta is None else write.meta

    def _fail(self, write: Failed) -> None:
        error = write.error
        self._keep_error(error)
        self.attempts = 1
        self.forget = write.forget
        self._stand(write.state)
        message = f"{error.exception_class_path}: {error.message}"
        if write.retry_at is not None:
            self._end(RunStatus.READY, Line(kind=StepKind.RETRIED, level=Level.WARN, message=message))
            self.due_at, self.reason = write.retry_at, WakeReason.RETRY
        else:
            self._end(RunStatus.FAILED, Line(kind=StepKind.FAILED, level=Level.ERROR, message=message))
            self.error_code = error.code or "EXCEPTION"

    def _keep_error(self, error: ErrorRecord) -> None:
        entry = {
            "exception_class_path": error.exception_class_path,
            "message": error.message,
            "traceback": error.traceback,
            "code": error.code,
            "attempt": self.attempt,
        }
        self.errors = json.dumps([*json.loads(self.claimed.errors), entry][-KEPT_ERRORS:])
        self.worker_ids = json.dumps([*json.loads(self.claimed.worker_ids), self.worker_id])

    def _lose(self, write: Lost) -> None:
        self._end(RunStatus.READY, Line(kind=StepKind.STALE, level=Level.WARN, message=write.error.message))
        self.reason = WakeReason.STALE
        self.lost = write.error

    def count_loss(self, before: int, allowed: int) -> None:
        """Count a delivery that was lost with its process; the last one that is allowed fails the run.

        ``before`` are those lost in a row so far. Call under the lock, before settle().
        """
        if self.lost is None:
            return
        self.deliveries = 1 if self.checkpoints else before + 1
        if self.deliveries >= allowed:
            self._keep_error(self.lost)
            self.lines[-1] = Line(
                kind=StepKind.FAILED,
                level=Level.ERROR,
                message=f"{self.lost.exception_class_path}: {self.lost.message}",
            )
            self.status, self.reason, self.error_code = RunStatus.FAILED, WakeReason.NONE, self.lost.code

    def _suspend(self, write: Suspended) -> None:
        kind = StepKind.WAITING if write.parked else StepKind.SLEEPING
        path = write.waits[0].path if write.waits else write.checkpoints[0].path if write.checkpoints else ""
        self._end(RunStatus.WAITING if write.parked else RunStatus.READY, Line(kind=kind, path=path))
        self.waits.extend(write.waits)
        self.checkpoints.extend(write.checkpoints)
        self._stand(write.state)
        self.due_at, self.reason, self.inbox = write.wake_at, write.reason, write.inbox
        self.unwinding = write.unwinding
        self.awaited, self.forget = write.awaited, write.forget

    def _end(self, status: RunStatus, line: Line) -> None:
        if self.status is not None:
            raise AssertionError(
                f"Run {self.lease.run_id} was ended twice in one attempt: {self.status}, then {status}."
            )
        self.status = status
        self._tell(line)

    def give_way(self, version: int) -> bool:
        """Give the attempt back, writing nothing, when the workflow's state was changed from outside since it was claimed.

        A failure stays one, without what the attempt made of the state. Return whether an attempt that goes on has to be
        told: one that has ended hears it from its verdict. Call under the lock, before settle().
        """
        if self.state is None or self.state.expected == version:
            return False
        self.state, self.lines_before_visit, self.abandon = None, None, ()
        self.checkpoints.clear()
        self.consumed.clear()
        self.children.clear()
        if self.attempts or self.lost is not None:
            return False
        goes_on = self.status is None
        self.lines[:] = [line for line in self.lines if line.kind in (StepKind.CLAIMED, StepKind.STARTED)]
        self.waits.clear()
        self.awaited, self.forget, self.unwinding = (), (), False
        self.status, self.result, self.inbox, self.due_at = None, None, None, None
        self.percent, self.label, self.meta = None, None, None
        self._end(RunStatus.READY, Line(kind=StepKind.RELEASED, message="A command changed the state"))
        self.reason = WakeReason.MESSAGE
        return goes_on

    def settle(self, *, cancel_requested: bool, inbox: int, has_news: bool = False) -> RunStatus | None:
        """Decide under the lock how the run stands after this change.

        A cancellation that was asked for wins over everything but a success. A suspension holds only while nothing has
        arrived since the attempt last looked, and no awaited child has news; otherwise the run is due again at once.
        """
        if self.is_decided:
            return self.status
        if cancel_requested and self.unwinding:
            return self.status
        if cancel_requested and self.status is not RunStatus.FAILED and compensates_on_cancel(self.claimed.options):
            # Its next slice sees the request and undoes what was done.
            if self.status is not RunStatus.CANCELLED:
                self.status, self.due_at, self.reason = RunStatus.READY, None, WakeReason.OPERATOR
        elif cancel_requested and self.status is not RunStatus.CANCELLED:
            if self.lines and self.lines[-1].kind in _ENDINGS:
                self.lines.pop()
            self.lines.append(Line(kind=StepKind.CANCELLED, level=Level.WARN))
            self.status, self.due_at, self.reason = RunStatus.CANCELLED, None, WakeReason.NONE
            self.error_code = ""
        elif self.inbox is not None and self.inbox != inbox:
            self.status, self.due_at, self.reason = RunStatus.READY, None, WakeReason.MESSAGE
        elif has_news:
            self.status, self.due_at, self.reason = RunStatus.READY, None, WakeReason.CHILD
        return self.status
