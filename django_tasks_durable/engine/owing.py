"""What was handed over and not waited for: it is durable before anything is begun that cannot be done again."""

from __future__ import annotations

from django_tasks_durable.primitives.writes import Append, SaveCheckpoint, SetProgress

from .effects import Act, Durable
from .frame import Frame


def hand_over(frame: Frame, write: SaveCheckpoint | Append) -> None:
    """Hand a fact over in the order of the run, and go on before it is durable; see settled()."""
    frame.slice.store.submit(write)
    frame.slice.owing.add(frame.strand)


def settled(frame: Frame) -> Act[None]:
    """Wait until all is durable that this branch of the run has handed over: a commit of nothing comes after it."""
    if frame.strand in frame.slice.owing:
        frame.slice.owing.discard(frame.strand)
        yield Durable(SetProgress(lease=frame.slice.claimed.lease))
