"""What is wrong, for somebody who was woken by it: each finding with what it means and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count as CountOf
from django.db.models import F, Min

from django_tasks_durable.models import TaskRun, Worker
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import LEASED, RunStatus

from .house import WorkerSnapshot, workers
from .instants import now

ERROR, WARNING, INFO = "error", "warning", "info"
PATIENCE_SECONDS = 60
SKEW_SECONDS = 2.0
NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. ``code`` is stable, for machines; ``hint`` is what to do."""

    code: str
    severity: str
    message: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the wire format."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """How much there is in one queue: due and later, held by workers, waiting; and how long the first has been due."""

    queue_name: str
    due: int = 0
    later: int = 0
    held: int = 0
    waiting: int = 0
    oldest_due_seconds: float | None = None
    workers_alive: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return asdict(self)


def queues(*, using: str) -> list[QueueSnapshot]:
    """Count what is open in each queue. Finished runs are not looked at, so that it is quick on a table of any size."""
    alive = [each for each in workers(using=using) if each.condition == "alive"]
    runs = TaskRun.objects.using(using).order_by()
    found: dict[str, dict[str, Any]] = {}
    ready = runs.filter(status=RunStatus.READY)
    counted = (
        ("due", ready.filter(due_at__lte=now())),
        ("later", ready.filter(due_at__gt=now())),
        ("held", runs.filter(status__in=LEASED)),
        ("waiting", runs.filter(status=RunStatus.WAITING)),
    )
    for name, queryset in counted:
        for queue_name, number in queryset.values_list("queue_name").annotate(number=CountOf("pk")):
            found.setdefault(queue_name, {})[name] = number
    heads = ready.filter(due_at__lte=now()).values_list("queue_name").annotate(head=Min("due_at"), read_at=now())
    for queue_name, head, read_at in heads:
        found[queue_name]["oldest_due_seconds"] = (read_at - head).total_seconds()
    return [
        QueueSnapshot(queue_name=name, workers_alive=sum(_serves(each, name) for each in alive), **numbers)
        for name, numbers in sorted(found.items())
    ]


def _serves(worker: WorkerSnapshot, queue_name: str) -> bool:
    return not worker.queues or queue_name in worker.queues


def diagnose(*, using: str, known: Collection[str]) -> list[Finding]:
    """Look for what keeps work from being done, the worst first. ``known`` are the paths of the tasks known here."""
    found = [
        *_about_queues(queues(using=using)),
        *_about_workers(workers(using=using)),
        *_about_names(using, known),
        *_about_lost_runs(using),
        *_about_deadlines(using),
        *_about_failures(using),
        *_about_clocks(using),
    ]
    return sorted(found, key=lambda finding: (ERROR, WARNING, INFO).index(finding.severity))


def worker_condition(name: str, *, using: str) -> str | None:
    """Tell how a worker is, by its id or by the name that each of its incarnations begins with; None for an unknown one.

    Of several incarnations the one counts that is best off.
    """
    rows = [each for each in workers(using=using) if each.id == name or each.id.startswith(f"{name}-")]
    order = ("alive", "late", "dead", "stopped")
    return min((each.condition for each in rows), key=order.index, default=None)


def _about_queues(found: Sequence[QueueSnapshot]) -> Iterator[Finding]:
    for queue in found:
        age = queue.oldest_due_seconds or 0
        if age < PATIENCE_SECONDS:
            continue
        waits = f"{queue.due} task(s) of the queue {queue.queue_name!r} are due, the first for {age:.0f} s"
        if not queue.workers_alive:
            yield Finding(
                code="NO_WORKER",
                severity=ERROR,
                message=f"{waits}, and no living worker serves it.",
                hint=f"Start one: manage.py runtasks --queue-name {queue.queue_name}",
            )
        else:
            yield Finding(
                code="BEHIND",
                severity=WARNING,
                message=f"{waits}; {queue.workers_alive} worker(s) serve it.",
                hint="If the number grows, start more workers or raise --concurrency.",
            )


def _about_workers(found: Sequence[WorkerSnapshot]) -> Iterator[Finding]:
    for worker in found:
        if worker.condition == "late" or (worker.condition == "dead" and worker.held):
            yield Finding(
                code="WORKER_SILENT",
                severity=WARNING,
                message=f"{worker.id} on {worker.host} has been silent for {worker.heartbeat_age_seconds:.0f} s "
                f"and holds {worker.held} task(s).",
                hint="Any living worker takes them over after the lease; with none alive, start one.",
            )


def _about_names(using: str, known: Collection[str]) -> Iterator[Finding]:
    rows = (
        TaskRun.objects.using(using)
        .filter(status=RunStatus.READY)
        .exclude(task_path__in=list(known))
        .order_by()
        .values_list("task_path")
        .annotate(number=CountOf("pk"))
    )
    unknown = dict(rows[:NAMED])
    if unknown:
        named = ", ".join(f"{path} ({number})" for path, number in sorted(unknown.items()))
        yield Finding(
            code="UNKNOWN_TASK",
            severity=WARNING,
            message=f"Queued tasks whose code is not known here: {named}.",
            hint="They wait for a worker that knows them. If their code is gone for good, cancel them.",
        )


def _about_lost_runs(using: str) -> Iterator[Finding]:
    gone = Worker.objects.using(using).filter(dead_at__isnull=True, stopped_at__isnull=True).values("pk")
    lost = TaskRun.objects.using(using).filter(status__in=LEASED).exclude(lease_worker__in=gone).count()
    if lost:
        yield Finding(
            code="LOST",
            severity=WARNING,
            message=f"{lost} task(s) are held by a worker that is dead or has left.",
            hint="A living worker takes them back with its next sweep; with none alive, start one.",
        )


def _about_deadlines(using: str) -> Iterator[Finding]:
    overdue = TaskRun.objects.using(using).filter(
        status=RunStatus.WAITING, due_at__lte=now() - timedelta(seconds=PATIENCE_SECONDS)
    )
    if number := overdue.count():
        yield Finding(
            code="OVERDUE",
            severity=ERROR,
            message=f"{number} waiting task(s) are past their deadline and nobody woke them.",
            hint="Every worker does that; look whether one is alive and what it logs.",
        )


def _about_failures(using: str) -> Iterator[Finding]:
    rows = (
        TaskRun.objects.using(using)
        .filter(status=RunStatus.FAILED, finished_at__gt=now() - timedelta(hours=1))
        .order_by()
        .values_list("task_path", "error_code")
        .annotate(number=CountOf("pk"))
        .order_by(F("number").desc())[:NAMED]
    )
    for path, code, number in rows:
        yield Finding(
            code="FAILED",
            severity=INFO,
            message=f"{number} task(s) {path} failed within the last hour ({code}).",
            hint=f"manage.py tasks list --state failed --task {path}",
        )


def _about_clocks(using: str) -> Iterator[Finding]:
    read_at: datetime | None = (
        Worker.objects.using(using).annotate(read_at=now()).values_list("read_at", flat=True).first()
    )
    if read_at is None:
        return
    skew = (clock.host_now() - read_at).total_seconds()
    if abs(skew) > SKEW_SECONDS:
        yield Finding(
            code="CLOCK",
            severity=INFO,
            message=f"This host's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database's.",
            hint="Tasks go by the database's clock; run an NTP client for the times in your logs.",
        )
