"""What operators may do to a run: cancel it, retry it, answer it, hurry it.

Each act is one transaction that first locks the run's row, so that of several acts at once the first one wins and the
others see what it did. ``by`` is who acted, for the timeline.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from django_tasks_durable import signals
from django_tasks_durable.authoring.options import compensates_on_cancel
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    AmbiguousResume,
    DeadlinePassed,
    NotWaiting,
)
from django_tasks_durable.models import Checkpoint, Message, Wait
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
)
from django_tasks_durable.primitives.undone import MARK, undone

from . import children, keys, slots, vendors
from .changes import NAME_LENGTH, Change, changing, check_size
from .news import tell

REASON_LENGTH = 500


def cancel(run_id: UUID, *, using: str, reason: str = "", by: str = "") -> RunStatus:
    """Cancel a run, at once if nobody runs it, else at its next primitive or heartbeat. A finished run stays as it is.

    One whose task says ``compensate_on_cancel`` is due now, to undo what it did. What it has started is cancelled with it.
    Raise RunNotFound.
    """
    with vendors.write_transaction(using):
        status = _cancel(run_id, using=using, reason=reason, by=by)
        if status is RunStatus.CANCELLED:
            below = children.cancel_with_parents(vendors.session(using), [run_id], waits_for_locks=True)
            tell(partial(signals.run_changed.send, None, using=using, run_ids=below), using)
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


def retry(run_id: UUID, *, using: str, by: str = "", after_seconds: float = 0.0) -> RunStatus:
    """Start a failed or cancelled run anew; what its checkpoints remember is not done again.

    A run that has used up its attempts gets one more; steps that were undone are done again. What was cancelled because it had
    failed or was cancelled goes on, too. Raise RunNotFound, InvalidTransition for any other run, or KeyHeld when another run
    has one of its keys by now. It is due in ``after_seconds``.
    """
    with vendors.write_transaction(using):
        status = _retry(run_id, using=using, by=by, after_seconds=after_seconds)
        for queue_name in children.revive(vendors.session(using), run_id):
            tell(partial(signals.work_available.send, None, using=using, queue_name=queue_name), using)
    return status


def _retry(run_id: UUID, *, using: str, by: str, after_seconds: float) -> RunStatus:
    with changing(run_id, using, act="retry", by=by, first=keys.take_again) as change:
        run = change.run
        if run.status not in RETRIABLE:
            raise change.refusal()
        change.move(RunStatus.READY)
        change.wake(WakeReason.OPERATOR)
        change.set(
            due_at=change.at + timedelta(seconds=after_seconds),
            finished_at=None,
            error_code="",
            cancel_requested_at=None,
            cancel_reason="",
            crashes=0,
            deliveries=0,
            max_attempts=max(run.max_attempts, run.attempts + 1),
        )
        slots.stand_in_line_again(vendors.session(using), run.id, run.task_path, run.options)
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
        if codec.opened(given) != codec.opened(answer):
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
        raise AmbiguousResume(run.id, [(wait.path, wait.token) for wait in candidates])
    return candidates[0]


def _forget_undone(run_id: UUID, using: str) -> None:
    checkpoints = Checkpoint.objects.using(using).filter(run_id=run_id)
    if not checkpoints.filter(path=MARK).exists():
        return
    checkpoints.filter(path__in=undone(checkpoints.values_list("path", "kind", "failed"))).delete()
