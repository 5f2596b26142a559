"""What the timeline of a run tells: all, or nothing that went well."""

from __future__ import annotations

from django_tasks_durable.authoring.options import keeps_every_line
from django_tasks_durable.primitives.status import Level, StepKind
from django_tasks_durable.primitives.writes import ClaimedRun, Line

_EVERYDAY = frozenset(
    {
        StepKind.CLAIMED,
        StepKind.STARTED,
        StepKind.STEP,
        StepKind.TRANSITION,
        StepKind.WAITING,
        StepKind.SLEEPING,
        StepKind.SUCCEEDED,
    }
)
_UNEVENTFUL = frozenset({Level.DEBUG, Level.INFO, Level.SUCCESS})


def tells_all(claimed: ClaimedRun) -> bool:
    """Tell whether a run's timeline is to tell what goes well, too: unless its task says otherwise, and after any failure."""
    return keeps_every_line(claimed.options) or bool(claimed.attempts or claimed.crashes)


def is_told(line: Line, claimed: ClaimedRun) -> bool:
    """Tell whether a line that the library itself makes belongs into a run's timeline."""
    return tells_all(claimed) or line.kind not in _EVERYDAY or line.level not in _UNEVENTFUL
