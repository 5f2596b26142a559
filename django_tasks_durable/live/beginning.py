"""What somebody is told first: the tasks that are meant as they are, and how far each is told by that."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django_tasks_durable.snapshots import bootstrap as bootstraps
from django_tasks_durable.snapshots.bootstrap import Bootstrap
from django_tasks_durable.snapshots.shapes import RunSnapshot

from .audience import Audience
from .news import Frame, Position, frame
from .wanted import Wanted


@dataclass(frozen=True)
class Beginning:
    """The messages, how far each run is told by them, and the last line of those of which more lines are behind."""

    frames: list[Frame]
    positions: dict[UUID, Position]
    behind: dict[UUID, int]


def begin(wanted: Wanted, audience: Audience, using: str) -> Beginning:
    """Read what somebody begins with."""
    found = bootstraps.bootstrap(
        wanted.query,
        using=using,
        limit=wanted.limit,
        steps=wanted.steps,
        after=wanted.after,
        counts=wanted.aggregate,
        narrow=audience.narrow,
    )
    frames = [
        frame("trimmed_before", task_id=str(run.id), sequence=run.first_sequence)
        for run in found.runs
        if wanted.after.get(run.id, run.first_sequence) < run.first_sequence - 1
    ]
    if missing := sorted(str(each) for each in wanted.ids - {run.id for run in found.runs}):
        message = "There are no such tasks, or none that you may see."
        frames.append(frame("error", code="not_found", message=message, task_ids=missing))
    frames.append(frame("bootstrap", **found.as_dict(show=audience.veil)))
    positions = {run.id: position_after(found, run) for run in found.runs}
    behind = {run.id: run.last_sequence for run in found.runs if positions[run.id].sequence < run.last_sequence}
    return Beginning(frames, positions, behind)


def position_after(found: Bootstrap, run: RunSnapshot) -> Position:
    """Tell how far a run is told by a bootstrap."""
    lines = found.lines.get(run.id)
    return Position(lines[-1].sequence if lines else run.last_sequence, run.version, run.progress.updated_at)
