"""How the whole house stands: who works, what waits, how much there is of everything."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count as CountOf

from django_tasks_durable.models import TaskRun, Wait, Worker
from django_tasks_durable.primitives.secrets import without_secrets
from django_tasks_durable.primitives.status import LEASED, RunStatus, State

from .counting import Count
from .instants import now
from .read import Narrow, counts, everything, runs, summaries
from .shapes import RunSummary
from .wire import WIRE_VERSION, instant

WORKER_LIMIT = 200
# More than anybody answers; each costs a look at its run.
WAITS_LIMIT = 1_000
HELD_LIMIT = 1000


@dataclass(frozen=True, kw_only=True)
class WorkerSnapshot:
    """A process that claims, as its heartbeat tells it. ``lapsed_seconds`` is how long ago its lease ended, if it has."""

    id: str
    host: str
    pid: int
    queues: Sequence[str]
    concurrency: int
    package_version: str
    started_at: datetime
    heartbeat_at: datetime
    heartbeat_age_seconds: float
    condition: str
    held: int
    lapsed_seconds: float = 0.0
    failed_heartbeats: int = 0
    deaf_because: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "v": WIRE_VERSION,
            "id": self.id,
            "host": self.host,
            "pid": self.pid,
            "queues": list(self.queues),
            "concurrency": self.concurrency,
            "package_version": self.package_version,
            "started_at": instant(self.started_at),
            "heartbeat_at": instant(self.heartbeat_at),
            "condition": self.condition,
            "held": self.held,
        }


@dataclass(frozen=True, kw_only=True)
class Overview:
    """How the whole house stands."""

    counts: Mapping[State, Count]
    oldest_ready_seconds: float | None
    workers_alive: int
    waits_pending: Count

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "v": WIRE_VERSION,
            "counts": {state.value: count.value for state, count in self.counts.items()},
            "capped": sorted(state.value for state, count in self.counts.items() if count.is_capped),
            "oldest_ready_seconds": self.oldest_ready_seconds,
            "workers_alive": self.workers_alive,
            "waits_pending": self.waits_pending.value,
        }


def workers(*, using: str, limit: int = WORKER_LIMIT, narrow: Narrow = everything) -> list[WorkerSnapshot]:
    """Read the processes that claim, the newest first, each with how many runs it holds of those that ``narrow`` keeps."""
    rows = list(Worker.objects.using(using).annotate(read_at=now()).order_by("-started_at", "id")[:limit])
    held = dict(
        narrow(TaskRun.objects.using(using))
        .filter(status__in=LEASED, lease_worker__in=[row.id for row in rows])
        .order_by()
        .values_list("lease_worker")
        .annotate(number=CountOf("pk"))
    )
    return [worker(row, held=held.get(row.id, 0)) for row in rows]


def held_by(names: Collection[str], *, using: str, narrow: Narrow = everything) -> dict[str, list[RunSummary]]:
    """Read what each of these workers holds, of the runs that ``narrow`` keeps; at most ``HELD_LIMIT`` in all. One query."""
    found: dict[str, list[RunSummary]] = {name: [] for name in names}
    held = narrow(runs(using=using)).filter(status__in=LEASED, lease_worker__in=list(names))
    for run in summaries(held.order_by("id")[:HELD_LIMIT]):
        found[run.lease_worker].append(run)
    return found


def worker(row: Worker, *, held: int) -> WorkerSnapshot:
    """Make the snapshot of a worker's row that carries ``read_at``."""
    read_at: datetime = row.read_at  # type: ignore[attr-defined]  # annotated by the caller's query
    age = (read_at - row.heartbeat_at).total_seconds()
    return WorkerSnapshot(
        id=row.id,
        host=row.host,
        pid=row.pid,
        queues=tuple(str(name) for name in json.loads(row.queues) or ()),  # none named means all
        concurrency=row.concurrency,
        package_version=row.package_version,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        heartbeat_age_seconds=max(0.0, age),
        condition=_condition_of(row, age),
        held=held,
        lapsed_seconds=max(0.0, age - row.lease_seconds),
        failed_heartbeats=row.failed_heartbeats,
        deaf_because=without_secrets(row.deaf_because),
    )


def _condition_of(row: Worker, age: float) -> str:
    if row.stopped_at is not None:
        return "stopped"
    if row.dead_at is not None:
        return "dead"
    return "late" if age > row.lease_seconds else "alive"


def overview(*, using: str, narrow: Narrow = everything) -> Overview:
    """Read how the whole house stands."""
    queryset = narrow(runs(using=using))
    due = queryset.filter(status=RunStatus.READY, due_at__lte=now()).order_by("due_at")
    oldest = next(iter(summaries(due[:1])), None)
    living = Worker.objects.using(using).filter(dead_at__isnull=True, stopped_at__isnull=True).annotate(read_at=now())
    alive = [row for row in living if row.read_at - row.heartbeat_at <= timedelta(seconds=row.lease_seconds)]
    open_waits = Wait.objects.using(using).filter(
        answer__isnull=True, run__status=RunStatus.WAITING, run__in=queryset.order_by().values("pk")
    )
    pending = open_waits.order_by()[:WAITS_LIMIT].count()
    return Overview(
        counts=counts(using=using, narrow=narrow),
        oldest_ready_seconds=oldest.overdue_seconds if oldest else None,
        workers_alive=len(alive),
        waits_pending=Count(value=pending, limit=WAITS_LIMIT),
    )
