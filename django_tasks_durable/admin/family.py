"""Who started a task and what it has started, for the page of the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.safestring import SafeString

from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.parts import CheckpointSnapshot
from django_tasks_durable.snapshots.shapes import RunSnapshot, RunSummary
from django_tasks_durable.snapshots.text import plain

from . import look


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A task that this one has something to do with."""

    id: str
    name: str
    badge: SafeString
    url: str


@dataclass(frozen=True, kw_only=True)
class Family:
    """The addresses of the parent and of what it was forked from, empty if there is none, and the children."""

    parent_url: str
    source_url: str
    children: Sequence[Relative]


def family_of(
    run: RunSnapshot,
    checkpoints: Sequence[CheckpointSnapshot],
    *,
    using: str,
    narrow: read.Narrow,
    address: Callable[[UUID], str],
) -> Family:
    """Read the family of a task; children only where its checkpoints tell of some, or not all of these are at hand."""
    may_have_children = len(checkpoints) == read.CHECKPOINT_LIMIT or any(
        checkpoint.kind is CheckpointKind.SPAWN for checkpoint in checkpoints
    )
    found = read.children(run.id, using=using, narrow=narrow) if may_have_children else []
    return Family(
        parent_url="" if run.parent_id is None else address(run.parent_id),
        source_url="" if run.forked_from is None else address(run.forked_from),
        children=[relative(child, address) for child in found],
    )


def relative(run: RunSummary, address: Callable[[UUID], str]) -> Relative:
    """Return a task as another one's page shows it."""
    return Relative(id=str(run.id), name=plain(run.name), badge=look.badge(run), url=address(run.id))
