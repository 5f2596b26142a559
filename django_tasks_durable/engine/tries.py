"""The tries of a step: call its function, remember what came of it, and try again by its policy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from django_tasks_durable import signals
from django_tasks_durable.authoring.options import BackoffLike
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import (
    DatabaseAway,
    Drift,
    NonRetryable,
    NotSerializable,
    PayloadTooLarge,
    RunTooLong,
    TaskTimeout,
)
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.status import CheckpointKind, Level, WakeReason
from django_tasks_durable.primitives.writes import Append, CheckpointRecord, SaveCheckpoint, SetProgress

from . import collecting, delays, records
from .effects import Act, Atomic, Call, Durable, Pause
from .frame import AtomicNotes, Frame, Limit, Pending
from .owing import kept, settle
from .replay import Place
from .slice import Slice

# A shorter delay is waited for on the spot: to suspend and be claimed again would cost more.
SHORT_SECONDS = 2.0
# A database that takes no writes is asked again after a while that grows with the run's age.
SHORTEST_OUTAGE_SECONDS = 5.0
LONGEST_OUTAGE_SECONDS = 60.0

NO_COROUTINE = (
    "An atomic step takes a plain function: Django has no asynchronous atomic(). "
    "Write it with the synchronous ORM; from a coroutine it runs on a thread."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a step is to do, and how often and how long it may be tried.

    ``is_recorded`` says that there is a checkpoint already, which is never changed: an uncached step is told by lines then,
    and waits for its next try in its slot. A ``pure`` one may be done again after a crash.
    """

    function: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any]
    fingerprint: str = ""
    kind: CheckpointKind = CheckpointKind.STEP
    atomic: bool = False
    max_attempts: int = 1
    backoff: BackoffLike | None = None
    timeout: float | None = None
    is_recorded: bool = False
    pure: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    value: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception
    seconds: float


def tried(frame: Frame, place: Place, work: Work, tries: tuple[CheckpointRecord, ...] = ()) -> Act[Any]:
    """Call the function until it succeeds or its tries are used up; return its value or raise its last error."""
    number = len(tries) + 1
    if tries:
        yield from _until_due(frame, place, tries[-1])
    while True:
        came = yield from _once(frame, place, work)
        if isinstance(came, _Done):
            return came.value
        delay = _delay(frame, work, number, came.error)
        if delay is None:
            break
        yield from _rest(frame, place, work, number, came, delay)
        number += 1
    write = records.failed(
        frame.slice.claimed.lease,
        place,
        work.kind,
        came.error,
        fingerprint=work.fingerprint,
        seconds=came.seconds,
    )
    yield Durable(_told(work, write))
    raise frame.slice.remember(came.error, place.path)


def _once(frame: Frame, place: Place, work: Work) -> Act[_Done | _Failed]:
    if not work.pure:
        yield from settle(frame)
    if work.is_recorded:
        frame.slice.allowance.line(place.path)
    started = clock.monotonic()
    limit = frame.strand.limit = None if work.timeout is None else Limit(place.path, work.timeout)
    try:
        if work.atomic:
            value = yield from _atomically(frame, place, work, started)
        else:
            raw = yield Call(work.function, work.args, work.kwargs, limit)
            crash_point("after_effect")
            if limit is not None:
                limit.check()
            text, value = codec.round_trip(raw, limit=frame.slice.limit)
            saved = _saved(frame, place, work, text, clock.monotonic() - started)
            # What a workflow's step leaves behind goes with its state.
            yield from kept(frame, saved, waits=not work.pure or frame.slice.machine is not None)
    except (Drift, RunTooLong, TaskTimeout):  # about the attempt, not the step
        raise
    except DatabaseAway as away:
        _wait_for_database(frame, place, work, away)
        return _Failed(away, clock.monotonic() - started)  # without a worker, nobody comes back to it
    except Exception as error:
        return _Failed(error, clock.monotonic() - started)
    finally:
        frame.strand.limit = None
    _announce(frame.slice, place, value, clock.monotonic() - started)
    return _Done(value)


def _atomically(frame: Frame, place: Place, work: Work, started: float) -> Act[Any]:
    """Perform an atomic step. When it is rolled back, so is what it made of a workflow's state."""
    before = frame.slice.state_text()
    try:
        return (yield Atomic(partial(_perform_atomic, frame, place, work, started, before)))
    except BaseException:
        frame.slice.rewind(before)
        raise


def _perform_atomic(
    frame: Frame, place: Place, work: Work, started: float, before: str | None
) -> tuple[Any, list[SaveCheckpoint | Append | SetProgress]]:
    """Call the function of an atomic step; what it tells of itself is committed with its writes."""
    frame.slice.rewind(before)
    notes = frame.strand.atomic = AtomicNotes(place.path)
    try:
        raw = work.function(*work.args, **work.kwargs)
    finally:
        frame.strand.atomic = None
    if inspect.iscoroutine(raw):
        raw.close()
        raise TypeError(NO_COROUTINE)
    crash_point("after_effect")
    if frame.strand.limit is not None:
        frame.strand.limit.check()
    text, value = codec.round_trip(raw, limit=frame.slice.limit)
    saved = frame.slice.dressed(_saved(frame, place, work, text, clock.monotonic() - started))
    return value, [*notes.facts, saved]


def _saved(frame: Frame, place: Place, work: Work, text: str, seconds: float) -> SaveCheckpoint | Append:
    frame.slice.allowance.wrote(text)
    line = records.step_line(place, records.key_of(place), kind=work.kind)
    write = records.saved(
        frame.slice.claimed.lease,
        place,
        work.kind,
        text,
        fingerprint=work.fingerprint,
        seconds=seconds,
        line=replace(line, data=text) if work.is_recorded else line,
    )
    return _told(work, write)


def _told(work: Work, write: SaveCheckpoint) -> SaveCheckpoint | Append:
    return Append(lease=write.lease, line=write.line) if work.is_recorded and write.line is not None else write


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
    line = records.step_line(place, message, Level.WARN, kind=work.kind)
    if work.is_recorded:
        slice.store.submit(Append(lease=slice.claimed.lease, line=line))
        yield Pause(delay)
    elif delay > SHORT_SECONDS:
        slice.store.submit(Append(lease=slice.claimed.lease, line=line))
        slice.suspend(
            frame.strand, Pending(path=place.path, wake_at=due, reason=WakeReason.STEP_RETRY, checkpoint=record)
        )
    else:
        yield Durable(SaveCheckpoint(lease=slice.claimed.lease, checkpoint=record, line=line))
        yield Pause(delay)


def _wait_for_database(frame: Frame, place: Place, work: Work, away: DatabaseAway) -> None:
    """Leave the body until the database may take writes again. That is no try of the step, and no attempt of the run."""
    slice = frame.slice
    age = (slice.now() - slice.claimed.enqueued_at).total_seconds()
    seconds = min(LONGEST_OUTAGE_SECONDS, max(SHORTEST_OUTAGE_SECONDS, age / 10))
    message = (
        f"{records.key_of(place)}: {records.said(away)}; it is tried again in {seconds:.3g} s, and nothing is counted"
    )
    line = records.step_line(place, message, Level.WARN, kind=work.kind)
    slice.store.submit(Append(lease=slice.claimed.lease, line=line))
    due = slice.now() + timedelta(seconds=seconds)
    slice.suspend(frame.strand, Pending(path=place.path, wake_at=due, reason=WakeReason.STEP_RETRY))


def _delay(frame: Frame, work: Work, number: int, error: Exception) -> float | None:
    """Return the seconds until the next try, None when there is none."""
    if number >= work.max_attempts or isinstance(error, NonRetryable | NotSerializable | PayloadTooLarge):
        return None
    return delays.seconds_before(work.backoff or delays.default_backoff(frame.slice), number, error, frame)


def _announce(slice: Slice, place: Place, value: Any, seconds: float) -> None:
    if not slice.is_inline:
        collecting.tell(slice, place, value, seconds)
    if signals.step_completed.receivers and not slice.is_inline:
        using = get_options(slice.claimed.backend).database
        signals.step_completed.send_robust(None, using=using, run_id=slice.claimed.run_id, path=place.path)
