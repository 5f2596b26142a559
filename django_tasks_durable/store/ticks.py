"""What the clock may do: decide the ticks of schedules that are due, each once, whoever else is at it.

A schedule's row is locked before all others (keys, runs), and a scheduler never waits for one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

from django.db import DatabaseError, IntegrityError, connections

from django_tasks_durable.authoring.declarations import declarations
from django_tasks_durable.authoring.tasks import DurableTask, registered
from django_tasks_durable.conf import durable_aliases, get_options
from django_tasks_durable.exceptions import InvalidSchedule, RunNotFound
from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.policies import Missed, Overlap, ScheduleSource, TickOutcome
from django_tasks_durable.primitives.status import FINISHED

from . import control, intake, vendors
from .tables import SCHEDULES

logger = logging.getLogger("django_tasks_durable.schedules")

# A tick that comes no later than this was not missed: a worker was started anew, or many were due at once.
GRACE = timedelta(seconds=60)
MOST_MISSED = 100
LOOKED_AT_ONCE = 50
LOCK_SECONDS = 2.0
REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Known:
    """Which schedules this process can keep: those whose tasks it knows, and of those of code the ones it declares."""

    tasks: Mapping[str, DurableTask[..., Any]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


def known_here(using: str) -> Known:
    """Return what this process knows of the schedules in one database."""
    aliases = {alias for alias in durable_aliases() if get_options(alias).database == using}
    tasks = {
        path: task for path, task in registered().items() if isinstance(task, DurableTask) and task.backend in aliases
    }
    return Known(tasks, frozenset(each.name for each in declarations() if each.task.module_path in tasks))


def look(session: vendors.Session, known: Known) -> tuple[list[int], float | None]:
    """Return the schedules that are due, the longest due first, and the seconds until the next one is; locks nothing."""
    if not known.tasks:
        return [], None
    paths, names = list(known.tasks), sorted(known.names) or [""]
    rows = session.execute(
        f"SELECT id, next_at, {session.now} FROM {SCHEDULES} WHERE paused = FALSE AND next_at IS NOT NULL "
        f"AND task_path IN ({', '.join(['%s'] * len(paths))}) AND (source = %s OR name IN ({', '.join(['%s'] * len(names))})) "
        f"ORDER BY next_at, id LIMIT {LOOKED_AT_ONCE}",
        (*paths, ScheduleSource.ROW.value, *names),
    )
    waits = [(int(row[0]), (session.instant(row[1]) - session.instant(row[2])).total_seconds()) for row in rows]
    return [pk for pk, wait in waits if wait <= 0], next((wait for _, wait in waits if wait > 0), None)


def unkept(using: str) -> dict[str, str]:
    """Return, by name, what keeps schedules from ticking that nobody paused."""
    found: dict[str, str] = {}
    if SCHEDULES not in connections[using].introspection.table_names():
        return found  # not migrated yet
    tasks = known_here(using).tasks
    rows = Schedule.objects.using(using).filter(paused=False, vanished_at=None).order_by("name")
    for row in rows:
        try:
            row.timing()
        except InvalidSchedule as error:
            found[row.name] = str(error)
            continue
        if row.task_path not in tasks:
            found[row.name] = f"No task {row.task_path!r} is known here."
        elif row.next_at is None:
            found[row.name] = "It has no next tick."
    return found


def fire(schedule_id: int, *, using: str) -> bool:
    """Decide the next due tick of a schedule in one transaction: enter it, enqueue its run, move on to the next tick.

    Never waits for another scheduler; returns False when one is at this schedule, or nothing is due. On Django's connection.
    """
    with vendors.write_transaction(using):
        row = _locked(schedule_id, using)
        now = vendors.session(using).now_at()
        if row is None or row.paused or row.next_at is None or row.next_at > now:
            return False
        crash_point("tick_locked")
        tick = _choose(row, now)
        if tick is not None:
            _decide(row, tick, now, using)
        _advance(row, tick, now, using)
        crash_point("tick_advanced")
    crash_point("tick_committed")
    return True


def enter(row: Schedule, tick: datetime, outcome: TickOutcome, *, now: datetime, using: str, reason: str = "") -> bool:
    """Enter a tick in the ledger; False when it is there already."""
    try:
        with vendors.write_transaction(using):
            Tick.objects.using(using).create(
                schedule=row.name, tick=tick, outcome=outcome, reason=reason[:REASON_LENGTH], created_at=now
            )
    except IntegrityError:
        return False
    return True


def enqueue(row: Schedule, tick: datetime, *, using: str, run_after: datetime | None = None) -> UUID:
    """Enqueue the run of a tick, which says where it comes from, and note it in the ledger. Raise UnknownTask."""
    task = _task_of(row, tick, run_after, using)
    run_id = intake.enqueue(
        task, codec.decode(row.args), codec.decode(row.kwargs), using=using, backend_alias=task.backend
    )
    Tick.objects.using(using).filter(schedule=row.name, tick=tick).update(run_id=run_id)
    return run_id


def _locked(schedule_id: int, using: str) -> Schedule | None:
    features = connections[using].features
    rows = Schedule.objects.using(using).filter(pk=schedule_id)
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked).first()


def _choose(row: Schedule, now: datetime) -> datetime | None:
    """Return the tick to decide next; None when all that are due were missed and are not wanted."""
    assert row.next_at is not None
    try:
        timing = row.timing()
    except InvalidSchedule as error:
        logger.error("The schedule %s cannot be kept: %s", row.name, error)
        return None
    before = row.next_at - timedelta(microseconds=1)
    if row.missed == Missed.ALL:
        due = timing.newest(after=before, until=now, count=MOST_MISSED)
    else:
        due = timing.newest(after=max(before, now - GRACE), until=now, count=MOST_MISSED)
        if not due and row.missed == Missed.LATEST:
            due = timing.newest(after=before, until=now, count=1)
    return due[0] if due else None


def _decide(row: Schedule, tick: datetime, now: datetime, using: str) -> None:
    previous = _open_run(row, using) if row.overlap != Overlap.ALLOW else None
    if previous is not None and row.overlap == Overlap.SKIP:
        enter(row, tick, TickOutcome.SKIPPED, now=now, using=using, reason=f"{previous} was still open.")
        return
    if not enter(row, tick, TickOutcome.ENQUEUED, now=now, using=using):
        return
    crash_point("tick_entered")
    if previous is not None:
        _cancel(previous, row, tick, using)
    try:
        with vendors.write_transaction(using):
            enqueue(row, tick, using=using, run_after=_spread(row, tick))
    except DatabaseError:
        raise
    except Exception as error:  # whatever is wrong with the task or its arguments, the next tick may be right
        _refuse(row, tick, error, using)
    crash_point("tick_enqueued")


def _advance(row: Schedule, tick: datetime | None, now: datetime, using: str) -> None:
    try:
        after = row.timing().next_after(tick or now)
    except InvalidSchedule:
        after = None  # until somebody mends it
    # A worker of older code may have marked it; it is in the code of the one that is at it.
    changes: dict[str, Any] = {"next_at": after, "vanished_at": None}
    if tick is not None:
        changes["last_at"] = tick
    Schedule.objects.using(using).filter(pk=row.pk).update(**changes)


def _open_run(row: Schedule, using: str) -> UUID | None:
    ticks = Tick.objects.using(using).filter(schedule=row.name, run_id__isnull=False).order_by("-tick")
    last = ticks.values_list("run_id", flat=True).first()
    if last is None:
        return None
    is_open = TaskRun.objects.using(using).filter(pk=last).exclude(status__in=FINISHED).exists()
    return last if is_open else None


def _cancel(run_id: UUID, row: Schedule, tick: datetime, using: str) -> None:
    session = vendors.session(using)
    try:
        with session.brand.bounded_waits(session.execute, LOCK_SECONDS):
            reason = f"Its schedule ticked again at {tick.isoformat()}."
            control.cancel(run_id, using=using, reason=reason, by=f"schedule {row.name}")
    except RunNotFound:
        pass  # retention took it meanwhile


def _spread(row: Schedule, tick: datetime) -> datetime | None:
    if not row.jitter_seconds:
        return None
    share = crc32(f"{row.name} {tick.isoformat()}".encode()) % (row.jitter_seconds + 1)
    return tick + timedelta(seconds=share)


def _refuse(row: Schedule, tick: datetime, error: Exception, using: str) -> None:
    logger.error("The tick %s of the schedule %s was refused: %s", tick.isoformat(), row.name, error)
    reason = f"{type(error).__name__}: {error}"[:REASON_LENGTH]
    Tick.objects.using(using).filter(schedule=row.name, tick=tick).update(outcome=TickOutcome.REFUSED, reason=reason)


def _task_of(row: Schedule, tick: datetime, run_after: datetime | None, using: str) -> DurableTask[..., Any]:
    """Return the task of a row, with what the row says of its runs."""
    known = known_here(using).tasks
    if row.task_path not in known:
        raise InvalidSchedule("task", row.task_path, "No task of this path is known here and kept in this database.")
    task = known[row.task_path]
    origin = {"schedule": row.name, "tick": tick.isoformat()}
    return task.using(
        run_after=run_after,
        priority=row.priority,
        queue_name=row.queue_name or None,
        metadata={**task.options.metadata, **origin},
    )
