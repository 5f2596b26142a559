"""Why a run does not move, in words for whoever looks at it: what it waits for, what holds it back, and what can be done."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from django_tasks_durable.authoring.pins import pins
from django_tasks_durable.conf import queue_limits_of
from django_tasks_durable.limits import NO_LIMITS
from django_tasks_durable.models import Queue
from django_tasks_durable.primitives.status import RunStatus, WakeReason

from . import limiting
from .house import WorkerSnapshot, workers
from .parts import WaitSnapshot
from .read import Narrow, children, everything
from .shapes import RunSummary
from .text import duration, plain
from .waits import waits

NAMED = 5
SOON_SECONDS = 60.0
# A worker pushes what it does not know back by more than this, and nothing else does.
PUSHED_BY_AT_LEAST = 5.0
ASKS_A_PERSON = frozenset({"interrupt", "approval"})
UNTIL = {
    WakeReason.SLEEP: lambda: _("It sleeps until its time has come."),
    WakeReason.RETRY: lambda: _("It failed and is tried again when its time has come."),
    WakeReason.STEP_RETRY: lambda: _("A step failed and is tried again when its time has come."),
    WakeReason.POLL: lambda: _("It asks for something again and again; the next time when its time has come."),
}


@dataclass(frozen=True, kw_only=True)
class Standstill:
    """One thing that a run waits for. ``code`` is stable, for machines; ``hint`` is what to do; ``runs`` are who is meant.

    ``seconds`` is in how long it passes by itself, where that is known; ``needs_somebody`` tells what does not.
    """

    code: str
    message: str
    hint: str = ""
    needs_somebody: bool = False
    seconds: float | None = None
    runs: Sequence[RunSummary] = ()


def standstill(
    run: RunSummary,
    *,
    using: str,
    known: Collection[str],
    narrow: Narrow = everything,
    asked: Sequence[WaitSnapshot] | None = None,
) -> list[Standstill]:
    """Tell why an open run does not move, what needs somebody first; nothing for one that runs as it should, or has ended.

    ``known`` are the paths of the tasks known here; of other runs those are named that ``narrow`` keeps. ``asked`` are its
    pending questions, for whoever has read them already.
    """
    match run.status:
        case RunStatus.READY:
            found = [*_of_ready(run, using, known, narrow)]
        case RunStatus.WAITING:
            found = [*_of_waiting(run, waits(run.id, using=using) if asked is None else asked, using, narrow)]
        case RunStatus.CLAIMED | RunStatus.RUNNING:
            found = [*_of_held(run, using)]
        case _:
            found = []
    return sorted(found, key=lambda each: not each.needs_somebody)


def _seconds_until_due(run: RunSummary) -> float | None:
    return None if run.due_at is None else (run.due_at - run.read_at).total_seconds()


# --- in a queue


def _of_ready(run: RunSummary, using: str, known: Collection[str], narrow: Narrow) -> Iterator[Standstill]:
    serving = [
        each
        for each in workers(using=using)
        if each.condition == "alive" and (not each.queues or run.queue_name in each.queues)
    ]
    row = Queue.objects.using(using).filter(pk=run.queue_name).first() or Queue(name=run.queue_name)
    if run.wake_reason is WakeReason.STALE:
        yield Standstill(
            code="WORKER_LOST", message=_("The worker that was at it was lost; another one goes on with it.")
        )
    if row.paused_at is not None:
        yield _paused(run, row)
    if not serving and (run.is_due or _was_passed_over(run)):
        yield Standstill(
            code="NO_WORKER",
            message=_("No living worker serves the queue %s.") % plain(run.queue_name),
            hint=f"manage.py runtasks --queue-name {plain(run.queue_name)}",
            needs_somebody=True,
        )
    if run.task_path not in known or _was_passed_over(run):
        yield _unknown(run, is_known_here=run.task_path in known)
    elif run.wake_reason is WakeReason.VERSION or (run.is_due and _is_of_another_version(run)):
        yield Standstill(
            code="VERSION",
            message=_("It stays with version %d of its code, and no worker that has it has taken it.")
            % run.code_version,
            hint=_("Start a worker of the release that has that version, or deploy a migration from it."),
            needs_somebody=True,
        )
    elif not run.is_due:
        told = UNTIL.get(run.wake_reason, lambda: _("It is to begin later, as whoever enqueued it wanted."))()
        yield Standstill(code="LATER", message=told, seconds=_seconds_until_due(run))
    else:
        yield from _of_due(run, row, serving, using, narrow)


def _of_due(
    run: RunSummary, row: Queue, serving: Sequence[WorkerSnapshot], using: str, narrow: Narrow
) -> Iterator[Standstill]:
    own = queue_limits_of(using).get(run.queue_name, NO_LIMITS).overruled(row.concurrency, row.rate)
    full = limiting.full(run, own, using=using)
    for each in full:
        yield _limited(each, using, narrow)
    if full or row.paused_at is not None or not serving:
        return
    places, held = sum(each.concurrency for each in serving), sum(each.held for each in serving)
    if held >= places:
        yield Standstill(
            code="BUSY",
            message=_("The workers of this queue are busy: %(held)d of %(places)d places are taken.")
            % {"held": held, "places": places},
            hint=_("If that goes on, start more workers or raise --concurrency."),
        )
    elif run.overdue_seconds < SOON_SECONDS:
        yield Standstill(code="SOON", message=_("A worker takes it in a moment."))
    else:
        yield Standstill(
            code="PASSED_OVER",
            message=_("It has been due for %s and no worker has taken it, although there is room.")
            % duration(run.overdue_seconds),
            hint=_("Ask manage.py tasks doctor, and look at what the workers log."),
            needs_somebody=True,
        )


def _paused(run: RunSummary, row: Queue) -> Standstill:
    said = {"queue": plain(run.queue_name), "who": plain(row.paused_by)}
    return Standstill(
        code="PAUSED",
        message=_("The queue %(queue)s is paused, by %(who)s.") % said
        if row.paused_by
        else _("The queue %(queue)s is paused.") % said,
        hint=f"manage.py tasks unpause {plain(run.queue_name)}",
        needs_somebody=True,
    )


def _was_passed_over(run: RunSummary) -> bool:
    """Tell whether a worker pushed a run back because it does not know its task: nothing else delays one that nobody delayed."""
    if run.due_at is None or run.is_due or run.started_at is not None or run.wake_reason is not WakeReason.NONE:
        return False
    return (run.due_at - (run.run_after or run.enqueued_at)).total_seconds() > PUSHED_BY_AT_LEAST


def _is_of_another_version(run: RunSummary) -> bool:
    pin = pins().get(run.task_path)
    return pin is not None and not pin.takes(run.code_version, is_begun=run.started_at is not None)


def _unknown(run: RunSummary, *, is_known_here: bool) -> Standstill:
    path = plain(run.task_path)
    return Standstill(
        code="UNKNOWN_TASK",
        message=_("The workers do not know the task %s; they passed it over.") % path
        if is_known_here
        else _("There is no task %s in this process. If the workers do not know it either, it stays queued.") % path,
        hint=_("Deploy its code and restart the workers. If it is gone for good, cancel this task."),
        needs_somebody=True,
    )


def _limited(full: limiting.Full, using: str, narrow: Narrow) -> Standstill:
    runs = limiting.holders(full, using=using, narrow=narrow, limit=NAMED)
    words = {"name": plain(full.name), "held": full.held, "most": full.most or 0, "rate": str(full.rate)}
    if full.kind == "rate":
        told = _("The rate of %(rate)s is used up for the moment.") % words
    else:
        told = {
            "key": _("The key %(name)s is busy: %(held)d of %(most)d at a time."),
            "task": _("As many of this task run as may at a time: %(held)d of %(most)d."),
            "queue": _("As many of the queue %(name)s run as may at a time: %(held)d of %(most)d."),
            "global": _("As many tasks run in all as may at a time: %(held)d of %(most)d."),
        }[full.kind] % words
    return Standstill(code=f"LIMIT_{full.kind.upper()}", message=told, seconds=full.seconds, runs=runs)


# --- waiting for something from outside


def _of_waiting(run: RunSummary, asked: Sequence[WaitSnapshot], using: str, narrow: Narrow) -> Iterator[Standstill]:
    seconds = _seconds_until_due(run)
    for wait in asked:
        yield _asked(wait, seconds)
    if not asked:
        below = [child for child in children(run.id, using=using, narrow=narrow) if not child.is_finished]
        yield Standstill(
            code="CHILDREN",
            message=_("It waits for tasks that it has started.") if below else _("It waits for news from outside."),
            seconds=seconds,
            runs=below[:NAMED],
        )
    if seconds is not None and seconds < 0 and not any(each.condition == "alive" for each in workers(using=using)):
        yield Standstill(
            code="NO_WORKER",
            message=_("Its deadline has passed, and there is no living worker that could wake it."),
            hint="manage.py runtasks",
            needs_somebody=True,
        )


def _asked(wait: WaitSnapshot, seconds: float | None) -> Standstill:
    if wait.kind in ASKS_A_PERSON:
        return Standstill(
            code="PERSON", message=_("It waits for a person's answer."), seconds=seconds, needs_somebody=True
        )
    name = plain(wait.path.rpartition("/")[2].partition(":")[2] or wait.path)
    told = {"event": _("It waits for the event %s."), "message": _("It waits for the message %s.")}
    return Standstill(
        code=wait.kind.upper(),
        message=told.get(wait.kind, _("It waits for news from outside: %s.")) % name,
        seconds=seconds,
    )


# --- in a worker's hands


def _of_held(run: RunSummary, using: str) -> Iterator[Standstill]:
    found = workers(using=using)
    own = next((each for each in found if each.id == run.lease_worker), None)
    name = plain(run.lease_worker)
    if own is None or own.condition != "alive":
        others = [each for each in found if each.condition == "alive" and each.id != run.lease_worker]
        silent = "" if own is None else duration(own.heartbeat_age_seconds)
        yield Standstill(
            code="WORKER_SILENT",
            message=_("Its worker %(worker)s has been silent for %(time)s.") % {"worker": name, "time": silent}
            if silent
            else _("Its worker %s is gone.") % name,
            hint=_("Another worker takes it over when the lease has ended.")
            if others
            else _("No other worker is alive to take it over. Start one: %s") % "manage.py runtasks",
            needs_somebody=not others,
        )
    elif run.stalled_at is not None:
        yield Standstill(
            code="NO_PROGRESS",
            message=_("Its worker is alive, but the task has given no sign of going on for %s.")
            % duration((run.read_at - run.stalled_at).total_seconds()),
            hint=_("Look at what the worker %s logs; cancel the task if it is caught.") % name,
            needs_somebody=True,
        )
    elif run.status is RunStatus.CLAIMED:
        yield Standstill(code="CLAIMED", message=_("The worker %s has taken it and begins as soon as it can.") % name)
    if run.is_cancelling:
        yield Standstill(code="CANCELLING", message=_("It is being cancelled, and ends with its next step."))
