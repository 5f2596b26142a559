"""Following a run from outside: how often to look, and the partial results that are new."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.status import State, StepKind

SHORTEST_LOOK_SECONDS = 0.02
LONGEST_LOOK_SECONDS = 1.0
PARTIALS_AT_ONCE = 500


class Streamed(NamedTuple):
    """One partial result of a run, and the number of its line in the timeline."""

    sequence: int
    partial: Any


def partials(run_id: UUID, after: int, *, using: str) -> list[Streamed]:
    """Read the next partial results behind a line of a run's timeline, 500 at most."""
    from django_tasks_durable.snapshots import read  # imports models, see backend.py

    lines = read.timeline(run_id, after=after, kind=StepKind.PARTIAL, limit=PARTIALS_AT_ONCE, using=using)
    return [Streamed(line.sequence, codec.decode(line.data_text)) for line in lines]


class Looking:
    """How long to wait between two looks at a run: short at first, then longer, never past the end of patience."""

    def __init__(self, result_id: str, timeout: float | None) -> None:
        self.result_id = result_id
        self.timeout = timeout
        self.started = clock.monotonic()
        self.seconds = SHORTEST_LOOK_SECONDS

    def pause(self, state: State) -> float:
        """Return the seconds to the next look at a run in this state. Raise TimeoutError when none is left."""
        seconds, self.seconds = self.seconds, min(self.seconds * 1.5, LONGEST_LOOK_SECONDS)
        if self.timeout is None:
            return seconds
        left = self.timeout - (clock.monotonic() - self.started)
        if left <= 0:
            raise TimeoutError(f"Run {self.result_id} has not ended after {self.timeout:g} s.{_standing(state)}")
        return min(seconds, left)


def _standing(state: State) -> str:
    if state is State.QUEUED:
        return " It is still queued: is a worker running (manage.py runtasks) that serves its queue?"
    return f" It is {state}."
