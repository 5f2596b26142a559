"""What a tail knows of the runs that somebody was told of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots.shapes import RunSnapshot


@dataclass(slots=True)
class Known:
    """What the tail knows of a run that somebody was told of."""

    version: int
    sequence: int
    progress_at: datetime | None = None
    core: tuple[Any, ...] = ()
    is_finished: bool = False
    told_at: float = 0.0


def core_of(run: RunSnapshot) -> tuple[Any, ...]:
    """All of a run that can change, but how far it says it is."""
    return (
        RunStatus(run.status),
        run.wake_reason,
        run.last_sequence,
        run.first_sequence,
        run.due_at,
        run.attempts,
        run.error_code,
        run.lease_worker,
        run.cancel_requested_at,
        run.finished_at,
        run.workflow_step,
        run.visit,
        run.state_text,
    )
