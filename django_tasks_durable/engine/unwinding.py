"""The unwinding of a run that has failed for good, or was cancelled: the compensations of its steps, the last step first.

It begins with a mark among the checkpoints. From then on the body is only rehearsed, for its functions, and never goes on:
a crash in the middle changes nothing, because each compensation is a durable step of its own.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from django_tasks_durable.authoring.options import BackoffLike, compensates_on_cancel
from django_tasks_durable.exceptions import (
    CompensationLost,
    Drift,
    RunCancelled,
    RunTooLong,
    TaskCancelled,
    UnknownTask,
    VersionMismatch,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import CheckpointKind, Level, StepKind
from django_tasks_durable.primitives.undone import MARK, undo_path
from django_tasks_durable.primitives.writes import (
    Cancelled,
    CheckpointRecord,
    ErrorRecord,
    Failed,
    History,
    Line,
    Outcome,
    SaveCheckpoint,
)

from . import records
from .control import AttemptControl
from .effects import Act, Call, Durable
from .rehearsal import Rehearsal, rehearse
from .replay import Perform, Place, Replay, Replayed, ReplayedFailure
from .slice import Slice
from .tries import Work, tried

# A run that is parked is to be mended and to go on: nothing of it is undone.
PARKED = (Drift, RunTooLong, UnknownTask, VersionMismatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """How a step that has finished is undone: by a function of its value, under the step's own policy."""

    function: Callable[..., Any]
    value: Any
    atomic: bool = False
    max_attempts: int = 1
    backoff: BackoffLike | None = None
    timeout: float | None = None

    def work(self, value: Any, error: BaseException) -> Work:
        """Return what is to be done."""
        return Work(
            function=self.function,
            args=(value,),
            kwargs={"error": error} if _takes_error(self.function) else {},
            kind=CheckpointKind.UNDO,
            atomic=self.atomic,
            max_attempts=self.max_attempts,
            backoff=self.backoff,
            timeout=self.timeout,
        )


def _takes_error(function: Callable[..., Any]) -> bool:
    try:
        parameter = inspect.signature(function).parameters.get("error")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """Why a run is undone, and which of its steps, in the order of undoing."""

    plan: tuple[str, ...]
    raised: str
    error: dict[str, Any] | None = None
    forget: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: tuple[str, ...], outcome: Failed | Cancelled, raised: BaseException) -> _Mark:
        if isinstance(outcome, Cancelled):
            return cls(plan=plan, raised=codec.encode_error(TaskCancelled("The run was cancelled.")))
        return cls(
            plan=plan, raised=codec.encode_error(raised), error=asdict(outcome.error), forget=tuple(outcome.forget)
        )

    @classmethod
    def read(cls, text: str) -> _Mark:
        told = json.loads(codec.opened(text))
        return cls(plan=tuple(told["plan"]), raised=told["raised"], error=told["error"], forget=tuple(told["forget"]))

    def text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def outcome(self, slice: Slice, problems: list[str]) -> Failed | Cancelled:
        """Return how the run ends now that it is undone."""
        told = f"{len(problems)} of {len(self.plan)} compensations failed: {'; '.join(problems)}" if problems else ""
        if self.error is None:
            return Cancelled(lease=slice.claimed.lease, reason=records.printable(told))
        error = ErrorRecord(**self.error)
        if told:
            error = replace(error, message=records.printable(f"{error.message} ({told})"))
        return Failed(lease=slice.claimed.lease, error=error, forget=self.forget)


class Unwinding:
    """A run that is being undone, in a slice of its own that only a lost lease and a shutdown can stop."""

    def __init__(self, attempted: Slice, outcome: Failed | Cancelled | None, raised: BaseException | None) -> None:
        self.slice = Slice(attempted.claimed, attempted.store, _deaf_to_cancellation(attempted), attempted.make_context)
        self.slice.task = attempted.task
        self.slice.is_unwinding = True
        self.slice.bodies = attempted.bodies
        self.slice.subtasks = attempted.subtasks
        self._known = dict(attempted.compensations)
        self._outcome = outcome
        self._raised = raised

    def act(self) -> Act[Outcome]:
        """Undo what has finished, the last first; return how the run ends."""
        slice = self.slice
        history: History = yield Call(slice.store.history, (slice.claimed,))
        finished = {record.path: record for record in history.checkpoints if not record.failed}
        # Nothing that a compensation tells was told before.
        slice.start_over(Replay(History(inbox=history.inbox)))
        if MARK in finished:
            mark = _Mark.read(finished[MARK].value)
        else:
            assert self._outcome is not None, "an unwinding begins at an end"
            assert self._raised is not None, "an unwinding has a reason"
            plan = [path for path, record in finished.items() if self._is_undoable(record)]
            if not plan:
                return self._outcome
            mark = _Mark.of(tuple(reversed(plan)), self._outcome, self._raised)
            yield Durable(_marking(slice, mark))
        if any(path not in self._known for path in mark.plan):
            yield from self._collect(history, mark.plan)
        replay = Replay(history)
        problems: list[str] = []
        for path in mark.plan:
            if problem := (yield from self._undo(replay, finished[path], mark)):
                problems.append(problem)
        return mark.outcome(slice, problems)

    def _is_undoable(self, record: CheckpointRecord) -> bool:
        return record.kind is CheckpointKind.UNDOABLE or record.path in self._known

    def _collect(self, history: History, plan: Sequence[str]) -> Act[None]:
        """Rehearse the body to learn how the steps of its earlier slices are undone."""
        rehearsal = Rehearsal(self.slice.claimed, history, self.slice.make_context, enters_finished=True, sought=plan)
        rehearsal.bodies, rehearsal.subtasks = self.slice.bodies, self.slice.subtasks
        yield from rehearse(rehearsal)
        self._known = {**rehearsal.compensations, **self._known}

    def _undo(self, replay: Replay, record: CheckpointRecord, mark: _Mark) -> Act[str]:
        """Undo one step; return what went wrong, nothing if nothing did."""
        frame = self.slice.root
        place = _place(record)
        key = records.key_of(place)
        decision = replay.decide(place.path, CheckpointKind.UNDO)
        if isinstance(decision, Replayed):
            return ""
        if isinstance(decision, ReplayedFailure):
            return f"{key}: {records.said(codec.decode_error(decision.text))}"
        compensation = self._known.get(record.path)
        frame.check(place.path)
        frame.scope.hold(place.path)
        try:
            if compensation is None:
                lost = CompensationLost(record.path)
                yield Durable(records.failed(self.slice.claimed.lease, place, CheckpointKind.UNDO, lost))
                raise lost
            work = compensation.work(codec.decode(record.value), codec.decode_error(mark.raised))
            yield from tried(frame, place, work, decision.tries if isinstance(decision, Perform) else ())
        except Exception as error:
            return f"{key}: {records.said(error)}"
        finally:
            frame.end()
        return ""


def resumed(slice: Slice) -> Unwinding | None:
    """Return the unwinding that an earlier slice began; None when there is none."""
    if slice.claimed.is_fresh or not slice.replay.has(MARK):
        return None
    return Unwinding(slice, None, None)


def begun(slice: Slice, outcome: Outcome | None, raised: BaseException) -> Unwinding | None:
    """Return the unwinding that this end of an attempt asks for; None when nothing is to be undone."""
    match outcome:
        case Failed(retry_at=None):
            is_wanted = not isinstance(slice.error, PARKED)
        case Cancelled():
            is_wanted = compensates_on_cancel(slice.claimed.options)
        case _:
            return None
    if not is_wanted or slice.task is None or not _has_undoable(slice):
        return None
    raised = RunCancelled() if isinstance(outcome, Cancelled) else slice.error or raised
    return Unwinding(slice, outcome, raised)


def left_to_another(
    slice: Slice, outcome: Outcome | None, raised: BaseException, history: History
) -> SaveCheckpoint | None:
    """Return the mark that lets the next slice undo what this one, whose process is gone, has done; None for nothing."""
    undoing = begun(slice, outcome, raised)
    if undoing is None or not isinstance(outcome, Failed | Cancelled):
        return None
    plan = [record.path for record in history.checkpoints if record.kind is CheckpointKind.UNDOABLE]
    assert undoing._raised is not None, "an unwinding that has begun has a reason"
    return _marking(slice, _Mark.of(tuple(reversed(plan)), outcome, undoing._raised))


def _has_undoable(slice: Slice) -> bool:
    return bool(slice.compensations) or slice.replay.has_undoable


def inline(slice: Slice, error: Exception) -> Act[None]:
    """Undo at once what a body that nobody remembers has done, the last first; what fails is noted on the error."""
    for path, compensation in reversed(slice.compensations.items()):
        work = compensation.work(compensation.value, error)
        try:
            yield from tried(slice.root, Place("", undo_path(path), 0), work)
        except Exception as problem:
            error.add_note(f"{path} could not be undone: {records.said(problem)}")


def _place(record: CheckpointRecord) -> Place:
    path = undo_path(record.path)
    scope, slash, _ = path.rpartition("/")
    return Place(scope + slash, path, record.position)


def _marking(slice: Slice, mark: _Mark) -> SaveCheckpoint:
    what = "1 step is" if len(mark.plan) == 1 else f"{len(mark.plan)} steps are"
    return SaveCheckpoint(
        lease=slice.claimed.lease,
        checkpoint=CheckpointRecord(path=MARK, kind=CheckpointKind.UNDO, position=0, value=mark.text()),
        line=Line(kind=StepKind.COMPENSATED, message=f"{what} undone", level=Level.WARN, path=MARK),
    )


def _deaf_to_cancellation(slice: Slice) -> AttemptControl:
    """Return a control that passes on all but a cancellation: what has begun to be undone is undone to the end."""
    outer, inner = slice.control, AttemptControl()

    def pass_on() -> None:
        if outer.reason is not None and not isinstance(outer.reason, RunCancelled):
            inner.stop(outer.reason)

    outer.add_callback(pass_on)
    return inner
