"""Pieces of markup that the list and the page share. Foreign text goes in as an argument of format_html only."""

from __future__ import annotations

from datetime import datetime

from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.snapshots.text import duration, plain

# Strokes in a box of 16 by 16.
_STROKES = {
    State.QUEUED: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 5v3l2 2",
    State.CLAIMED: "M2 8h7M6 5l3 3-3 3M13 3v10",
    State.RUNNING: "M5 3l8 5-8 5z",
    State.RETRYING: "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
    State.WAITING: "M6 4v8M10 4v8",
    State.SUCCEEDED: "M3 8.5l3.5 3.5L13 5",
    State.FAILED: "M4 4l8 8M12 4l-8 8",
    State.CANCELLED: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M4 4l8 8",
    State.STALE: "M8 2l6.5 12h-13zM8 6.5v3.5M8 12v.01",
}
NOTHING = mark_safe('<span class="dtd-quiet">&ndash;</span>')  # a constant


def icon(state: State) -> SafeString:
    """Draw a state's icon, which a screen reader passes over."""
    return format_html(
        '<svg class="dtd-icon" viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" focusable="false">'
        '<path d="{}"></path></svg>',
        _STROKES[state],
    )


def badge(run: RunSummary) -> SafeString:
    """Draw a run's state: icon, colour and word."""
    label = _("Cancelling") if run.is_cancelling else run.state.label
    return format_html(
        '<span class="dtd-badge" data-state="{}" data-id="{}-state">{}{}</span>',
        run.state.value,
        run.id,
        icon(run.state),
        label,
    )


def progress(run: RunSummary) -> SafeString:
    """Draw how far a run is, in figures too."""
    percent, label = run.percent, plain(run.progress.label)
    if percent is None and not label:
        return format_html('<span class="dtd-progress" data-id="{}-progress">{}</span>', run.id, NOTHING)
    if percent is None:
        return format_html(
            '<span class="dtd-progress" data-id="{}-progress"><span class="dtd-progress-label">{}</span></span>',
            run.id,
            label,
        )
    return format_html(
        '<span class="dtd-progress" data-id="{}-progress"><progress max="100" value="{}" aria-label="{}"></progress>'
        '<span class="dtd-figure">{}&nbsp;%</span><span class="dtd-progress-label">{}</span></span>',
        run.id,
        f"{percent:.1f}",
        _("Progress"),
        f"{percent:.0f}",
        label,
    )


def attempts(run: RunSummary) -> SafeString:
    """Write the number of the attempt and how many there may be."""
    return format_html(
        '<span class="dtd-figure" data-id="{}-attempts">{}/{}</span>', run.id, run.attempt, run.max_attempts
    )


def lasted(run: RunSummary) -> SafeString:
    """Write how long a run took, or has taken so far."""
    text = duration(run.run_seconds)
    return format_html('<span class="dtd-figure" data-id="{}-lasted">{}</span>', run.id, text or NOTHING)


def shortly(run: RunSummary) -> SafeString:
    """Write when a run was enqueued as shortly as can be: the time if it was today, else the date."""
    is_today = timezone.localdate(run.enqueued_at) == timezone.localdate(run.read_at)
    return moment(run.enqueued_at, form="H:i:s" if is_today else "SHORT_DATE_FORMAT")


def moment(at: datetime | None, *, form: str = "DATETIME_FORMAT") -> SafeString:
    """Write an instant in the reader's time zone, exact for machines."""
    if at is None:
        return NOTHING
    there = timezone.localtime(at) if timezone.is_aware(at) else at
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), there.isoformat(sep=" "), format_date(there, form)
    )
