"""How a run spent its time: what it waited, ran, slept and asked for, one span after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.utils.translation import pgettext_lazy

from django_tasks_durable.models import Step
from django_tasks_durable.primitives.status import StepKind

from .parts import TimelineLine
from .read import line
from .shapes import RunSummary
from .wire import instant

SPAN_LINES = 500
_K = StepKind


class SpanKind(Enum):
    """What a run did for a while."""

    QUEUED = "queued", pgettext_lazy("Span", "Waited for a worker")
    RAN = "ran", pgettext_lazy("Span", "Ran")
    SLEPT = "slept", pgettext_lazy("Span", "Slept")
    ASKED = "asked", pgettext_lazy("Span", "Waited for an answer, a message or a child")

    def __init__(self, slug: str, label: str) -> None:
        self.slug = slug
        self.label = label


# What each line of a timeline says that the run does from then on; None where it has ended.
AFTER: dict[StepKind, SpanKind | None] = {
    _K.CLAIMED: SpanKind.RAN,
    _K.STARTED: SpanKind.RAN,
    _K.SLEEPING: SpanKind.SLEPT,
    _K.RETRIED: SpanKind.SLEPT,
    _K.WAITING: SpanKind.ASKED,
    _K.RELEASED: SpanKind.QUEUED,
    _K.STALE: SpanKind.QUEUED,
    _K.SUCCEEDED: None,
    _K.FAILED: None,
    _K.CANCELLED: None,
}
# These wake a run that waits, and say nothing about one that runs.
WAKING = frozenset({_K.RESUMED, _K.MESSAGE, _K.AUDIT})
# What operators do that lets a run wait for a worker again, as the lines say it.
HURRIES = ("Retried", "Made due now")


@dataclass(frozen=True, kw_only=True)
class Span:
    """One thing that a run did from an instant to another; ``ended`` is the line that ended it, None while it lasts."""

    kind: SpanKind
    begin: datetime
    end: datetime
    attempt: int = 0
    worker: str = ""
    ended: StepKind | None = None

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return max(0.0, (self.end - self.begin).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "kind": self.kind.slug,
            "begin": instant(self.begin),
            "end": instant(self.end),
            "attempt": self.attempt,
            "worker": self.worker,
            "ended": None if self.ended is None else self.ended.value,
        }


def spans(run: RunSummary, *, using: str) -> list[Span]:
    """Read how a run spent its time, as far as its newest lines tell; one query.

    A run that keeps no such lines is told from its columns.
    """
    rows = Step.objects.using(using).filter(run_id=run.id, kind__in=[*AFTER, *WAKING])
    lines = [line(row) for row in reversed(rows.order_by("-sequence")[:SPAN_LINES])]
    if not any(each.kind in (StepKind.CLAIMED, StepKind.STARTED) for each in lines):
        return list(_from_columns(run))
    return list(_from_lines(run, lines))


def totals(found: Sequence[Span]) -> dict[SpanKind, float]:
    """Add up how long a run did each thing, in seconds; what it never did is left out."""
    sums = {kind: sum(span.seconds for span in found if span.kind is kind) for kind in SpanKind}
    return {kind: seconds for kind, seconds in sums.items() if seconds or kind is SpanKind.RAN}


def _from_lines(run: RunSummary, lines: Sequence[TimelineLine]) -> Iterator[Span]:
    # The first of many lines may be any; what was before it is not told.
    is_whole = len(lines) < SPAN_LINES and run.first_sequence == 1
    kind: SpanKind | None = SpanKind.QUEUED if is_whole else None
    begin, attempt, worker = run.enqueued_at, 0, ""
    for each in lines:
        after = _after(each, kind)
        if each.kind is StepKind.CLAIMED:
            worker = each.message
        if after is kind:
            continue
        if kind is not None:
            told = worker if kind is SpanKind.RAN else ""
            yield Span(kind=kind, begin=begin, end=each.created_at, attempt=attempt, worker=told, ended=each.kind)
        kind, begin, attempt = after, each.created_at, each.attempt
    if kind is not None:
        told = worker if kind is SpanKind.RAN else ""
        yield Span(kind=kind, begin=begin, end=run.finished_at or run.read_at, attempt=attempt, worker=told)


def _after(each: TimelineLine, kind: SpanKind | None) -> SpanKind | None:
    if each.kind not in WAKING:
        return AFTER[each.kind]
    if each.kind is StepKind.AUDIT:
        return SpanKind.QUEUED if kind is not SpanKind.RAN and each.message.startswith(HURRIES) else kind
    return SpanKind.QUEUED if kind is SpanKind.ASKED else kind


def _from_columns(run: RunSummary) -> Iterator[Span]:
    end = run.finished_at or run.read_at
    yield Span(kind=SpanKind.QUEUED, begin=run.enqueued_at, end=run.started_at or end)
    if run.started_at is not None:
        yield Span(kind=SpanKind.RAN, begin=run.started_at, end=end, attempt=run.attempt, worker=run.lease_worker)
