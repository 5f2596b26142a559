"""The lines of a timeline, ready for the page of a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.snapshots.parts import CheckpointSnapshot, TimelineLine
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.text import compact, duration, plain

from . import look

LONGEST_IN_LINE = 400
BY_OPERATORS = frozenset({StepKind.AUDIT, StepKind.RESUMED, StepKind.CANCELLED, StepKind.CANCEL_REQUESTED})


@dataclass(frozen=True, kw_only=True)
class LineView:
    """One line of the timeline."""

    line: TimelineLine
    at: SafeString
    since: str
    path: str
    message: str
    took: str
    by: str
    value: str


def line_views(
    lines: Iterable[TimelineLine], checkpoints: Iterable[CheckpointSnapshot], veil: Veil
) -> Iterator[LineView]:
    """Give the lines as the page shows them, in their order."""
    seconds = {checkpoint.path: checkpoint.seconds for checkpoint in checkpoints}
    previous: datetime | None = None
    for line in lines:
        facts = line.value
        # A workflow's own audit lines hold values of its author's; those of acts and commands say who acted.
        is_act = line.kind in BY_OPERATORS and isinstance(facts, dict) and "act" in facts
        is_command = line.kind is StepKind.AUDIT and isinstance(facts, dict) and "command" in facts
        by = str(facts.get("by", "")) if is_act or is_command else ""
        value = None if is_act else facts
        yield LineView(
            line=line,
            at=look.moment(line.created_at, form="H:i:s"),
            since=duration(max(0.0, (line.created_at - previous).total_seconds())) if previous else "",
            path=plain(line.path),
            message=plain(line.remark),
            took=duration(seconds.get(line.path)) if line.kind is StepKind.STEP else "",
            by=plain(by),
            value="" if value is None else compact(veil(value), longest=LONGEST_IN_LINE),
        )
        previous = line.created_at
