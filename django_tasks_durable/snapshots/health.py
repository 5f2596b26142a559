"""What is wrong, for somebody who was woken by it: each finding with what it means and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Count as CountOf
from django.db.models import F
from django.db.models.lookups import IsNull

from django_tasks_durable.authoring.pins import pins
from django_tasks_durable.models import TaskRun, Worker
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import LEASED, RunStatus

from .house import WorkerSnapshot, workers
from .hubs import hubs
from .instants import now
from .queues import QueueSnapshot, queues

ERROR, WARNING, INFO = SEVERITIES = "error", "warning", "info"
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


def is_reachable(*, using: str) -> bool:
    """Tell whether the database answers and has the tables."""
    try:
        TaskRun.objects.using(using).order_by().values_list("pk")[:1].exists()
    except DatabaseError:
        return False
    return True


def diagnose(*, using: str, known: Collection[str]) -> list[Finding]:
    """Look for what keeps work from being done, the worst first. ``known`` are the paths of the tasks known here."""
    crew = workers(using=using)
    found = [
        *_about_queues(queues(using=using)),
        *_about_workers(crew),
        *_about_listening(crew),
        *_about_names(using, known),
        *_about_versions(using),
        *_about_lost_runs(using),
        *_about_deadlines(using),
        *_about_failures(using),
        *_about_clocks(using),
        *_about_hubs(using),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


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
        if queue.is_paused:
            yield Finding(
                code="PAUSED",
                severity=INFO,
                message=f"The queue {queue.queue_name!r} is paused{f' by {queue.paused_by}' if queue.paused_by else ''}; "
                f"{queue.due} task(s) are due there.",
                hint=f"manage.py tasks unpause {queue.queue_name}",
            )
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


def _about_listening(found: Sequence[WorkerSnapshot]) -> Iterator[Finding]:
    for worker in found:
        if worker.condition in ("alive", "late") and worker.deaf_because:
            yield Finding(
                code="WORKER_DEAF",
                severity=WARNING,
                message=f"{worker.id} on {worker.host} polls, because it cannot listen: {worker.deaf_because}",
                hint="Tasks begin up to poll_seconds late. Behind a pooler in transaction mode name a direct alias in "
                "OPTIONS['listen_database'], or set OPTIONS['listen'] to False.",
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


def _about_versions(using: str) -> Iterator[Finding]:
    pinned = pins()
    rows = (
        TaskRun.objects.using(using)
        .filter(status=RunStatus.READY, task_path__in=list(pinned))
        .annotate(is_begun=IsNull(F("started_at"), False))
        .order_by()
        .values_list("task_path", "code_version", "is_begun")
        .annotate(number=CountOf("pk"))
    )
    left = Counter[tuple[str, int]]()
    for path, version, is_begun, number in rows if pinned else ():
        if not pinned[path].takes(version, is_begun=is_begun):
            left[path, version] += number
    if left:
        named = ", ".join(
            f"{path} version {version} ({number})" for (path, version), number in sorted(left.items())[:NAMED]
        )
        yield Finding(
            code="OTHER_VERSION",
            severity=WARNING,
            message=f"Queued tasks that stay with another version of their code than is here: {named}.",
            hint="They wait for a worker of the release that has it: keep one, or deploy a migration from that version.",
        )


def _about_lost_runs(using: str) -> Iterator[Finding]:
    working = Worker.objects.using(using).filter(dead_at__isnull=True, stopped_at__isnull=True).values("pk")
    lost = TaskRun.objects.using(using).filter(status__in=LEASED).exclude(lease_worker__in=working).count()
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


def _about_hubs(using: str) -> Iterator[Finding]:
    for hub in hubs(using=using):
        if hub.is_degraded:
            yield Finding(
                code="LIVE_DEGRADED",
                severity=WARNING,
                message=f"Browsers at this server are told of changes by polling, because it hears of none: {hub.error}",
                hint="Behind a pooler in transaction mode, name a direct alias in OPTIONS['listen_database'].",
            )
