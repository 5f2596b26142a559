"""What a run hears from outside without having asked: messages sent to it, and events told to all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.names import check_name
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import MessageRecord

from . import records
from .effects import Act, Durable
from .frame import Frame
from .replay import MustWait, Perform, Place
from .waits import Question, settle, wait


def receive(frame: Frame, name: str, timeout: timedelta | None, default: Any) -> Act[Any]:
    """Take the oldest message of a name, or wait for one. A message that is there is taken, however late."""
    check_name(name)
    return take(frame, Question(kind="message", word="recv", key=name, timeout=timeout, default=default), name)


def listen(frame: Frame, name: str, timeout: timedelta | None, default: Any) -> Act[Any]:
    """Wait for the next broadcast of an event."""
    check_name(name)
    return wait(frame, Question(kind="event", word="event", key=name, timeout=timeout, default=default, event=name))


def take(frame: Frame, question: Question, name: str | None = None) -> Act[Any]:
    """Settle a question by a message of this name (that of its path without one), else as any other."""
    place = frame.begin(question.word, question.key)
    try:
        decision = frame.decide(place, CheckpointKind.WAIT)
        if isinstance(decision, Perform | MustWait) and (message := frame.slice.take(name or place.path)):
            return (yield from _consume(frame, place, message))
        return (yield from settle(frame, place, question, decision))
    finally:
        frame.end()


def _consume(frame: Frame, place: Place, message: MessageRecord) -> Act[Any]:
    """Commit the checkpoint together with the message's end: it is taken once, whoever dies."""
    saved = records.saved(frame.slice.claimed.lease, place, CheckpointKind.WAIT, message.payload)
    try:
        yield Durable(replace(saved, consumes=message.id))
    except Exception:
        frame.slice.put_back(message)
        raise
    return codec.decode(message.payload)
