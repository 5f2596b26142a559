"""What a run waits for in its children, and which of them it must be told about. Pure, for every store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.marks import SEEN
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import Awaited, CheckpointRecord

# The most partials of one stream that one look brings.
PARTIALS_AT_ONCE = 500
UNBOUNDED = 1_000_000_000
OF_CHILDREN = frozenset({CheckpointKind.SPAWN, CheckpointKind.JOIN, CheckpointKind.STREAM})


@dataclass(frozen=True, slots=True)
class Interest:
    """The children that a history must tell about: those not joined yet, and by path each open stream's child and cursor.

    ``streams`` also says how many partials at most one look brings.
    """

    children: frozenset[UUID]
    streams: dict[str, tuple[UUID, int, int]]


def rereads(path: str) -> bool:
    """Tell whether a stream begins again with each slice: one in a nested call or branch, which is itself run again."""
    return "/" in path


def interest_in(checkpoints: Iterable[CheckpointRecord]) -> Interest:
    """Say which children a run still has to hear of, by the checkpoints that it has left."""
    spawned: set[UUID] = set()
    joined: set[UUID] = set()
    streams: dict[str, tuple[UUID, int, int]] = {}
    ended: set[str] = set()
    for record in checkpoints:
        if record.kind is CheckpointKind.CALL:
            ended.add(record.path)
        if record.kind not in OF_CHILDREN:
            continue
        try:
            child = UUID(
                json.loads(codec.opened(record.value)) if record.kind is CheckpointKind.SPAWN else record.fingerprint
            )
            if record.kind is not CheckpointKind.STREAM:
                (spawned if record.kind is CheckpointKind.SPAWN else joined).add(child)
                continue
            path, point = record.path.partition(SEEN)[0], json.loads(codec.opened(record.value))
            streams[path] = child, int(point["after"]), UNBOUNDED if rereads(path) else PARTIALS_AT_ONCE
            if point["ended"]:
                ended.add(path)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # Left by another program: the run fails over it when it comes there, and nobody else does now.
    still = {path: stream for path, stream in streams.items() if not any(each in ended for each in _around(path))}
    return Interest(frozenset(spawned - joined | {stream[0] for stream in still.values()}), still)


def _around(path: str) -> Iterable[str]:
    """Give a path, and those of the calls and branches that it is in."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def as_text(awaited: Sequence[Awaited]) -> str:
    """Return what a run's row keeps of it; empty for nothing."""
    if not awaited:
        return ""
    return json.dumps([[[child.hex for child in each.children], each.after] for each in awaited], separators=(",", ":"))


def from_text(text: str) -> list[Awaited]:
    """See as_text()."""
    if not text:
        return []
    return [
        Awaited(children=tuple(UUID(child) for child in children), after=after) for children, after in json.loads(text)
    ]
