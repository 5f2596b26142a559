"""What gives the slot back on its own account: a poll until something is there, and a pause."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django_tasks_durable.exceptions import Drift, PollTimeout, SuspendInAtomic, TaskTimeout
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.marks import POLLED
from django_tasks_durable.primitives.status import CheckpointKind, WakeReason
from django_tasks_durable.primitives.writes import CheckpointRecord, SaveCheckpoint

from . import records
from .effects import Act, Call, Durable, Pause
from .frame import Frame, Pending
from .owing import settle
from .replay import Place, Replayed, ReplayedFailure
from .tries import SHORT_SECONDS
from .waits import duration

# A poll that is due soon is waited for in the slot, but not for ever.
POLLS_IN_SLOT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is polled for: a function's value that ``until`` accepts (any but None), asked ``every`` so often."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    every: timedelta
    timeout: timedelta | None = None
    max_polls: int | None = None
    until: Callable[[Any], Any] | None = None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        every: float | timedelta,
        timeout: float | timedelta | None,
        max_polls: int | None,
        until: Callable[[Any], Any] | None,
    ) -> Question:
        """Read what the author said. Raise TypeError or ValueError naming what cannot be used."""
        if not callable(function):
            raise TypeError(f"poll() calls a function, and {function!r} is none: poll(key, function, every=seconds).")
        if until is not None and not callable(until):
            raise TypeError(f"until={until!r}: give a function of the polled value.")
        if max_polls is not None and (isinstance(max_polls, bool) or not isinstance(max_polls, int) or max_polls < 1):
            raise ValueError(f"max_polls={max_polls!r}: give a whole number from 1.")
        length = duration(every, "every")
        if not length:
            raise ValueError(f"every={every!r}: give the seconds between two polls.")
        return cls(
            function=function,
            args=args,
            kwargs=kwargs,
            every=length,
            timeout=None if timeout is None else duration(timeout, "timeout"),
            max_polls=max_polls,
            until=until,
        )

    def accepts(self, value: Any) -> bool:
        """Tell whether this is what was polled for."""
        return value is not None if self.until is None else bool(self.until(value))


@dataclass(frozen=True, slots=True)
class _Way:
    """How often was polled so far, since when, and when the next poll is due."""

    polls: int
    begun: datetime
    due: datetime

    @classmethod
    def of(cls, record: CheckpointRecord | None, now: datetime) -> _Way:
        if record is None:
            return cls(0, now, now)
        told = json.loads(codec.opened(record.value))
        return cls(told["polls"], datetime.fromisoformat(told["begun"]), datetime.fromisoformat(told["due"]))

    def as_text(self) -> str:
        return json.dumps(
            {"polls": self.polls, "begun": self.begun.isoformat(), "due": self.due.isoformat()}, separators=(",", ":")
        )


def poll(frame: Frame, key: str, question: Question) -> Act[Any]:
    """Call a function until its value will do, with the slot free in between, and remember that value."""
    fingerprint = codec.fingerprint(question.args, question.kwargs)
    place = frame.begin("poll", key, fingerprint)
    try:
        decision = frame.decide(place, CheckpointKind.POLL)
        if isinstance(decision, Replayed):
            return codec.decode(decision.text)
        if isinstance(decision, ReplayedFailure):
            raise frame.slice.remember(codec.decode_error(decision.text), place.path)
        try:
            return (yield from _polled(frame, place, question, fingerprint))
        except (Drift, SuspendInAtomic, TaskTimeout):  # about the attempt, not the poll
            raise
        except Exception as error:
            failed = records.failed(
                frame.slice.claimed.lease, place, CheckpointKind.POLL, error, fingerprint=fingerprint
            )
            yield Durable(failed)
            frame.slice.remember(error, place.path)
            raise
    finally:
        frame.end()


def _polled(frame: Frame, place: Place, question: Question, fingerprint: str) -> Act[Any]:
    slice = frame.slice
    before = slice.replay.latest(place.path)
    way = _Way.of(before, slice.now())
    here = 0
    while True:
        if way.due > slice.now():
            if way.due - slice.now() > timedelta(seconds=SHORT_SECONDS) or here >= POLLS_IN_SLOT:
                _suspend(frame, place, way, before)
            else:
                yield Pause((way.due - slice.now()).total_seconds())
        yield from settle(frame)
        raw = yield Call(question.function, question.args, question.kwargs)
        crash_point("after_effect")
        text, value = codec.round_trip(raw, limit=slice.limit)
        here += 1
        way = _Way(way.polls + 1, way.begun, slice.now() + question.every)
        if question.accepts(value):
            line = records.step_line(place, f"{records.key_of(place)}: there after {way.polls} poll(s)")
            yield Durable(
                records.saved(slice.claimed.lease, place, CheckpointKind.POLL, text, fingerprint=fingerprint, line=line)
            )
            return value
        _expect_patience(slice.now(), place, question, way)


def _expect_patience(now: datetime, place: Place, question: Question, way: _Way) -> None:
    if question.max_polls is not None and way.polls >= question.max_polls:
        raise PollTimeout(place.path, way.polls)
    if question.timeout is not None and now >= way.begun + question.timeout:
        raise PollTimeout(place.path, way.polls)


def _suspend(frame: Frame, place: Place, way: _Way, before: CheckpointRecord | None) -> None:
    """Give the slot back until the next poll is due. What is kept of the way takes the place of what was kept before."""
    record = CheckpointRecord(
        path=f"{place.path}{POLLED}{way.polls}", kind=CheckpointKind.POLL, position=place.position, value=way.as_text()
    )
    is_kept = before is not None and before.path == record.path
    frame.slice.suspend(
        frame.strand,
        Pending(
            path=place.path,
            wake_at=way.due,
            reason=WakeReason.POLL,
            checkpoint=None if is_kept else record,
            forget=() if is_kept or before is None else (before.path,),
        ),
    )


def pause(frame: Frame, key: str) -> Act[None]:
    """Give the slot back once, and go on when others have had their turn."""
    place = frame.begin("pause", key)
    try:
        if isinstance(frame.decide(place, CheckpointKind.SLEEP), Replayed):
            return
        now = frame.slice.now()
        save: SaveCheckpoint = records.saved(frame.slice.claimed.lease, place, CheckpointKind.SLEEP, codec.encode(now))
        frame.slice.suspend(
            frame.strand,
            Pending(path=place.path, wake_at=now, reason=WakeReason.RELEASED, checkpoint=save.checkpoint),
        )
        yield Durable(save)
    finally:
        frame.end()
