"""The patch: which way a run goes where its code was changed under it."""

from __future__ import annotations

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import CheckpointKind

from . import records
from .frame import Frame
from .owing import hand_over
from .replay import Replayed


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
            hand_over(frame, records.patched(slice.claimed.lease, place, is_new))
        slice.patches[place.path] = is_new
        return is_new
    finally:
        frame.end()
