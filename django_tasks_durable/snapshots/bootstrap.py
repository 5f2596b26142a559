"""What somebody who begins to watch is given: some runs, the last lines of each, and how many there are of every kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models import Count as CountOf

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.primitives.status import RunStatus, State, derive_state

from . import read
from .instants import now
from .narrowing import STALLED
from .parts import TimelineLine
from .read import Narrow, everything
from .shapes import RunSnapshot
from .tail import lines_between
from .wire import WIRE_VERSION, Show, unveiled

LIMIT = 100
LINES_BEHIND = 500
NOWHERE: Mapping[UUID, int] = {}
LINES_IN_ALL = 20_000


@dataclass(frozen=True, kw_only=True)
class TaskQuery:
    """Which runs are meant: those that fit every part that is given, and of each part one of its values.

    An empty part asks for nothing. Of the time of the enqueue, the beginning counts in and the end does not.
    """

    ids: Collection[UUID] = ()
    task_paths: Collection[str] = ()
    queue_names: Collection[str] = ()
    states: Collection[State] = ()
    statuses: Collection[RunStatus] = ()
    parent_ids: Collection[UUID] = ()
    enqueued_from: datetime | None = None
    enqueued_until: datetime | None = None
    channels: Collection[str] = ()
    keys: Mapping[KeyKind, str] = field(default_factory=dict)

    def of(self, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs of a queryset of ``read.runs()`` that are meant."""
        parts: dict[str, Collection[Any]] = {
            "pk__in": self.ids,
            "task_path__in": self.task_paths,
            "queue_name__in": self.queue_names,
            "status__in": self.statuses,
            "parent_id__in": self.parent_ids,
        }
        queryset = queryset.filter(**{name: list(values) for name, values in parts.items() if values})
        if self.enqueued_from is not None:
            queryset = queryset.filter(enqueued_at__gte=self.enqueued_from)
        if self.enqueued_until is not None:
            queryset = queryset.filter(enqueued_at__lt=self.enqueued_until)
        for kind, text in self.keys.items():
            queryset = read.holding(queryset, kind, text)
        if self.channels:
            queryset = read.in_any_channel(queryset, self.channels)
        return read.in_any_state(queryset, self.states) if self.states else queryset


EVERY_TASK = TaskQuery()


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """How many runs there are, in all and of every kind; every state and status is told, also of none."""

    total: int
    by_state: Mapping[State, int]
    by_status: Mapping[RunStatus, int]
    by_task: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "v": WIRE_VERSION,
            "total": self.total,
            "by_state": {state.value: number for state, number in self.by_state.items()},
            "by_status": {status.value: number for status, number in self.by_status.items()},
            "by_task": dict(self.by_task),
        }


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Some runs, newest first, the last lines of each in ascending order, and the aggregate of all that are meant."""

    runs: Sequence[RunSnapshot]
    lines: Mapping[UUID, Sequence[TimelineLine]]
    aggregate: Aggregate | None

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "v": WIRE_VERSION,
            "runs": [
                run.as_dict(show=show) | {"timeline": [line.as_dict(show=show) for line in self.lines.get(run.id, ())]}
                for run in self.runs
            ],
            "aggregate": None if self.aggregate is None else self.aggregate.as_dict(),
        }


def page(
    query: TaskQuery = EVERY_TASK, *, using: str, limit: int = LIMIT, narrow: Narrow = everything
) -> list[RunSnapshot]:
    """Read the newest runs that are meant, of those that ``narrow`` keeps."""
    return read.many(query.of(narrow(read.runs(using=using)))[:limit])


def aggregate(query: TaskQuery = EVERY_TASK, *, using: str, narrow: Narrow = everything) -> Aggregate:
    """Count all runs that are meant, in the database."""
    is_due = ExpressionWrapper(Q(due_at__isnull=True) | Q(due_at__lte=now()), output_field=BooleanField())
    groups = (
        query.of(narrow(read.runs(using=using)))
        .order_by()
        .annotate(is_due=is_due, is_stalled=ExpressionWrapper(STALLED, output_field=BooleanField()))
        .values_list("task_path", "status", "wake_reason", "is_due", "is_stalled")
        .annotate(number=CountOf("pk"))
    )
    states, statuses, tasks = Counter[State](), Counter[RunStatus](), Counter[str]()
    for task_path, status, wake_reason, due, stalled, number in groups:
        states[derive_state(status, wake_reason, is_due=bool(due), is_stalled=bool(stalled))] += number
        statuses[RunStatus(status)] += number
        tasks[task_path] += number
    return Aggregate(
        total=statuses.total(),
        by_state={state: states[state] for state in State},
        by_status={status: statuses[status] for status in RunStatus},
        by_task=dict(sorted(tasks.items())),
    )


def bootstrap(
    query: TaskQuery = EVERY_TASK,
    *,
    using: str,
    limit: int = LIMIT,
    steps: int = 0,
    after: Mapping[UUID, int] = NOWHERE,
    counts: bool = True,
    narrow: Narrow = everything,
) -> Bootstrap:
    """Read the newest runs that are meant, the last ``steps`` lines of each, and the aggregate over all of them.

    Runs in ``after`` are read besides, each with the lines that follow the sequence which is named there, at most 500 and
    fewer for many runs; one that has not come so far counts as not named.
    """
    found = page(query, using=using, limit=limit, narrow=narrow)
    if more := set(after) - {run.id for run in found}:
        named = query.of(narrow(read.runs(using=using))).filter(pk__in=more)
        found = sorted([*found, *read.many(named)], key=lambda run: run.id, reverse=True)
    most = min(LINES_BEHIND, LINES_IN_ALL // max(1, len(found)))
    bounds = {run.id: bound for run in found if (bound := _bound(run, min(steps, most), after, most))}
    return Bootstrap(
        runs=found,
        lines=lines_between(bounds, limit=LINES_IN_ALL, using=using),
        aggregate=aggregate(query, using=using, narrow=narrow) if counts else None,
    )


def _bound(run: RunSnapshot, steps: int, after: Mapping[UUID, int], most: int) -> tuple[int, int] | None:
    """Return above which line and up to which one the lines of a run are wanted; None for none."""
    held = after.get(run.id)
    if held is not None and 0 <= held <= run.last_sequence:
        bound = held, min(run.last_sequence, max(held, run.first_sequence - 1) + most)
    else:
        bound = max(0, run.last_sequence - steps), run.last_sequence
    return bound if bound[0] < bound[1] else None
