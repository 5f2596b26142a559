"""The table of a run, as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """# Beside its peers

Made by `python -m tests.benchmarks.peers`: every system in one run, on one machine and one PostgreSQL (fsync and synchronous_commit
on), each in an environment of its own, no-op tasks, from its own words and defaults but for what the last table says. Absolute
figures move with the machine: compare within the table.
"""
COLUMNS = (
    ("enqueue /s", "enqueue"),
    ("bulk rows/s", "bulk"),
    ("drain /s, 1 worker", "drain1"),
    ("2 workers", "drain2"),
    ("pick-up p50 / p99 ms", "pickup"),
    ("steps/s, 1 x 1,000", "sequential"),
    ("200 x 10", "concurrent"),
    ("resume of 1,000, ms", "resume"),
)
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
        ]
    )


def table(rows: Mapping[str, Figures]) -> Iterator[str]:
    """Render one row for each system."""
    yield "| | " + " | ".join(title for title, _key in COLUMNS) + " |"
    yield "|---|" + "---|" * len(COLUMNS)
    for name, figures in rows.items():
        cells = flat(figures)
        pickup = f"{cells['pickup']:.1f} / {cells['pickup99']:.1f}" if "pickup" in cells else "-"
        shown = [pickup if key == "pickup" else _number(cells.get(key)) for _title, key in COLUMNS]
        yield f"| {name} | " + " | ".join(shown) + " |"


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
            is_time = key in {"pickup", "resume"}
            shown.append(f"{(theirs[key] / mine[key]) if is_time else (mine[key] / theirs[key]):.2g}")
        yield f"| {name} | " + " | ".join(shown) + " |"


def flat(figures: Figures) -> dict[str, float]:
    """Give each figure that is there by the key of its column."""
    steps, pickup, drain = figures.get("steps_per_s", {}), figures.get("pickup_ms", {}), figures.get("drain_per_s", {})
    found = {
        "enqueue": figures.get("enqueue_per_s"),
        "bulk": figures.get("enqueue_many_per_s"),
        "drain1": drain.get("1"),
        "drain2": drain.get("2"),
        "pickup": pickup.get("p50"),
        "pickup99": pickup.get("p99"),
        "sequential": steps.get("sequential"),
        "concurrent": steps.get("concurrent"),
        "resume": figures.get("resume_ms"),
    }
    return {key: float(value) for key, value in found.items() if value is not None}


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
