"""What a child yields, as its parent's code sees it: one partial after the other, each once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.marks import SEEN
from django_tasks_durable.primitives.status import FINISHED, CheckpointKind
from django_tasks_durable.primitives.writes import Awaited, CheckpointRecord, SaveCheckpoint
from django_tasks_durable.store.awaiting import PARTIALS_AT_ONCE, rereads

from . import drive
from .effects import Act, Emit
from .frame import Frame, Pending
from .replay import Place, Replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """Where a stream stands: behind which line of the child, and how far its parent's code had come just then.

    ``told`` counts the partials that the parent had yielded, ``position`` the primitives that its body had used.
    """

    after: int
    told: int
    position: int
    ended: bool = False

    def as_text(self) -> str:
        return json.dumps(
            {"after": self.after, "told": self.told, "position": self.position, "ended": self.ended},
            separators=(",", ":"),
        )


class Cursor:
    """The place of one stream. What was consumed since it was last remembered is written before anything else is."""

    def __init__(self, frame: Frame, place: Place, run_id: UUID, point: _Point, number: int) -> None:
        self.frame = frame
        self.place = place
        self.run_id = run_id
        self.point = point
        self._number = number
        self._remembered = point

    def consumed(self, sequence: int) -> None:
        """Hear that the parent's code is through with a partial."""
        slice = self.frame.slice
        self.point = replace(self.point, after=sequence, told=slice.partials, position=self.frame.scope.position)

    def remember(self) -> None:
        """Write down where the stream stands."""
        if self.point == self._remembered or rereads(self.place.path):
            return
        self._number += 1
        self._remembered = self.point
        path = f"{self.place.path}{SEEN}{self._number}"
        record = replace(_record(self.place, self.run_id, self.point), path=path)
        self.frame.slice.store.submit(SaveCheckpoint(lease=self.frame.slice.claimed.lease, checkpoint=record))


def _record(place: Place, run_id: UUID, point: _Point) -> CheckpointRecord:
    return CheckpointRecord(
        path=place.path,
        kind=CheckpointKind.STREAM,
        position=place.position,
        fingerprint=run_id.hex,
        value=point.as_text(),
    )


def stream(frame: Frame, key: str, run_id: UUID, after: int) -> Act[None]:
    """Emit what the child has yielded, then suspend until it yields more; end when it has ended.

    A later slice goes on behind the last partial that the parent's code was through with, and passes over the primitives
    that it had used up to then. Inside a nested call or a branch, which are run again as a whole, all is emitted again.
    """
    cursor = _opened(frame, key, run_id, after)
    if cursor.point.ended:
        return
    slice, path = frame.slice, cursor.place.path
    frame.cursors.append(cursor)
    try:
        partials = slice.streamed(path, run_id, after)
        for sequence, text in partials:
            yield Emit(codec.decode(text))
            cursor.consumed(sequence)
        child = slice.child(run_id)
        is_whole = rereads(path) or slice.is_inline or len(partials) < PARTIALS_AT_ONCE
        if is_whole and (child is None or child.status in FINISHED):
            cursor.consumed(cursor.point.after)
            cursor.point = replace(cursor.point, ended=True)
            cursor.remember()
            return
        _suspend(frame, cursor, None)
    finally:
        frame.cursors.remove(cursor)


def _opened(frame: Frame, key: str, run_id: UUID, after: int) -> Cursor:
    place = frame.begin("stream", key, run_id.hex)
    try:
        decision = frame.decide(place, CheckpointKind.STREAM)
        begun = _Point(after=after, told=frame.slice.partials, position=frame.scope.position)
        if not isinstance(decision, Replayed):
            cursor = Cursor(frame, place, run_id, begun, 0)
            if not frame.slice.is_inline:
                # Only the next slice's history tells of this stream.
                _suspend(frame, cursor, _record(place, run_id, begun), is_held=True)
            return cursor
        seen = frame.scope.replay.along(place.path, SEEN)
        point = _Point(**json.loads(codec.opened(seen[-1].value))) if seen else begun
        if rereads(place.path):
            return Cursor(frame, place, run_id, replace(begun, ended=False), len(seen))
        if seen:
            frame.scope.skip_to(point.position)
            frame.slice.partials = point.told
        return Cursor(frame, place, run_id, point, len(seen))
    finally:
        frame.end()


def _suspend(frame: Frame, cursor: Cursor, opening: CheckpointRecord | None, *, is_held: bool = False) -> None:
    path = cursor.place.path
    if not is_held:
        frame.check(path)
        frame.scope.hold(path)
    try:
        cursor.remember()
        awaited = Awaited(children=(cursor.run_id,), after=cursor.point.after)
        frame.slice.suspend(frame.strand, Pending(path=path, wake_at=None, awaited=awaited, checkpoint=opening))
    finally:
        if not is_held:
            frame.end()


class ChildStream(Iterator[Any]):
    """What a child yields, one partial at a time."""

    __slots__ = ("_flow",)

    def __init__(self, frame: Frame, act: Act[None]) -> None:
        self._flow = drive.flow(frame.slice, act)

    def __next__(self) -> Any:
        return next(self._flow)

    def close(self) -> None:
        """Leave the stream where it stands."""
        self._flow.close()


class AsyncChildStream(AsyncIterator[Any]):
    """See ChildStream."""

    __slots__ = ("_flow",)

    def __init__(self, frame: Frame, act: Act[None]) -> None:
        self._flow = drive.aflow(frame.slice, act, lambda value: None)

    async def __anext__(self) -> Any:
        return await anext(self._flow)
