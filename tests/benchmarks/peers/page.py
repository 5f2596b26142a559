"""The table of a run, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """# Beside its peers

Made by `python -m tests.benchmarks.peers --write docs/explanation/peers.md`: every system in one run, on one machine and one
PostgreSQL (fsync and synchronous_commit on), each in an environment of its own, tasks that do nothing, from its own words and
defaults but for what the third table says. Absolute figures move with the machine: compare within the table.
"""
NOT_COMPARABLE = """## What cannot be compared

- **What an end leaves behind.** We keep each run with its timeline, every write fenced by the attempt's lease. pgqueuer deletes
  the job and logs a line beside, Huey deletes it when it is claimed, Celery without results keeps nothing: they write less, and a
  worker that was thought dead may still write.
- **Durability.** PostgreSQL and Huey's SQLite sync each commit. Redis syncs its file every second, so that Celery's figures are
  those of a broker that may lose the last second.
- **Transactions.** Enqueueing on Celery or on Huey is no part of the caller's transaction, whatever it costs.
- **Steps.** Only DBOS and Absurd remember steps as we do; for all others those columns are empty.
- **Resume.** Ours is the time from the call that resumes to the line behind the last finished step, pick-up and reading included.
  DBOS's and Absurd's begin in the first line of the body; Absurd has read its checkpoints before that, so its figure is too good.
- **Looking.** Who only polls was given 50 ms, which is friendlier than each one's default; half of that is in the pick-up.
- **Growth.** The rows of others were put in first, by SQL. Who deletes what ended has no column of finished rows; it was not
  measured for DBOS, Absurd, django-absurd, Huey and Celery.
"""
COLUMNS = (
    ("enqueue /s", "enqueue"),
    ("bulk rows/s", "bulk"),
    ("drain /s, 1 worker", "drain1"),
    ("2 workers", "drain2"),
    ("pick-up p50 / p99 ms", "pickup"),
    ("steps/s, 1 x 1,000", "sequential"),
    ("200 x 10", "concurrent"),
    ("resume of 1,000 / 10,000 steps, ms", "resume"),
    ("drain with 1M finished, of empty", "finished_1m"),
    ("with 100k due tomorrow", "future_100k"),
)
SHARES = {"finished_1m", "future_100k"}
TIMES = {"pickup", "resume"}

NEXT = "Next: [performance](performance.md), [beyond one machine](scale.md).\n"
Figures = Mapping[str, Any]


def page(machine: str, ours: Figures, peers: Mapping[str, Figures], notes: Mapping[str, str]) -> str:
    """Render the page from the figures of this project and of each peer, with a note for each."""
    return "\n".join(
        [
            HEAD,
            machine,
            "",
            *table({"**django-tasks-durable**": ours, **peers}),
            "",
            "How many times a peer's figure ours is (below 1: the peer is quicker):",
            "",
            *ratios(ours, peers),
            "",
            "| | measured with |",
            "|---|---|",
            *(f"| {name} | {note} |" for name, note in notes.items()),
            "",
            NOT_COMPARABLE,
            NEXT,
        ]
    )


def table(rows: Mapping[str, Figures]) -> Iterator[str]:
    """Render one row for each system."""
    yield "| | " + " | ".join(title for title, _key in COLUMNS) + " |"
    yield "|---|" + "---|" * len(COLUMNS)
    for name, figures in rows.items():
        cells = flat(figures)
        yield f"| {name} | " + " | ".join(_cell(cells, key) for _title, key in COLUMNS) + " |"


def ratios(ours: Figures, peers: Mapping[str, Figures]) -> Iterator[str]:
    """Render ours divided by theirs; for milliseconds, theirs divided by ours."""
    yield "| | " + " | ".join(title for title, _key in COLUMNS) + " |"
    yield "|---|" + "---|" * len(COLUMNS)
    mine = flat(ours)
    for name, figures in peers.items():
        theirs = flat(figures)
        shown = []
        for _title, key in COLUMNS:
            if key not in theirs or key not in mine:
                shown.append("-")
                continue
            ratio = theirs[key] / mine[key] if key in TIMES else mine[key] / theirs[key]
            shown.append(f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}")
        yield f"| {name} | " + " | ".join(shown) + " |"


def flat(figures: Figures) -> dict[str, float]:
    """Give each figure that is there by the key of its column."""
    steps, pickup, drain = figures.get("steps_per_s", {}), figures.get("pickup_ms", {}), figures.get("drain_per_s", {})
    resume, growth = figures.get("resume_ms", {}), figures.get("growth", {})
    found = {
        "enqueue": figures.get("enqueue_per_s"),
        "bulk": figures.get("enqueue_many_per_s"),
        "drain1": drain.get("1"),
        "drain2": drain.get("2"),
        "pickup": pickup.get("p50"),
        "pickup99": pickup.get("p99"),
        "sequential": steps.get("sequential"),
        "concurrent": steps.get("concurrent"),
        "resume": resume.get("1000"),
        "resume10000": resume.get("10000"),
        "finished_1m": growth.get("finished_1m"),
        "future_100k": growth.get("future_100k"),
    }
    return {key: float(value) for key, value in found.items() if value is not None}


def _cell(cells: Mapping[str, float], key: str) -> str:
    if key not in cells:
        return "-"
    if key in SHARES:
        return f"{cells[key]:.2f}"
    if key == "pickup":
        return f"{cells['pickup']:.1f} / {cells['pickup99']:.1f}"
    if key == "resume":
        return f"{cells['resume']:,.0f} / {cells['resume10000']:,.0f}"
    return f"{cells[key]:,.0f}" if cells[key] >= 100 else f"{cells[key]:.1f}"
