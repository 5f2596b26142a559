"""Looks again and again for one client, where there is no event loop and so no hub."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django_tasks_durable.snapshots.bootstrap import bootstrap
from django_tasks_durable.snapshots.parts import TimelineLine
from django_tasks_durable.snapshots.shapes import RunSnapshot

from .audience import Audience
from .beginning import begin
from .news import Frame, Position, RunNews, line_frames
from .wanted import POSITIONS, Wanted


class Looker:
    """Tells one client what is new since the last look, in a few queries for each look."""

    def __init__(self, wanted: Wanted, audience: Audience, using: str) -> None:
        self._wanted = wanted
        self._audience = audience
        self._using = using
        self._positions: dict[UUID, Position] | None = None

    def look(self) -> list[Frame]:
        """Return what is new, in order; the first time, what to begin with."""
        if self._positions is None:
            beginning = begin(self._wanted, self._audience, self._using)
            self._positions = beginning.positions
            return beginning.frames
        found = bootstrap(
            self._wanted.query,
            using=self._using,
            limit=self._wanted.limit,
            steps=self._wanted.steps,
            after={run_id: told.sequence for run_id, told in self._positions.items()},
            counts=False,
            narrow=self._audience.narrow,
        )
        told = [
            each
            for run in reversed(found.runs)
            for each in self._tell(run, [*found.lines.get(run.id, ())], self._positions)
        ]
        for run_id in sorted(self._positions)[:-POSITIONS]:
            del self._positions[run_id]
        return told

    def _tell(self, run: RunSnapshot, lines: list[TimelineLine], positions: dict[UUID, Position]) -> Iterator[Frame]:
        told = positions.get(run.id)
        if told is not None and lines and lines[-1].sequence < run.last_sequence:
            # There are more lines than fit; the snapshot comes behind the last of them.
            for line in lines:
                yield from line_frames(run.id, line, [], self._audience.veil)
            told.sequence = lines[-1].sequence
            return
        yield from RunNews(run, lines, None, bare=False).frames(told, self._audience)
        positions[run.id] = Position(run.last_sequence, run.version, run.progress.updated_at)
