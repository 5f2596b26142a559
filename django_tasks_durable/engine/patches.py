"""The patch: which way a run goes where its code was changed under it."""

from __future__ import annotations

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import CheckpointKind
from django_tasks_durable.primitives.writes import Append, SaveCheckpoint

from . import records
from .effects import Act, Durable
from .frame import Frame
from .replay import Replayed
from .slice import Slice


def patched(frame: Frame, name: str) -> bool:
    """Tell whether a run takes the new way at this place: unless its history went past it before there was one."""
    frame.check(f"patch:{name}")
    place = frame.scope.beside("patch", name)
    slice = frame.slice
    frame.scope.hold(place.path)
    try:
        if place.path in slice.patches:
            return slice.patches[place.path]
        decision = frame.decide(place, CheckpointKind.PATCH)
        if isinstance(decision, Replayed):
            is_new = bool(codec.decode(decision.text))
        else:
            is_new = not frame.has_been_passed
            _remember(slice, records.patched(slice.claimed.lease, place, is_new))
        slice.patches[place.path] = is_new
        return is_new
    finally:
        frame.end()


def _remember(slice: Slice, write: SaveCheckpoint) -> None:
    """Hand the answer over at once, before all that follows from it; settled() waits for it before the first effect."""
    assert write.line is not None, "a patch is told in the timeline"
    slice.store.submit(SaveCheckpoint(lease=write.lease, checkpoint=write.checkpoint))
    slice.owed.append(Append(lease=write.lease, line=write.line))


def settled(slice: Slice) -> Act[None]:
    """Wait until the way that the code was told to take is durable."""
    while slice.owed:
        yield Durable(slice.owed.pop())
