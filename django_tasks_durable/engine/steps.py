"""The step: a function's value, remembered under a key."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django_tasks_durable import signals
from django_tasks_durable.authoring.backoff import Backoff
from django_tasks_durable.authoring.options import BackoffLike
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import Drift, NonRetryable, NotSerializable, PayloadTooLarge, TaskTimeout
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.status import CheckpointKind, Level, WakeReason
from django_tasks_durable.primitives.writes import Append, CheckpointRecord, SaveCheckpoint, SetProgress

from . import records
from .effects import Act, Atomic, Call, Durable, Pause
from .frame import AtomicNotes, Frame, Pending
from .replay import Perform, Place, Replayed, ReplayedFailure
from .slice import Slice

logger = logging.getLogger("django_tasks_durable.engine")

# A shorter delay is waited for on the spot: to suspend and be claimed again would cost more.
SHORT_SECONDS = 2.0
LONGEST_SECONDS = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a step is to do, and how often it may be tried."""

    function: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any]
    fingerprint: str
    atomic: bool = False
    max_attempts: int = 1
    backoff: BackoffLike | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception
    seconds: float


def step(
    frame: Frame,
    key: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    atomic: bool = False,
    max_attempts: int = 1,
    backoff: BackoffLike | None = None,
) -> Act[Any]:
    """Return what the function returned the first time; call it if there was none."""
    _expect_usable(function, atomic, max_attempts)
    work = Work(
        function=function,
        args=args,
        kwargs=kwargs,
        fingerprint=codec.fingerprint(args, kwargs),
        atomic=atomic,
        max_attempts=max_attempts,
        backoff=backoff,
    )
    place = frame.begin("step", key, work.fingerprint)
    try:
        match frame.decide(place, CheckpointKind.STEP):
            case Replayed(text):
                return codec.decode(text)
            case ReplayedFailure(text):
                raise frame.slice.remember(codec.decode_error(text), place.path)
            case Perform(tries):
                return (yield from _tried(frame, place, work, tries))
            case other:
                raise AssertionError(f"A step cannot be {other!r}.")
    finally:
        frame.end()


def key_for(function: Callable[..., Any]) -> str:
    """Return the key of a step that was given none: its function's name."""
    found = function.func if isinstance(function, partial) else function
    return str(getattr(found, "__qualname__", type(found).__qualname__))


def _tried(frame: Frame, place: Place, work: Work, tries: tuple[CheckpointRecord, ...]) -> Act[Any]:
    number = len(tries) + 1
    if tries:
        yield from _until_due(frame, place, tries[-1])
    while True:
        tried = yield from _once(frame, place, work)
        if isinstance(tried, _Done):
            return tried.value
        delay = _delay(frame, work, number, tried.error)
        if delay is None:
            break
        yield from _rest(frame, place, work, number, tried, delay)
        number += 1
    write = records.failed(
        frame.slice.claimed.lease,
        place,
        CheckpointKind.STEP,
        tried.error,
        fingerprint=work.fingerprint,
        seconds=tried.seconds,
    )
    yield Durable(write)
    raise frame.slice.remember(tried.error, place.path)


def _once(frame: Frame, place: Place, work: Work) -> Act[_Done | _Failed]:
    started = clock.monotonic()
    try:
        if work.atomic:
            value = yield Atomic(partial(_perform_atomic, frame, place, work, started))
        else:
            raw = yield Call(work.function, work.args, work.kwargs)
            crash_point("after_effect")
            text, value = codec.round_trip(raw, limit=frame.slice.limit)
            yield Durable(_saved(frame, place, work, text, clock.monotonic() - started))
    except (Drift, TaskTimeout):  # about the attempt, not the step
        raise
    except Exception as error:
        return _Failed(error, clock.monotonic() - started)
    _announce(frame.slice, place)
    return _Done(value)


def _perform_atomic(
    frame: Frame, place: Place, work: Work, started: float
) -> tuple[Any, list[SaveCheckpoint | Append | SetProgress]]:
    """Call the function of an atomic step; what it tells of itself is committed with its writes."""
    notes = frame.strand.atomic = AtomicNotes(place.path)
    try:
        raw = work.function(*work.args, **work.kwargs)
    finally:
        frame.strand.atomic = None
    if inspect.iscoroutine(raw):
        raw.close()
        raise TypeError(_NO_COROUTINE)
    crash_point("after_effect")
    text, value = codec.round_trip(raw, limit=frame.slice.limit)
    return value, [*notes.facts, _saved(frame, place, work, text, clock.monotonic() - started)]


def _saved(frame: Frame, place: Place, work: Work, text: str, seconds: float) -> SaveCheckpoint:
    return records.saved(
        frame.slice.claimed.lease,
        place,
        CheckpointKind.STEP,
        text,
        fingerprint=work.fingerprint,
        seconds=seconds,
        line=records.step_line(place, records.key_of(place)),
    )


def _until_due(frame: Frame, place: Place, last: CheckpointRecord) -> Act[None]:
    """Wait for the rest of the delay that an earlier slice began."""
    due = records.due_of(last)
    slice = frame.slice
    if due is None or (left := (due - slice.now()).total_seconds()) <= 0:
        return
    if left > SHORT_SECONDS:
        slice.suspend(frame.strand, Pending(path=place.path, wake_at=due, reason=WakeReason.STEP_RETRY))
    else:
        yield Pause(left)


def _rest(frame: Frame, place: Place, work: Work, number: int, tried: _Failed, delay: float) -> Act[None]:
    """Remember the failed try and wait for the next, in the slot if it is soon."""
    slice = frame.slice
    due = slice.now() + timedelta(seconds=delay)
    record = records.failed_try(
        place, number, tried.error, fingerprint=work.fingerprint, seconds=tried.seconds, due=due
    )
    message = (
        f"{records.key_of(place)}: try {number} of {work.max_attempts} failed, the next is in {delay:.3g} s: "
        f"{records.said(tried.error)}"
    )
    line = records.step_line(place, message, Level.WARN)
    if delay > SHORT_SECONDS:
        slice.store.submit(Append(lease=slice.claimed.lease, line=line))
        slice.suspend(
            frame.strand, Pending(path=place.path, wake_at=due, reason=WakeReason.STEP_RETRY, checkpoint=record)
        )
    else:
        yield Durable(SaveCheckpoint(lease=slice.claimed.lease, checkpoint=record, line=line))
        yield Pause(delay)


def _delay(frame: Frame, work: Work, number: int, error: Exception) -> float | None:
    """Return the seconds until the next try, None when there is none."""
    if number >= work.max_attempts or isinstance(error, NonRetryable | NotSerializable | PayloadTooLarge):
        return None
    return seconds_before(work.backoff or default_backoff(frame.slice), number, error, frame)


def default_backoff(slice: Slice) -> BackoffLike:
    """Return the delays that the settings give, or ours."""
    return get_options(slice.claimed.backend).backoff or Backoff()


def seconds_before(backoff: BackoffLike, number: int, error: BaseException, frame: Frame) -> float | None:
    """Ask a backoff for the delay after this failure, None to give up. What it says is never trusted with the run."""
    if isinstance(backoff, Backoff):
        return backoff.delay(number)
    try:
        said = backoff(error, frame.context.task_result)
        seconds = said.total_seconds() if isinstance(said, timedelta) else said
        if seconds is None:
            return None
        if math.isfinite(seconds) and seconds >= 0:
            return min(float(seconds), LONGEST_SECONDS)
        problem = f"it returned {said!r}"
    except Exception as broken:
        problem = records.said(broken)
    logger.error(
        "The backoff of run %s cannot be used (%s); the usual delay is taken", frame.slice.claimed.run_id, problem
    )
    return Backoff().delay(number)


def _announce(slice: Slice, place: Place) -> None:
    if signals.step_completed.receivers and not slice.is_inline:
        using = get_options(slice.claimed.backend).database
        signals.step_completed.send_robust(None, using=using, run_id=slice.claimed.run_id, path=place.path)


_NO_COROUTINE = (
    "An atomic step takes a plain function: Django has no asynchronous atomic(). "
    "Write it with the synchronous ORM; from a coroutine it runs on a thread."
)


def _expect_usable(function: Callable[..., Any], atomic: bool, max_attempts: int) -> None:
    if not callable(function):
        raise TypeError(f"A step calls a function, and {type(function).__name__} is none: step(key, function, *args).")
    if atomic and (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        raise TypeError(_NO_COROUTINE)
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
        raise ValueError(f"max_attempts={max_attempts!r}: give a whole number from 1.")
