"""Runs and queues in the columns of a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django_tasks_durable.snapshots.house import Overview
from django_tasks_durable.snapshots.queues import QueueSnapshot
from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.snapshots.text import duration, one_line

BAR_WIDTH = 20
QUEUE_HEADINGS = ("QUEUE", "DUE", "LATER", "HELD", "WAITING", "OLDEST DUE", "WORKERS")
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


def bar(percent: float | None) -> str:
    """Draw how far something is; an empty frame when it has not said."""
    filled = round(BAR_WIDTH * max(0.0, min(100.0, percent or 0.0)) / 100)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"


def counts_line(overview: Overview) -> str:
    """Write how many runs are in each state."""
    return ", ".join(f"{state.value} {count}" for state, count in overview.counts.items())


def queue_lines(queues: Sequence[QueueSnapshot]) -> list[str]:
    """Write what is open, a line for each queue below a heading; nothing where there is none."""
    rows = [
        (
            one_line(queue.queue_name), str(queue.due), str(queue.later), str(queue.held), str(queue.waiting),
            duration(queue.oldest_due_seconds) if queue.oldest_due_seconds is not None else "-", str(queue.workers_alive),
        )
        for queue in queues
    ]  # fmt: skip
    return list(aligned([QUEUE_HEADINGS, *rows])) if rows else []
