"""What operators and deploys may do to schedules: keep those of the code in step, write, pause, run now, fill gaps."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from django_tasks_durable.authoring.declarations import Declaration, declarations
from django_tasks_durable.exceptions import ScheduleNotFound, TooManyTicks
from django_tasks_durable.models import Schedule, Tick
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.policies import ScheduleSource, TickOutcome

from . import audit, ticks, vendors

logger = logging.getLogger("django_tasks_durable.schedules")

MICROSECOND = timedelta(microseconds=1)
MOST_BACKFILLED = 1000
# What decides when a schedule ticks; when one of these changes, it starts anew from the present.
TIMING = ("cron", "interval_seconds", "time_zone", "dst")


def sync(*, using: str) -> None:
    """Keep the rows of the code's schedules in step with this process's code.

    One that the code no longer has is marked, never deleted; an operator's pause stays.
    """
    known = ticks.known_here(using)
    wanted = {each.name: each for each in declarations() if each.name in known.names}
    for row in Schedule.objects.using(using).filter(Q(source=ScheduleSource.CODE) | Q(name__in=wanted)).order_by("pk"):
        declaration = wanted.pop(row.name, None)
        if row.source != ScheduleSource.CODE:
            logger.warning("The schedule %s of the code is not kept: a row that people wrote has its name", row.name)
        elif declaration is None:
            _mark_vanished(row, using)
        else:
            _follow(row, declaration, using)
    for declaration in wanted.values():
        _insert(declaration, using)


def pause(name: str, *, using: str, by: str = "") -> None:
    """Let a schedule tick no more until it is unpaused. Raise ScheduleNotFound."""
    if not Schedule.objects.using(using).filter(name=name).update(paused=True):
        raise ScheduleNotFound(name)
    audit.note(by, f"paused the schedule {name}", using=using)


def unpause(name: str, *, using: str, by: str = "") -> None:
    """Let a schedule tick again, from its next tick on; backfill() is for what passed meanwhile. Raise ScheduleNotFound."""
    with vendors.write_transaction(using):
        row = _locked(name, using)
        if row.paused:
            _start_anew(row, using, paused=False)
            audit.note(by, f"unpaused the schedule {name}", using=using)


def run_now(name: str, *, using: str, by: str = "") -> UUID:
    """Enqueue a run of a schedule at once, beside its ticks, also of a paused one. Raise ScheduleNotFound, InvalidSchedule."""
    with vendors.write_transaction(using):
        row = _named(name, using)
        now = vendors.session(using).now_at()
        tick = now
        while not ticks.enter(row, tick, TickOutcome.MANUAL, now=now, using=using, reason=by):
            tick += MICROSECOND
        return ticks.enqueue(row, tick, using=using)


def backfill(
    name: str, start: datetime, end: datetime, *, using: str, by: str = "", limit: int = MOST_BACKFILLED
) -> list[UUID]:
    """Enqueue a run for each past tick from ``start`` to ``end`` that was never decided, and return the runs' ids.

    A naive instant is local time of the schedule's zone. Each tick is a transaction of its own, so what was interrupted can be
    done again. Raise TooManyTicks before anything is enqueued, ScheduleNotFound, InvalidSchedule.
    """
    row = _named(name, using)
    made: list[UUID] = []
    now = vendors.session(using).now_at()
    timing = row.timing()
    for tick in _undecided(row, timing.local(start), min(timing.local(end), now), limit, using):
        with vendors.write_transaction(using):
            if ticks.enter(row, tick, TickOutcome.BACKFILLED, now=now, using=using, reason=by):
                made.append(ticks.enqueue(row, tick, using=using))
    return made


def write(row: Schedule, *, using: str) -> None:
    """Write a schedule that people edit, new or changed, and let it tick from the present when its time changed.

    The row was validated by ``full_clean()``. Raise InvalidSchedule.
    """
    with vendors.write_transaction(using):
        before = Schedule.objects.using(using).select_for_update().filter(pk=row.pk).first()
        row.source = ScheduleSource.ROW
        if before is None or before.next_at is None or _timing_of(before) != _timing_of(row):
            row.next_at = row.timing().next_after(vendors.session(using).now_at())
        else:
            row.next_at = before.next_at
        row.last_at = before.last_at if before is not None else None
        row.save(using=using)


def _insert(declaration: Declaration, using: str) -> None:
    columns = _columns(declaration)
    now = vendors.session(using).now_at()
    row = Schedule(
        name=declaration.name,
        source=ScheduleSource.CODE,
        next_at=declaration.schedule.timing.next_after(now),
        **columns,
    )
    # Another worker that starts now inserts the same.
    with vendors.write_transaction(using):
        Schedule.objects.using(using).bulk_create([row], ignore_conflicts=True)


def _is_same(stored: Any, declared: Any) -> bool:
    # What is sealed is another text each time.
    return bool(stored == declared) or (
        isinstance(stored, str) and isinstance(declared, str) and codec.opened(stored) == codec.opened(declared)
    )


def _follow(row: Schedule, declaration: Declaration, using: str) -> None:
    columns = _columns(declaration)
    changes = {name: value for name, value in columns.items() if not _is_same(getattr(row, name), value)}
    if not changes and row.vanished_at is None:
        return
    with vendors.write_transaction(using):
        row = _locked(row.name, using)
        for name, value in changes.items():
            setattr(row, name, value)
        if row.vanished_at is not None or set(changes) & set(TIMING):
            _start_anew(row, using, **changes, vanished_at=None)
        else:
            Schedule.objects.using(using).filter(pk=row.pk).update(**changes)


def _mark_vanished(row: Schedule, using: str) -> None:
    if row.vanished_at is None:
        now = vendors.session(using).now_at()
        with vendors.write_transaction(using):
            Schedule.objects.using(using).filter(pk=row.pk, vanished_at=None).update(vanished_at=now)


def _start_anew(row: Schedule, using: str, **changes: Any) -> None:
    next_at = row.timing().next_after(vendors.session(using).now_at())
    Schedule.objects.using(using).filter(pk=row.pk).update(next_at=next_at, **changes)


def _columns(declaration: Declaration) -> dict[str, Any]:
    schedule = declaration.schedule
    return {
        "task_path": declaration.task.module_path,
        "cron": schedule.timing.cron,
        "interval_seconds": schedule.timing.interval_seconds,
        "time_zone": schedule.timing.zone,
        "dst": schedule.timing.dst.value,
        "args": schedule.args,
        "kwargs": schedule.kwargs,
        "queue_name": schedule.queue_name,
        "priority": schedule.priority,
        "missed": schedule.missed.value,
        "overlap": schedule.overlap.value,
        "jitter_seconds": schedule.jitter_seconds,
        "position": declaration.position,
    }


def _timing_of(row: Schedule) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in TIMING)


def _undecided(row: Schedule, start: datetime, end: datetime, limit: int, using: str) -> list[datetime]:
    decided = set(
        Tick.objects.using(using)
        .filter(schedule=row.name, tick__gte=start, tick__lte=end)
        .values_list("tick", flat=True)
    )
    found: list[datetime] = []
    for tick in row.timing().between(start, end):
        if tick not in decided:
            found.append(tick)
        if len(found) > limit:
            raise TooManyTicks(row.name, limit)
    return found


def _named(name: str, using: str) -> Schedule:
    row = Schedule.objects.using(using).filter(name=name).first()
    if row is None:
        raise ScheduleNotFound(name)
    return row


def _locked(name: str, using: str) -> Schedule:
    row = Schedule.objects.using(using).select_for_update().filter(name=name).first()
    if row is None:
        raise ScheduleNotFound(name)
    return row
