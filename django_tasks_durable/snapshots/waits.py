"""Look at the questions of runs."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from django_tasks_durable.models import Checkpoint, TaskRun, Wait
from django_tasks_durable.primitives.status import FINISHED

from .parts import Asked, WaitSnapshot


def waits(run_id: UUID, *, pending: bool = True, using: str) -> list[WaitSnapshot]:
    """Read the questions of a run in the order in which they were asked; all of them if not only ``pending``."""
    rows = _waits(using).filter(run_id=run_id).order_by("id")
    if pending:
        rows = _pending(rows)
    return [_wait(row) for row in rows]


def wait_at(run_id: UUID, path: str, *, using: str) -> WaitSnapshot | None:
    """Read the question that a run asks at a path; None while it has not been asked."""
    row = _waits(using).filter(run_id=run_id, path=path).first()
    return None if row is None else _wait(row)


def wait_of(run_id: UUID, token: str, *, using: str) -> WaitSnapshot | None:
    """Read the question of a run that has this token; None if there is none."""
    row = _waits(using).filter(run_id=run_id, token=token).first()
    return None if row is None else _wait(row)


def answered_last(run_id: UUID, *, using: str) -> WaitSnapshot | None:
    """Read the newest question of a run that is answered and that the run has not taken up; None if there is none."""
    rows = _waits(using).filter(~_consumed(), run_id=run_id, answer__isnull=False).exclude(run__status__in=FINISHED)
    row = rows.order_by("-id").first()
    return None if row is None else _wait(row)


def inbox(
    runs: QuerySet[TaskRun],
    *,
    kind: str = "",
    may_answer: Callable[[str], bool] | None = None,
    limit: int = 100,
    using: str,
) -> list[Asked]:
    """Read the pending questions of a queryset of runs, the oldest first.

    ``may_answer`` is asked about each permission that the questions ask for, so that none is read in vain.
    """
    rows = _pending(_waits(using)).filter(run__in=runs.order_by().values("pk"))
    if kind:
        rows = rows.filter(kind=kind)
    if may_answer is not None:
        asked = Wait.objects.using(using).filter(answer__isnull=True).order_by().values_list("permission", flat=True)
        rows = rows.filter(permission__in=[permission for permission in asked.distinct() if may_answer(permission)])
    rows = rows.select_related("run").only(*_WAIT_FIELDS, "run__task_path").order_by("id")
    return [Asked(run_id=row.run_id, task_path=row.run.task_path, wait=_wait(row)) for row in rows[:limit]]


_WAIT_FIELDS = [field.attname for field in Wait._meta.concrete_fields]


def _consumed() -> Exists:
    return Exists(Checkpoint.objects.filter(run_id=OuterRef("run_id"), path=OuterRef("path")))


def _waits(using: str) -> QuerySet[Wait]:
    return Wait.objects.using(using).annotate(is_consumed=_consumed())


def _pending(rows: QuerySet[Wait]) -> QuerySet[Wait]:
    return rows.filter(~_consumed(), answer__isnull=True).exclude(run__status__in=FINISHED)


def _wait(row: Wait) -> WaitSnapshot:
    return WaitSnapshot(
        path=row.path,
        kind=row.kind,
        token=row.token,
        request_text=row.request,
        permission=row.permission,
        form=row.form,
        has_default=row.has_default,
        deadline=row.deadline,
        created_at=row.created_at,
        answer_text=row.answer,
        answered_at=row.answered_at,
        answered_by=row.answered_by,
        is_consumed=row.is_consumed,  # type: ignore[attr-defined]  # annotated by _waits()
    )
