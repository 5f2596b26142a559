"""What anybody may send to a run: a message, kept until the run takes it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_tasks_durable.exceptions import TakesNoMessages
from django_tasks_durable.models import Message
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.names import check_name
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind

from .control import NAME_LENGTH, Change, changing, check_size


def send(run_id: UUID, name: str, payload: Any = None, *, using: str, by: str = "") -> RunStatus:
    """Send a message to a run, in the caller's transaction. It waits there until the run receives one of its name.

    Sent twice, it is received twice. Raise RunNotFound, TakesNoMessages when the run is over, InvalidKey for the name, or
    NotSerializable and PayloadTooLarge for the payload.
    """
    text = codec.encode(payload, where="payload")
    with changing(run_id, using, act="send", by=by) as change:
        if change.run.status in FINISHED:
            raise TakesNoMessages(run_id, change.state)
        leave(change, check_name(name), text, using)
        return RunStatus(change.run.status)


def leave(change: Change, name: str, text: str, using: str) -> None:
    """Put a message into the box of a locked run and wake it if it waits."""
    run = change.run
    check_size("payload", text, run)
    Message.objects.using(using).create(
        run_id=run.id, name=name, payload=text, sent_at=change.at, sent_by=change.by[:NAME_LENGTH]
    )
    change.say(StepKind.MESSAGE, name)
    change.notify()
