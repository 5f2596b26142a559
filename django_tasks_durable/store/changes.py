"""One act on one run: its row locked first, what changes of it and what is said about it, written together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections

from django_tasks_durable import signals
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import InvalidTransition, PayloadTooLarge, RunNotFound
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import (
    FINISHED,
    Level,
    RunStatus,
    StepKind,
    WakeReason,
    derive_state,
    may_move,
)

from . import children, vendors
from .news import tell

First = Callable[[vendors.Session, UUID], None]
NAME_LENGTH = 200


@dataclass(slots=True)
class Change:
    """What one act does to a locked run: columns and lines, written together when the act is through."""

    run: TaskRun
    at: datetime
    act: str
    by: str
    columns: dict[str, Any] = field(default_factory=dict)
    lines: list[Step] = field(default_factory=list)

    @property
    def is_due(self) -> bool:
        """Whether the run's due time has come."""
        return self.run.due_at is None or self.run.due_at <= self.at

    @property
    def state(self) -> str:
        """The state that people see."""
        return derive_state(self.run.status, self.run.wake_reason, is_due=self.is_due).value

    def refusal(self) -> InvalidTransition:
        """Make the error that says that the act does not fit the run's state."""
        return InvalidTransition(self.run.id, self.act, self.state)

    def set(self, **columns: Any) -> None:
        """Change columns of the row."""
        self.columns |= columns
        for name, value in columns.items():
            setattr(self.run, name, value)

    def move(self, status: RunStatus) -> None:
        """Change the status. Raise InvalidTransition for a move that there is not."""
        if not may_move(RunStatus(self.run.status), status):
            raise self.refusal()
        self.set(status=status)

    def wake(self, reason: WakeReason) -> None:
        """Make the run due now."""
        self.set(due_at=self.at, wake_reason=reason)

    def notify(self) -> None:
        """Raise the inbox, so that no suspension overlooks what came, and wake a run that waits (locking rule 4)."""
        self.set(inbox=self.run.inbox + 1)
        if self.run.status == RunStatus.WAITING:
            self.move(RunStatus.READY)
            self.wake(WakeReason.MESSAGE)

    def say(
        self, kind: StepKind, message: str = "", *, level: Level = Level.INFO, path: str = "", data: str = ""
    ) -> None:
        """Add a line to the timeline, numbered under the row's lock."""
        sequence = self.run.last_sequence + 1
        self.set(last_sequence=sequence)
        self.lines.append(
            Step(
                run_id=self.run.id,
                sequence=sequence,
                kind=kind,
                level=level,
                attempt=self.run.attempts,
                path=path,
                message=message,
                data=data or (json.dumps({"act": self.act, "by": self.by}) if self.by else ""),
                created_at=self.at,
            )
        )

    def write(self, using: str) -> None:
        """Write the row and its lines, and leave news for after the commit."""
        if not self.columns:
            return
        self.set(version=self.run.version + 1)
        TaskRun.objects.using(using).filter(pk=self.run.pk).update(**self.columns)
        Step.objects.using(using).bulk_create(self.lines)
        tell(partial(signals.run_changed.send, None, using=using, run_ids=[self.run.id]), using)
        if self.run.parent_id is not None and self.run.status in FINISHED:
            tell(partial(_tell_parent, self.run.parent_id, using), using)
        if self.columns.get("due_at") is not None:
            tell(partial(signals.work_available.send, None, using=using, queue_name=self.run.queue_name), using)


@contextmanager
def changing(run_id: UUID, using: str, *, act: str, by: str, first: First | None = None) -> Iterator[Change]:
    """Lock a run, hand out a change to fill, and write it. An error writes nothing.

    ``first`` does what has to be done to its keys before its row is locked.
    """
    with vendors.write_transaction(using):
        if first is not None:
            first(vendors.session(using), run_id)
        run = _locked(run_id, using)
        change = Change(run=run, at=vendors.session(using).now_at(), act=act, by=by)
        yield change
        change.write(using)


def _locked(run_id: UUID, using: str) -> TaskRun:
    # A plain FOR UPDATE would hold up every insert of a step, which checks its foreign key with KEY SHARE.
    weakly = connections[using].features.has_select_for_no_key_update
    rows = TaskRun.objects.using(using).defer("args", "kwargs", "metadata", "result", "errors")
    try:
        return rows.select_for_update(no_key=weakly).get(pk=run_id)
    except TaskRun.DoesNotExist:
        raise RunNotFound(run_id) from None


def check_size(what: str, text: str, run: TaskRun) -> None:
    """Raise PayloadTooLarge for text from outside that the run's settings do not take."""
    limit = get_options(run.backend).max_payload_bytes
    if (size := len(codec.opened(text).encode())) > limit:
        raise PayloadTooLarge(what, size, limit)


def _tell_parent(parent_id: UUID, using: str) -> None:
    """Wake the parent of a run that has ended; one that is held by somebody just now is found by a worker's sweep."""
    for run_id, queue_name in children.wake_parents(vendors.session(using), [parent_id]).queues.items():
        signals.run_changed.send(None, using=using, run_ids=[run_id])
        signals.work_available.send(None, using=using, queue_name=queue_name)
