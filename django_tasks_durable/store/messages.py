"""What anybody may send to a run: a message, kept until the run takes it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_tasks_durable.exceptions import AlreadyResolved, NotWaiting, TakesNoMessages
from django_tasks_durable.models import Checkpoint, Message, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.names import check_name
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind

from .changes import NAME_LENGTH, Change, changing, check_size
from .control import answer_wait


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


def deliver(run_id: UUID, path: str, payload: Any, *, using: str, by: str = "") -> RunStatus:
    """Give the webhook at a path of a run its answer, which may come before the run waits for it.

    The first answer stands; the same one again changes nothing. Raise RunNotFound, AlreadyResolved, NotWaiting (DeadlinePassed)
    when the run is over or went on without one, or NotSerializable and PayloadTooLarge.
    """
    text = codec.encode(payload, where="payload")
    with changing(run_id, using, act="webhook", by=by) as change:
        run = change.run
        check_size("payload", text, run)
        wait = Wait.objects.using(using).filter(run_id=run_id, path=path).first()
        early = Message.objects.using(using).filter(run_id=run_id, name=path).values_list("payload", flat=True).first()
        given = early if wait is None or wait.answer is None else wait.answer
        if given is not None:
            if codec.opened(given) != codec.opened(text):
                raise AlreadyResolved(path)
        elif run.status in FINISHED or Checkpoint.objects.using(using).filter(run_id=run_id, path=path).exists():
            raise NotWaiting(run_id, change.state)
        elif wait is not None:
            answer_wait(change, wait, text, using)
        else:
            leave(change, path, text, using)
        return RunStatus(run.status)


def leave(change: Change, name: str, text: str, using: str) -> None:
    """Put a message into the box of a locked run and wake it if it waits."""
    run = change.run
    check_size("payload", text, run)
    Message.objects.using(using).create(
        run_id=run.id, name=name, payload=text, sent_at=change.at, sent_by=change.by[:NAME_LENGTH]
    )
    change.say(StepKind.MESSAGE, name)
    change.notify()
