"""Look at schedules. Two queries, however many there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber

from django_tasks_durable.exceptions import InvalidSchedule
from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.primitives import codec

from .instants import now
from .read import Narrow, everything, runs, summaries
from .shapes import RunSummary
from .wire import WIRE_VERSION, Show, instant, unveiled

RECENT = 24
RECENTLY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class ScheduleSnapshot:
    """A schedule, what became of its last tick, and the run of that one if it is still kept."""

    name: str
    task_path: str
    words: str
    row: Schedule
    last_outcome: str
    last_reason: str
    last_run_id: UUID | None
    last_run: RunSummary | None

    @property
    def is_broken(self) -> bool:
        """Whether it ticks no more because its row cannot be kept."""
        return self.row.next_at is None and not self.row.paused

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format."""
        row = self.row
        return {
            "v": WIRE_VERSION,
            "name": self.name,
            "task_path": self.task_path,
            "words": self.words,
            "cron": row.cron,
            "interval_seconds": row.interval_seconds,
            "time_zone": row.time_zone,
            "dst": row.dst,
            "missed": row.missed,
            "overlap": row.overlap,
            "jitter_seconds": row.jitter_seconds,
            "queue_name": row.queue_name,
            "priority": row.priority,
            "args": show(codec.readable(row.args)),
            "kwargs": show(codec.readable(row.kwargs)),
            "source": row.source,
            "paused": row.paused,
            "vanished_at": instant(row.vanished_at),
            "next_at": instant(row.next_at),
            "last_at": instant(row.last_at),
            "last_outcome": self.last_outcome,
            "last_reason": self.last_reason,
            "last_run_id": None if self.last_run_id is None else str(self.last_run_id),
            "last_state": None if self.last_run is None else self.last_run.state.value,
        }


def schedules(*, using: str) -> QuerySet[Schedule]:
    """Return all schedules, each with the database's clock and what became of its last tick."""
    last = Tick.objects.filter(schedule=OuterRef("name")).order_by("-tick")
    return (
        Schedule.objects.using(using)
        .annotate(
            read_at=now(),
            last_run_id=Subquery(last.values("run_id")[:1]),
            last_outcome=Subquery(last.values("outcome")[:1]),
            last_reason=Subquery(last.values("reason")[:1]),
        )
        .order_by("name")
    )


def many(queryset: QuerySet[Schedule], *, using: str, narrow: Narrow = everything) -> list[ScheduleSnapshot]:
    """Read the schedules of a queryset of ``schedules()``, in its order. A last run that ``narrow`` does not keep is left out."""
    rows: list[Any] = list(queryset)
    run_ids = [row.last_run_id for row in rows if row.last_run_id is not None]
    found: QuerySet[TaskRun] = narrow(runs(using=using)).filter(pk__in=run_ids)
    kept = {run.id: run for run in summaries(found)}
    for row in rows:
        if narrow is not everything and row.last_run_id not in kept:
            row.last_run_id = None
    return [snapshot(row, last_run=kept.get(row.last_run_id)) for row in rows]


def snapshot(row: Any, *, last_run: RunSummary | None = None) -> ScheduleSnapshot:
    """Make the snapshot of a row of ``schedules()``."""
    return ScheduleSnapshot(
        name=row.name,
        task_path=row.task_path,
        words=_words(row),
        row=row,
        last_outcome=row.last_outcome or "",
        last_reason=row.last_reason or "",
        last_run_id=row.last_run_id,
        last_run=last_run,
    )


@dataclass(frozen=True, kw_only=True)
class TickSnapshot:
    """One tick that was decided, with the run that it made if that is still kept and may be seen."""

    tick: datetime
    outcome: str
    run: RunSummary | None


def recent(
    names: Collection[str], *, using: str, limit: int = RECENT, narrow: Narrow = everything
) -> dict[str, list[TickSnapshot]]:
    """Read the last ticks of each of these schedules within a day, the oldest first. Two queries, however many there are."""
    newest_first = Window(RowNumber(), partition_by="schedule", order_by="-tick")
    rows = (
        Tick.objects.using(using)
        .filter(schedule__in=list(names), tick__gte=now() - RECENTLY)
        .annotate(place=newest_first)
        .filter(place__lte=limit)
        .order_by("schedule", "tick")
    )
    ticks = list(rows)
    kept = {
        run.id: run
        for run in summaries(narrow(runs(using=using)).filter(pk__in=[row.run_id for row in ticks if row.run_id]))
    }
    found: dict[str, list[TickSnapshot]] = {name: [] for name in names}
    for row in ticks:
        run = None if row.run_id is None else kept.get(row.run_id)
        found[row.schedule].append(TickSnapshot(tick=row.tick, outcome=row.outcome, run=run))
    return found


def _words(row: Schedule) -> str:
    try:
        return row.timing().words
    except InvalidSchedule as error:
        return str(error)
