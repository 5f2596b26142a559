"""What was handed over and not waited for: it is durable before anything is begun that cannot be done again."""

from __future__ import annotations

from django_tasks_durable.primitives.writes import Append, SaveCheckpoint, SetProgress

from .effects import Act, Durable
from .frame import Frame

# So many may be on their way at once, then one is waited for: a body is quicker than any database.
MOST_OWED = 1000


def hand_over(frame: Frame, write: SaveCheckpoint) -> None:
    """Hand a fact over in the order of the run, and go on before it is durable; see settle()."""
    owing = frame.slice.owing
    owing[frame.strand] = owing.get(frame.strand, 0) + 1
    frame.slice.store.submit(write)


def kept(frame: Frame, write: SaveCheckpoint | Append, *, waits: bool) -> Act[None]:
    """Hand a fact over and wait until it is durable, or go on at once unless it ``waits`` or too many are on their way."""
    owing = frame.slice.owing
    if waits or isinstance(write, Append) or owing.get(frame.strand, 0) >= MOST_OWED:
        yield Durable(write)
        owing.pop(frame.strand, None)
    else:
        hand_over(frame, write)


def settle(frame: Frame) -> Act[None]:
    """Wait until all is durable that this branch of the run has handed over: a commit of nothing comes after it."""
    owing = frame.slice.owing
    if frame.strand in owing:
        yield Durable(SetProgress(lease=frame.slice.claimed.lease))
        owing.pop(frame.strand, None)
