"""What somebody who begins to watch is given: some runs, the last lines of each, and how many there are of every kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models import Count as CountOf

from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.primitives.status import RunStatus, State, derive_state

from . import read
from .instants import now
from .parts import TimelineLine
from .read import Narrow, everything
from .shapes import RunSnapshot
from .wire import WIRE_VERSION, Show, unveiled

LIMIT = 100


@dataclass(frozen=True, kw_only=True)
class TaskQuery:
    """Which runs are meant: those that fit every part that is given. An empty part asks for nothing."""

    ids: Collection[UUID] = ()
    task_paths: Collection[str] = ()
    queue_names: Collection[str] = ()
    states: Collection[State] = ()
    keys: Mapping[KeyKind, str] = field(default_factory=dict)

    def of(self, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs of a queryset of ``read.runs()`` that are meant."""
        parts = {"pk__in": self.ids, "task_path__in": self.task_paths, "queue_name__in": self.queue_names}
        queryset = queryset.filter(**{name: list(values) for name, values in parts.items() if values})
        for kind, text in self.keys.items():
            queryset = read.holding(queryset, kind, text)
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
        .annotate(is_due=is_due)
        .values_list("task_path", "status", "wake_reason", "is_due")
        .annotate(number=CountOf("pk"))
    )
    states, statuses, tasks = Counter[State](), Counter[RunStatus](), Counter[str]()
    for task_path, status, wake_reason, due, number in groups:
        states[derive_state(status, wake_reason, is_due=bool(due))] += number
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
    counts: bool = True,
    narrow: Narrow = everything,
) -> Bootstrap:
    """Read the newest runs that are meant, the last ``steps`` lines of each, and the aggregate over all of them."""
    found = page(query, using=using, limit=limit, narrow=narrow)
    return Bootstrap(
        runs=found,
        lines=_last_lines(found, steps, using),
        aggregate=aggregate(query, using=using, narrow=narrow) if counts else None,
    )


def _last_lines(found: Sequence[RunSnapshot], steps: int, using: str) -> dict[UUID, list[TimelineLine]]:
    if not found or not steps:
        return {}
    # A run's lines are numbered without gaps, so the last ones need no sorting of the others.
    wanted = Q()
    for run in found:
        wanted |= Q(run_id=run.id, sequence__gt=run.last_sequence - steps, sequence__lte=run.last_sequence)
    lines: dict[UUID, list[TimelineLine]] = defaultdict(list)
    for step in Step.objects.using(using).filter(wanted).order_by("run_id", "sequence"):
        lines[step.run_id].append(read.line(step))
    return dict(lines)
