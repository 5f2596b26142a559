"""How figures grow with a size, as points for machines and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from .measuring import Measuring, rounded, shown

# What each is a curve of, its unit, and what its size counts.
CURVES: Mapping[str, tuple[str, str, str]] = {
    "finished": ("drain", "/s", "finished runs in the table"),
    "future": ("drain", "/s", "runs that are due tomorrow"),
    "blocked": ("drain", "/s", "runs in front that a busy key blocks"),
    "parked": ("drain", "/s", "runs that wait"),
    "free_claim": ("claim, p95", "ms", "claimed runs"),
    "snapshot_claim": ("claim, p95", "ms", "claimed runs, while a snapshot is held"),
    "long_run": ("steps of one run", "/s", "steps that the run has taken"),
    "resume": ("resume", "ms", "finished steps"),
    "visits": ("resume of a class", "ms", "visits"),
}


def of(measuring: Measuring) -> dict[str, Any]:
    """Give each curve that was measured: its points in the order of size, each with its ratio to the first."""
    found = {}
    for name, (figure, unit, size) in CURVES.items():
        points = [(count, median(values)) for count, values in sorted(measuring.curves[name].items())]
        if points:
            first = points[0][1]
            told = [
                {"size": count, "figure": rounded(value), "ratio": rounded(value / first) if first else None}
                for count, value in points
            ]
            found[name] = {"figure": figure, "unit": unit, "size": size, "points": told}
    return found


def table(curves: Mapping[str, Any]) -> Iterator[str]:
    """Write each curve as a line for its subject and one for each point."""
    for curve in curves.values():
        yield ""
        yield f"{curve['figure']}, by {curve['size']}:"
        for point in curve["points"]:
            ratio = "" if point["ratio"] is None else f"{point['ratio']:.2f}"
            yield f"{point['size']:>14,}{shown(point['figure'], curve['unit']):>22}  {ratio:>6}"
