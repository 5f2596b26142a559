"""What fell between an earlier run of measurements and this one, by more than either run's own noise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path
from statistics import median, quantiles, stdev
from typing import Any

Results = Mapping[str, Any]

LEAST = 0.10
"""What is never told from noise: two runs on one quiet machine differ by so much."""
LEAST_OF_ONE = 0.30
"""The same where one sample is all there is."""
OF_A_MEDIAN = 1.25
MANY = 8
MIDDLE_HALF = 1.349
"""How many standard deviations wide the middle half of a normal distribution is."""
FALLS_WITH_QUALITY = ("pickup.", "resume.", "visit.", "rss.", "snapshot.", "start", "idle_statements")
"""Figures that are better when they are smaller."""


class NotComparable(ValueError):
    """The earlier run is none, or one of something else."""


@dataclass(frozen=True, slots=True)
class Fall:
    """A line that is worse than it was: both medians, by which share it is worse, and which share noise explains."""

    key: str
    before: float
    now: float
    worse: float
    noise: float

    def __str__(self) -> str:
        return (
            f"{self.key}: {self.before:.4g} before, {self.now:.4g} now, {self.worse:.0%} worse (noise {self.noise:.0%})"
        )


def read(path: Path, *, vendor: str, scale: float) -> Results:
    """Read what an earlier run wrote with --json. Raise NotComparable, which says why."""
    try:
        found = json.loads(path.read_text())
        facts = {"database": found["database"]["vendor"], "scale": float(found["machine"]["scale"])}
        found["samples"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotComparable(
            f"{path} is not what benchtasks --json writes ({type(error).__name__}: {error}). Make one with "
            f"`manage.py benchtasks --json > {path}`."
        ) from error
    if facts != (here := {"database": vendor, "scale": scale}):
        raise NotComparable(
            f"{path} was measured with {_said(facts)}, this run with {_said(here)}: the figures cannot be compared. "
            "Measure both the same way."
        )
    return dict(found)


def falls(before: Results, now: Results) -> list[Fall]:
    """Name every line that both runs have and that is worse by more than the noise, the worst first."""
    found = []
    for key, new in now["samples"].items():
        old = before["samples"].get(key)
        if not old or not new or median(old) <= 0 or median(new) <= 0:
            continue
        was, is_now = median(old), median(new)
        worse = is_now / was - 1 if key.startswith(FALLS_WITH_QUALITY) else 1 - is_now / was
        if worse > (noise := noise_of(old, new)):
            found.append(Fall(key, was, is_now, worse, noise))
    return sorted(found, key=lambda fall: -fall.worse)


def noise_of(old: Sequence[float], new: Sequence[float]) -> float:
    """Tell which share of a difference of the medians noise explains: twice its standard error, and some at the least."""
    if min(len(old), len(new)) < 2:
        return LEAST_OF_ONE
    errors = [OF_A_MEDIAN * _spread(samples) / sqrt(len(samples)) / median(samples) for samples in (old, new)]
    return max(LEAST, 2 * hypot(*errors) * median(new) / median(old))


def _spread(samples: Sequence[float]) -> float:
    """Estimate the standard deviation; of many samples by their middle half, which one that was disturbed leaves alone."""
    if len(samples) < MANY:
        return stdev(samples)
    lower, _, upper = quantiles(samples, n=4, method="inclusive")
    return (upper - lower) / MIDDLE_HALF


def _said(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
