"""What suspends a run: a sleep, and a question to the outside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django_tasks_durable.exceptions import WaitTimeout
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.ids import new_token
from django_tasks_durable.primitives.status import CheckpointKind, WakeReason
from django_tasks_durable.primitives.writes import WaitRecord, WaitRequest

from . import records
from .effects import Act, Durable
from .frame import Frame, Pending
from .replay import Answered, Decision, MustWait, Place, Replayed, ReplayedFailure


class Missing:
    """Says that an argument was not given, because None is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


def sleep(frame: Frame, key: str, until: timedelta | datetime) -> Act[datetime]:
    """Let the run sleep, with its slot free; the instant is decided once."""
    place = frame.begin("sleep", key)
    try:
        decision = frame.decide(place, CheckpointKind.SLEEP)
        if isinstance(decision, Replayed):
            due: datetime = codec.decode(decision.text)
            save = None
        else:
            due = until if isinstance(until, datetime) else frame.slice.now() + until
            save = records.saved(frame.slice.claimed.lease, place, CheckpointKind.SLEEP, codec.encode(due))
        if frame.slice.now() < due:
            pending = Pending(
                path=place.path,
                wake_at=due,
                reason=WakeReason.SLEEP,
                checkpoint=save.checkpoint if save is not None else None,
            )
            frame.slice.suspend(frame.strand, pending)
        if save is not None:
            yield Durable(save)
        return due
    finally:
        frame.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run asks the outside. ``word`` and ``key`` make its path; without a default it fails when nobody answers."""

    kind: str
    key: str
    word: str = "wait"
    request: Any = None
    timeout: timedelta | None = None
    default: Any = MISSING
    permission: str = ""
    form: str = ""
    event: str = ""


def wait(frame: Frame, question: Question) -> Act[Any]:
    """Put a question and let the run wait for its answer; token and deadline are decided once."""
    place = frame.begin(question.word, question.key)
    try:
        return (yield from settle(frame, place, question, frame.decide(place, CheckpointKind.WAIT)))
    finally:
        frame.end()


def settle(frame: Frame, place: Place, question: Question, decision: Decision) -> Act[Any]:
    """Do what the history says about a question: give its answer, go on without one, or wait."""
    if isinstance(decision, Replayed):
        return codec.decode(decision.text)
    if isinstance(decision, ReplayedFailure):
        raise frame.slice.remember(codec.decode_error(decision.text), place.path)
    if isinstance(decision, Answered):
        yield Durable(records.saved(frame.slice.claimed.lease, place, CheckpointKind.WAIT, decision.text))
        return codec.decode(decision.text)
    pending = _opened(decision.wait) if isinstance(decision, MustWait) else _new(frame, place, question)
    # An answer that came before the deadline is in a history read after it, and may be missing in one read before: then
    # the run looks again instead of taking the default over somebody's answer.
    if pending.wake_at is None or frame.slice.claimed.now_at < pending.wake_at:
        frame.slice.suspend(frame.strand, _with_default(pending, question.default))
    return (yield from _timed_out(frame, place, question.default))


def _new(frame: Frame, place: Place, question: Question) -> Pending:
    text = codec.encode(question.request, where="request", limit=frame.slice.limit)
    deadline = None if question.timeout is None else frame.slice.now() + question.timeout
    opening = WaitRequest(
        path=place.path,
        kind=question.kind,
        position=place.position,
        token=new_token(),
        request=text,
        permission=question.permission,
        form=question.form,
        event=question.event,
        deadline=deadline,
        has_default=not isinstance(question.default, Missing),
    )
    return Pending(path=place.path, wake_at=deadline, is_question=True, request=text, token=opening.token, wait=opening)


def _opened(wait: WaitRecord) -> Pending:
    return Pending(path=wait.path, wake_at=wait.deadline, is_question=True, request=wait.request, token=wait.token)


def _with_default(pending: Pending, default: Any) -> Pending:
    return pending if isinstance(default, Missing) else replace(pending, has_default=True)


def _timed_out(frame: Frame, place: Place, default: Any) -> Act[Any]:
    lease = frame.slice.claimed.lease
    if isinstance(default, Missing):
        error = WaitTimeout(place.path)
        yield Durable(records.failed(lease, place, CheckpointKind.WAIT, error))
        raise frame.slice.remember(error, place.path)
    text, value = codec.round_trip(default, where="default", limit=frame.slice.limit)
    line = records.step_line(place, f"{records.key_of(place)}: nobody answered in time, the default is taken")
    yield Durable(records.saved(lease, place, CheckpointKind.WAIT, text, line=line))
    return value


def duration_or_none(value: float | timedelta | None, what: str) -> timedelta | None:
    """See duration()."""
    return None if value is None else duration(value, what)


def duration(value: float | timedelta, what: str) -> timedelta:
    """Read seconds or a timedelta. Raise ValueError naming what it was given for."""
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{what}={value!r}: give a number of seconds or a timedelta.")
    else:
        found = timedelta(seconds=value)
    if found < timedelta(0):
        raise ValueError(f"{what}={value!r}: time does not run backwards.")
    return found
