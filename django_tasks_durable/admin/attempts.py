"""The attempts of a run, each with what it took and how it ended, for the page of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from django_tasks_durable.snapshots.parts import ErrorSnapshot
from django_tasks_durable.snapshots.spans import Span, SpanKind
from django_tasks_durable.snapshots.text import duration, plain

from . import look


@dataclass(frozen=True, kw_only=True)
class ErrorView:
    """How one attempt failed."""

    class_path: str
    message: str
    traceback: str
    code: str


@dataclass(frozen=True, kw_only=True)
class SliceView:
    """One stretch that a worker was at the run: an attempt that waits has several."""

    at: SafeString
    took: str
    worker: str
    ended: str


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One attempt. ``number`` is None for errors of which nobody wrote down the attempt."""

    id: str
    number: int | None
    slices: Sequence[SliceView]
    left_out: int
    took: str
    errors: Sequence[ErrorView]


MOST_SLICES = 20


def attempts_of(found: Sequence[Span], errors: Sequence[ErrorSnapshot]) -> list[AttemptView]:
    """Put together what the spans and the errors of a run say of each attempt, the newest first."""
    ran = [span for span in found if span.kind is SpanKind.RAN]
    known = {span.attempt for span in ran} | {error.attempt for error in errors if error.attempt is not None}
    numbers: list[int | None] = [*sorted(known, reverse=True)]
    if any(error.attempt is None for error in errors):
        numbers.append(None)
    return [
        _attempt(
            number,
            [span for span in ran if span.attempt == number],
            [error for error in reversed(errors) if error.attempt == number],
        )
        for number in numbers
    ]


def _attempt(number: int | None, spans: Sequence[Span], errors: Sequence[ErrorSnapshot]) -> AttemptView:
    return AttemptView(
        id=str(number or "unknown"),
        number=number,
        slices=[_slice(span) for span in spans[-MOST_SLICES:]],
        left_out=max(0, len(spans) - MOST_SLICES),
        took=duration(sum(span.seconds for span in spans)) if spans else "",
        errors=[_error(error) for error in errors],
    )


def _slice(span: Span) -> SliceView:
    return SliceView(
        at=look.moment(span.begin, form="H:i:s"),
        took=duration(span.seconds),
        worker=plain(span.worker),
        ended="" if span.ended is None else str(span.ended.label),
    )


def _error(error: ErrorSnapshot) -> ErrorView:
    return ErrorView(
        class_path=plain(error.exception_class_path),
        message=plain(error.message),
        traceback=plain(error.traceback),
        code=plain(error.code),
    )
