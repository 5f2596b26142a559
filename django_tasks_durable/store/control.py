"""What operators may do to a run: cancel it, retry it, answer it, hurry it.

Each act is one transaction that first locks the run's row, so that of several acts at once the first one wins and the
others see what it did. ``by`` is who acted, for the timeline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Exists, OuterRef

from django_tasks_durable import signals
from django_tasks_durable.authoring.options import compensates_on_cancel
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    AmbiguousResume,
    DeadlinePassed,
    InvalidTransition,
    NotWaiting,
    PayloadTooLarge,
    RunNotFound,
)
from django_tasks_durable.models import Checkpoint, Message, Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.links import WEBHOOK
from django_tasks_durable.primitives.status import (
    FINISHED,
    LEASED,
    RETRIABLE,
    UNHURRIED,
    Level,
    RunStatus,
    StepKind,
    WakeReason,
    derive_state,
    may_move,
)
from django_tasks_durable.primitives.undone import MARK, undone

from . import children, keys, vendors

First = Callable[[vendors.Session, UUID], None]
REASON_LENGTH = 500
NAME_LENGTH = 200


def cancel(run_id: UUID, *, using: str, reason: str = "", by: str = "") -> RunStatus:
    """Cancel a run, at once if nobody runs it, else at its next primitive or heartbeat. A finished run stays as it is.

    One whose task says ``compensate_on_cancel`` is due now, to undo what it did. What it has started is cancelled with it.
    Raise RunNotFound.
    """
    with vendors.write_transaction(using):
        status = _cancel(run_id, using=using, reason=reason, by=by)
        if status is RunStatus.CANCELLED:
            below = children.cancel_with_parents(vendors.session(using), [run_id], waits_for_locks=True)
            _tell(partial(signals.run_changed.send, None, using=using, run_ids=below), using)
    return status


def _cancel(run_id: UUID, *, using: str, reason: str, by: str) -> RunStatus:
    with changing(run_id, using, act="cancel", by=by, first=keys.lock) as change:
        run = change.run
        if run.status in FINISHED:
            return RunStatus(run.status)
        is_undone_first = run.lease_token > 0 and compensates_on_cancel(run.options)
        if run.cancel_requested_at is not None and (run.status in LEASED or is_undone_first):
            return RunStatus(run.status)
        if run.cancel_requested_at is None:
            change.set(cancel_requested_at=change.at, cancel_reason=reason[:REASON_LENGTH])
        if run.status in LEASED or is_undone_first:
            change.say(StepKind.CANCEL_REQUESTED, reason, level=Level.WARN)
        if is_undone_first and run.status not in LEASED:
            if run.status == RunStatus.WAITING:
                change.move(RunStatus.READY)
            change.wake(WakeReason.OPERATOR)
        if run.status in LEASED or is_undone_first:
            return RunStatus(run.status)
        change.move(RunStatus.CANCELLED)
        change.set(finished_at=change.at, due_at=None, wake_reason=WakeReason.NONE)
        change.say(StepKind.CANCELLED, reason, level=Level.WARN)
        keys.let_go(vendors.session(using), [run_id])
        return RunStatus.CANCELLED


def retry(run_id: UUID, *, using: str, by: str = "") -> RunStatus:
    """Start a failed or cancelled run anew; what its checkpoints remember is not done again.

    A run that has used up its attempts gets one more; steps that were undone are done again. What was cancelled because it had
    failed or was cancelled goes on, too. Raise RunNotFound, InvalidTransition for any other run, or KeyHeld when another run
    has one of its keys by now.
    """
    with vendors.write_transaction(using):
        status = _retry(run_id, using=using, by=by)
        for queue_name in children.revive(vendors.session(using), run_id):
            _tell(partial(signals.work_available.send, None, using=using, queue_name=queue_name), using)
    return status


def _retry(run_id: UUID, *, using: str, by: str) -> RunStatus:
    with changing(run_id, using, act="retry", by=by, first=keys.take_again) as change:
        run = change.run
        if run.status not in RETRIABLE:
            raise change.refusal()
        change.move(RunStatus.READY)
        change.wake(WakeReason.OPERATOR)
        change.set(
            finished_at=None,
            error_code="",
            cancel_requested_at=None,
            cancel_reason="",
            crashes=0,
            deliveries=0,
            max_attempts=max(run.max_attempts, run.attempts + 1),
        )
        _forget_undone(run.id, using)
        change.say(StepKind.AUDIT, "Retried")
        return RunStatus.READY


def resume(run_id: UUID, value: Any, *, using: str, token: str | None = None, by: str = "") -> RunStatus:
    """Answer a question of a run. The first answer stands; the same one again changes nothing.

    Without a ``token`` there must be exactly one open question. Raise RunNotFound, NotWaiting (DeadlinePassed),
    AmbiguousResume, AlreadyResolved, or NotSerializable and PayloadTooLarge for the answer.
    """
    answer = codec.encode(value, where="answer")
    with changing(run_id, using, act="resume", by=by) as change:
        run = change.run
        check_size("answer", answer, run)
        answer_wait(change, _wait_for(change, token, using), answer, using)
        return RunStatus(run.status)


def answer_wait(change: Change, wait: Wait, answer: str, using: str) -> None:
    """Give a question of a locked run its answer. Raise AlreadyResolved for another than it has, or DeadlinePassed."""
    run, given = change.run, wait.answer
    if given is None and wait.kind == WEBHOOK:
        # What came before the run waited for it is its answer, though the run has not taken it up yet.
        early = Message.objects.using(using).filter(run_id=run.id, name=wait.path)
        given = early.values_list("payload", flat=True).first()
    if given is not None:
        if given != answer:
            raise AlreadyResolved(wait.token)
        return
    if wait.deadline is not None and wait.deadline <= change.at:
        raise DeadlinePassed(run.id, wait.deadline, wait.token)
    Wait.objects.using(using).filter(pk=wait.pk).update(
        answer=answer, answered_at=change.at, answered_by=change.by[:NAME_LENGTH], event=""
    )
    change.say(StepKind.RESUMED, path=wait.path)
    change.notify()
    if run.status == RunStatus.READY and run.wake_reason in UNHURRIED:
        change.wake(WakeReason.MESSAGE)


def run_now(run_id: UUID, *, using: str, by: str = "") -> RunStatus:
    """Make a delayed run due now: one enqueued for later, or one that pauses before its next attempt.

    Does nothing to a run that is due. Raise RunNotFound, or InvalidTransition for one not ready or asleep by itself.
    """
    with changing(run_id, using, act="run now", by=by) as change:
        run = change.run
        if run.status != RunStatus.READY or (run.wake_reason in UNHURRIED and not change.is_due):
            raise change.refusal()
        if not change.is_due:
            change.wake(WakeReason.OPERATOR)
            change.say(StepKind.AUDIT, "Made due now")
        return RunStatus.READY


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
        _tell(partial(signals.run_changed.send, None, using=using, run_ids=[self.run.id]), using)
        if self.run.parent_id is not None and self.run.status in FINISHED:
            _tell(partial(_tell_parent, self.run.parent_id, using), using)
        if self.columns.get("due_at") is not None:
            _tell(partial(signals.work_available.send, None, using=using, queue_name=self.run.queue_name), using)


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


def _wait_for(change: Change, token: str | None, using: str) -> Wait:
    """Choose the question that an answer is for: one that is open, or one whose answer may be given again."""
    run = change.run
    consumed = Checkpoint.objects.filter(run_id=OuterRef("run_id"), path=OuterRef("path"))
    waits = Wait.objects.using(using).filter(run_id=run.id).annotate(is_consumed=Exists(consumed)).order_by("id")
    is_over = run.status in FINISHED
    if token is not None:
        chosen = waits.filter(token=token).first()
        # annotated above; what the run has gone on without (its deadline passed) can no longer be answered
        if chosen is None or (chosen.answer is None and (is_over or chosen.is_consumed)):
            raise NotWaiting(run.id, change.state, token)
        return chosen
    unread = [] if is_over else list(waits.filter(is_consumed=False))
    candidates = [wait for wait in unread if wait.answer is None] or unread[-1:]
    if not candidates:
        raise NotWaiting(run.id, change.state)
    if len(candidates) > 1:
        raise AmbiguousResume(run.id, [wait.token for wait in candidates])
    return candidates[0]


def _forget_undone(run_id: UUID, using: str) -> None:
    checkpoints = Checkpoint.objects.using(using).filter(run_id=run_id)
    if not checkpoints.filter(path=MARK).exists():
        return
    checkpoints.filter(path__in=undone(checkpoints.values_list("path", "kind", "failed"))).delete()


def check_size(what: str, text: str, run: TaskRun) -> None:
    """Raise PayloadTooLarge for text from outside that the run's settings do not take."""
    limit = get_options(run.backend).max_payload_bytes
    if (size := len(text.encode())) > limit:
        raise PayloadTooLarge(what, size, limit)


def _tell_parent(parent_id: UUID, using: str) -> None:
    """Wake the parent of a run that has ended; one that is held by somebody just now is found by a worker's sweep."""
    for run_id, queue_name in children.wake_parents(vendors.session(using), [parent_id]).queues.items():
        signals.run_changed.send(None, using=using, run_ids=[run_id])
        signals.work_available.send(None, using=using, queue_name=queue_name)


def _tell(news: Callable[[], Any], using: str) -> None:
    transaction.on_commit(news, using=using, robust=True)
