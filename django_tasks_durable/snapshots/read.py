"""Look at runs. Every function takes the same number of queries whatever it finds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count as CountOf
from django.db.models import QuerySet

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import Checkpoint, Step, TaskRun
from django_tasks_durable.primitives.channels import told_in
from django_tasks_durable.primitives.keys import KeyKind, key_of
from django_tasks_durable.primitives.secrets import without_secrets
from django_tasks_durable.primitives.status import (
    OPEN,
    RETRIABLE,
    CheckpointKind,
    Level,
    RunStatus,
    State,
    StepKind,
    WakeReason,
)

from .counting import COUNT_LIMIT, Count
from .instants import now
from .narrowing import KEY_COLUMNS, STALLED, condition_of
from .narrowing import holding as holding
from .narrowing import in_any_channel as in_any_channel
from .narrowing import in_any_state as in_any_state
from .narrowing import in_state as in_state
from .parts import CheckpointSnapshot, Progress, TimelineLine
from .shapes import RunSnapshot, RunSummary
from .waits import waits as waits  # a part of a run, read like the others

PAYLOADS = ("args", "kwargs", "metadata", "result", "errors", "worker_ids", "workflow_state", "awaited")
LOOKED_THROUGH = 10_000
TIMELINE_LIMIT = 100
CHECKPOINT_LIMIT = 500
CHILDREN_LIMIT = 100

Narrow = Callable[[QuerySet[TaskRun]], QuerySet[TaskRun]]


def everything(queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """Keep all runs."""
    return queryset


def runs(*, using: str) -> QuerySet[TaskRun]:
    """Return all runs, newest first, each with the database's clock beside it."""
    return TaskRun.objects.using(using).annotate(read_at=now()).order_by("-id")


def begun(*, using: str, task: str = "", is_open: bool = True) -> QuerySet[TaskRun]:
    """Return the runs that a worker has held before, newest first: those of tasks whose path begins so, open ones or all."""
    found = runs(using=using).filter(lease_token__gt=0, task_path__startswith=task)
    return found.filter(status__in=OPEN) if is_open else found


def one(run_id: UUID | str, *, using: str, narrow: Narrow = everything) -> RunSnapshot:
    """Read one run of those that ``narrow`` keeps, by its id or by its caller's own. Raise RunNotFound."""
    try:
        wanted: dict[str, Any] = {"pk": run_id if isinstance(run_id, UUID) else UUID(str(run_id))}
    except ValueError:
        if not str(run_id).isprintable():
            raise RunNotFound(run_id) from None
        key = key_of(KeyKind.RUN, "", str(run_id))
        wanted = {"open_keys__kind": key.kind.value, "open_keys__name": key.name}
    try:
        return snapshot(narrow(runs(using=using)).get(**wanted))
    except TaskRun.DoesNotExist:
        raise RunNotFound(run_id) from None


def many(queryset: QuerySet[TaskRun]) -> list[RunSnapshot]:
    """Read the runs of a queryset of ``runs()``, in its order. Slice it first."""
    return [snapshot(run) for run in queryset]


def summaries(queryset: QuerySet[TaskRun]) -> list[RunSummary]:
    """Read the runs of a queryset of ``runs()`` without their payloads, in its order. Slice it first."""
    return [summary(run) for run in queryset.defer(*PAYLOADS)]


def below(queryset: QuerySet[TaskRun], run_id: UUID | None, *, limit: int) -> list[RunSummary]:
    """Read the first runs of a queryset of ``runs()``, newest first, that are older than an id; from the newest on without."""
    return summaries((queryset if run_id is None else queryset.filter(pk__lt=run_id))[:limit])


def above(queryset: QuerySet[TaskRun], run_id: UUID, *, limit: int) -> list[RunSummary]:
    """Read the runs of a queryset of ``runs()``, newest first, that are the next newer ones of an id."""
    return summaries(queryset.filter(pk__gt=run_id).order_by("id")[:limit])[::-1]


def snapshot(run: TaskRun) -> RunSnapshot:
    """Make the snapshot of a row of ``runs()``."""
    return RunSnapshot(
        **_common(run),
        args_text=run.args,
        kwargs_text=run.kwargs,
        metadata_text=run.metadata,
        result_text=run.result,
        worker_ids_text=run.worker_ids,
        errors_text=run.errors,
        state_text=run.workflow_state,
        workflow_step=run.workflow_step,
        visit=run.visit,
    )


def summary(run: TaskRun) -> RunSummary:
    """Make the summary of a row of ``runs()``; its payloads may be deferred."""
    return RunSummary(**_common(run))


def _common(run: TaskRun) -> dict[str, Any]:
    read_at: datetime = run.read_at  # type: ignore[attr-defined]  # annotated by runs()
    return {
        "id": run.id,
        "version": run.version,
        "task_path": run.task_path,
        "code_version": run.code_version,
        "backend": run.backend,
        "queue_name": run.queue_name,
        "priority": run.priority,
        "status": RunStatus(run.status),
        "wake_reason": WakeReason(run.wake_reason),
        "read_at": read_at,
        "enqueued_at": run.enqueued_at,
        "run_after": run.run_after,
        "due_at": run.due_at,
        "started_at": run.started_at,
        "last_attempted_at": run.last_attempted_at,
        "finished_at": run.finished_at,
        "stalled_at": run.stalled_at,
        "attempts": run.attempts,
        "max_attempts": run.max_attempts,
        "error_code": run.error_code,
        "lease_worker": run.lease_worker,
        "cancel_requested_at": run.cancel_requested_at,
        "cancel_reason": run.cancel_reason,
        "first_sequence": run.first_sequence,
        "last_sequence": run.last_sequence,
        "parent_id": run.parent_id,
        "forked_from": run.forked_from,
        "keys": {kind: text for kind, column in KEY_COLUMNS.items() if (text := getattr(run, column))},
        "own_channels": told_in(run.options),
        "progress": Progress(
            percent=run.progress_percent,
            label=without_secrets(run.progress_label),
            meta_text=run.progress_meta,
            updated_at=run.progress_at,
        ),
    }


def retriable(queryset: QuerySet[TaskRun], *, limit: int) -> list[UUID]:
    """Return the ids of runs that may be retried, the oldest first, up to ``limit``."""
    found = queryset.filter(status__in=RETRIABLE).order_by("id").values_list("pk", flat=True)
    return list(found[:limit])


def children(run_id: UUID, *, limit: int = CHILDREN_LIMIT, using: str, narrow: Narrow = everything) -> list[RunSummary]:
    """Read the first children of a run, of those that ``narrow`` keeps, in the order in which they were started."""
    # The index of children begins with their status.
    below = narrow(runs(using=using)).filter(parent_id=run_id, status__in=RunStatus.values)
    return summaries(below.order_by("id")[:limit])


def find(text: str, *, using: str, narrow: Narrow = everything) -> list[UUID]:
    """Return the ids that ``text`` may mean: a whole id, else those that begin or end with it among the newest runs."""
    wanted = text.strip().lower().replace("-", "")
    if not wanted or set(wanted) - set("0123456789abcdef"):
        return []
    queryset = narrow(runs(using=using))
    if len(wanted) == 32:
        return list(queryset.filter(pk=UUID(wanted)).values_list("pk", flat=True))
    newest = queryset.values_list("pk", flat=True)[:LOOKED_THROUGH]
    return [run_id for run_id in newest if run_id.hex.endswith(wanted) or run_id.hex.startswith(wanted)]


def timeline(
    run_id: UUID,
    *,
    after: int | None = None,
    before: int | None = None,
    kind: StepKind | None = None,
    limit: int = TIMELINE_LIMIT,
    using: str,
) -> list[TimelineLine]:
    """Read lines of a run's timeline, ascending: those that follow ``after``, else the last ones (below ``before``)."""
    lines = Step.objects.using(using).filter(run_id=run_id)
    if kind is not None:
        lines = lines.filter(kind=kind)
    if after is not None:
        return [line(step) for step in lines.filter(sequence__gt=after).order_by("sequence")[:limit]]
    if before is not None:
        lines = lines.filter(sequence__lt=before)
    return [line(step) for step in reversed(lines.order_by("-sequence")[:limit])]


def line(step: Step) -> TimelineLine:
    """Make the snapshot of a line of a timeline."""
    return TimelineLine(
        sequence=step.sequence,
        kind=StepKind(step.kind),
        level=Level(step.level),
        attempt=step.attempt,
        path=step.path,
        message=without_secrets(step.message),
        percent=step.percent,
        data_text=step.data,
        created_at=step.created_at,
    )


def checkpoints(run_id: UUID, *, limit: int = CHECKPOINT_LIMIT, using: str) -> list[CheckpointSnapshot]:
    """Read the newest checkpoints of a run, in the order in which they were left."""
    newest = Checkpoint.objects.using(using).filter(run_id=run_id).order_by("-id")[:limit]
    return [
        CheckpointSnapshot(
            path=row.path,
            kind=CheckpointKind(row.kind),
            position=row.position,
            failed=row.failed,
            value_text=row.value,
            attempt=row.attempt,
            seconds=row.seconds,
            created_at=row.created_at,
        )
        for row in reversed(newest)
    ]


def counts(*, using: str, limit: int = COUNT_LIMIT, narrow: Narrow = everything) -> dict[State, Count]:
    """Count the runs by state, each status up to ``limit``, so that a big table costs no more than a small one."""
    queryset = narrow(TaskRun.objects.using(using)).order_by()
    found = dict.fromkeys(State, 0)
    ready = queryset.filter(status=RunStatus.READY)[:limit]
    asleep = (State.STALE, State.RETRYING, State.WAITING)
    split = ready.aggregate(
        all=CountOf("pk"), **{state.value: CountOf("pk", filter=condition_of(state)) for state in asleep}
    )
    for state in asleep:
        found[state] = split[state.value]
    found[State.QUEUED] = split["all"] - sum(split[state.value] for state in asleep)
    running = queryset.filter(status=RunStatus.RUNNING)[:limit]
    held = running.aggregate(all=CountOf("pk"), stalled=CountOf("pk", filter=STALLED))
    found[State.STALE] += held["stalled"]
    found[State.RUNNING] = held["all"] - held["stalled"]
    for status, state in _STATES_OF_THEIR_OWN.items():
        found[state] += queryset.filter(status=status)[:limit].count()
    return {state: Count(value=min(value, limit), limit=limit) for state, value in found.items()}


_STATES_OF_THEIR_OWN = {
    RunStatus.CLAIMED: State.CLAIMED,
    RunStatus.WAITING: State.WAITING,
    RunStatus.SUCCESSFUL: State.SUCCEEDED,
    RunStatus.FAILED: State.FAILED,
    RunStatus.CANCELLED: State.CANCELLED,
}
