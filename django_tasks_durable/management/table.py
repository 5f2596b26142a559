"""Runs in the columns of a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.snapshots.text import duration, one_line

HEADINGS = ("ID", "STATE", "TASK", "QUEUE", "ATTEMPT", "PROGRESS", "ENQUEUED", "TOOK")


def row(run: RunSummary) -> tuple[str, ...]:
    """Write what the list says of a run, a cell for each heading."""
    return (
        run.short_id,
        run.state.value,
        one_line(run.task_path),
        one_line(run.queue_name),
        f"{run.attempt}/{run.max_attempts}",
        one_line(progress(run)),
        run.enqueued_at.isoformat(sep=" ", timespec="seconds"),
        duration(run.run_seconds),
    )


def progress(run: RunSummary) -> str:
    """Write how far a run is."""
    percent = "" if run.percent is None else f"{run.percent:.0f} %"
    return f"{percent} {run.progress.label}".strip()


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Give lines whose cells stand below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
