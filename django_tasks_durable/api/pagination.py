"""Pages that stay as they are while runs are enqueued: each goes on beside an id, which never changes."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.core import signing
from django.db.models import QuerySet

from django_tasks_durable.exceptions import InvalidCursor
from django_tasks_durable.models import TaskRun
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.shapes import RunSummary

OLDER, NEWER = "o", "n"
SALT = "django_tasks_durable.api.cursor"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One page, newest first, and the cursors of those beside it; empty where there is none."""

    runs: list[RunSummary]
    next: str = ""
    previous: str = ""


def leaf(queryset: QuerySet[TaskRun], cursor: str, limit: int) -> Leaf:
    """Read the page of a queryset of ``runs()`` that a cursor stands for; the first one without. Raise InvalidCursor."""
    side, run_id = _opened(cursor) if cursor else (OLDER, None)
    if side == NEWER and run_id is not None:
        found = read.above(queryset, run_id, limit=limit + 1)
        has_newer, runs = len(found) > limit, found[-limit:]
        return Leaf(runs=runs, next=_older(runs), previous=_newer(runs) if has_newer else "")
    found = read.below(queryset, run_id, limit=limit + 1)
    has_older, runs = len(found) > limit, found[:limit]
    return Leaf(runs=runs, next=_older(runs) if has_older else "", previous=_newer(runs) if cursor else "")


def _older(runs: list[RunSummary]) -> str:
    return signing.Signer(salt=SALT).sign(f"{OLDER}{runs[-1].id.hex}") if runs else ""


def _newer(runs: list[RunSummary]) -> str:
    return signing.Signer(salt=SALT).sign(f"{NEWER}{runs[0].id.hex}") if runs else ""


def _opened(cursor: str) -> tuple[str, UUID]:
    try:
        told = signing.Signer(salt=SALT).unsign(cursor)
    except signing.BadSignature:
        raise InvalidCursor(cursor) from None
    return told[0], UUID(told[1:])
