"""Look at queues: how much is in each, how long the first has been due, what holds it back. A handful of queries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count as CountOf
from django.db.models import Min

from django_tasks_durable.conf import queue_limits_of
from django_tasks_durable.limits import NO_LIMITS, QueueLimits
from django_tasks_durable.models import Queue, TaskRun
from django_tasks_durable.primitives.status import RunStatus

from .house import WorkerSnapshot, workers
from .instants import now
from .read import Narrow, everything
from .wire import WIRE_VERSION, instant


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """How much there is in one queue: due and later, held by workers (of these running), waiting for something.

    ``oldest_due_seconds`` is how long the first has been due. ``paused_at`` is when somebody paused it, None when it goes on.
    ``concurrency`` and ``rate`` ("10/minute") are its limits, by the settings or (``is_overruled``) by somebody since; None
    is no limit.
    """

    queue_name: str
    due: int = 0
    later: int = 0
    held: int = 0
    running: int = 0
    waiting: int = 0
    oldest_due_seconds: float | None = None
    workers_alive: int = 0
    paused_at: datetime | None = None
    paused_by: str = ""
    concurrency: int | None = None
    rate: str | None = None
    is_overruled: bool = False
    changed_at: datetime | None = None
    changed_by: str = ""

    @property
    def is_paused(self) -> bool:
        """Whether workers take nothing of it."""
        return self.paused_at is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "v": WIRE_VERSION,
            **asdict(self),
            "paused_at": instant(self.paused_at),
            "changed_at": instant(self.changed_at),
        }


def queues(*, using: str, narrow: Narrow = everything) -> list[QueueSnapshot]:
    """Read each queue that has open runs or that somebody has changed, in the order of their names.

    Finished runs are not looked at, so that it is quick on a table of any size. ``narrow`` says which runs are counted.
    """
    alive = [each for each in workers(using=using) if each.condition == "alive"]
    numbers = _numbers(using, narrow)
    rows = Queue.objects.using(using).in_bulk()
    limits = queue_limits_of(using)
    return [
        _with_settings(
            QueueSnapshot(queue_name=name, workers_alive=sum(_serves(each, name) for each in alive), **numbers[name]),
            limits.get(name, NO_LIMITS),
            rows.get(name) or Queue(name=name),
        )
        for name in sorted(numbers.keys() | rows.keys() | limits.keys())
    ]


def queue(name: str, *, using: str, narrow: Narrow = everything) -> QueueSnapshot:
    """Read one queue; one that holds nothing and that nobody has changed is empty."""
    return next(
        (each for each in queues(using=using, narrow=narrow) if each.queue_name == name), QueueSnapshot(queue_name=name)
    )


def _with_settings(found: QueueSnapshot, settings: QueueLimits, row: Queue) -> QueueSnapshot:
    limits = settings.overruled(row.concurrency, row.rate)
    return replace(
        found,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        concurrency=limits.concurrency,
        rate=None if limits.rate is None else str(limits.rate),
        is_overruled=row.concurrency is not None or row.rate != "",
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )


def _numbers(using: str, narrow: Narrow) -> defaultdict[str, dict[str, Any]]:
    found: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    runs = narrow(TaskRun.objects.using(using)).order_by()
    ready = runs.filter(status=RunStatus.READY)
    counted = (
        ("due", ready.filter(due_at__lte=now())),
        ("later", ready.filter(due_at__gt=now())),
        ("claimed", runs.filter(status=RunStatus.CLAIMED)),
        ("running", runs.filter(status=RunStatus.RUNNING)),
        ("waiting", runs.filter(status=RunStatus.WAITING)),
    )
    for name, queryset in counted:
        for queue_name, number in queryset.values_list("queue_name").annotate(number=CountOf("pk")):
            found[queue_name][name] = number
    for each in found.values():
        each["held"] = each.pop("claimed", 0) + each.get("running", 0)
    heads = ready.filter(due_at__lte=now()).values_list("queue_name").annotate(head=Min("due_at"), read_at=now())
    for queue_name, head, read_at in heads:
        found[queue_name]["oldest_due_seconds"] = (read_at - head).total_seconds()
    return found


def _serves(worker: WorkerSnapshot, queue_name: str) -> bool:
    return not worker.queues or queue_name in worker.queues
