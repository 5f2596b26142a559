"""One run of measurements: samples taken in rounds, each beside its yardstick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

from .limits import Limits

ROUNDS = 3


class Measuring:
    """Collects samples by key, and the plans of claims by what stood beside them. ``scale`` shortens or lengthens every scene."""

    def __init__(self, limits: Limits, *, scale: float, say: Callable[[str], None]) -> None:
        self.limits = limits
        self.scale = scale
        self.say = say
        self.rounds = ROUNDS
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.ratios: dict[str, list[float]] = defaultdict(list)
        self.curves: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.plans: dict[str, list[str]] = {}
        self.model: dict[str, Any] = {}

    def size(self, full: int, least: int = 1) -> int:
        """Scale a size."""
        return max(least, int(full * self.scale))

    def note(self, key: str, value: float) -> None:
        """Keep one sample."""
        self.samples[key].append(value)

    def point(self, curve: str, size: int, value: float) -> None:
        """Keep one sample of a figure that may grow with a size."""
        self.curves[curve][size].append(value)

    def beside(self, yardstick: str, key: str, scene: Callable[[], float]) -> None:
        """Take a yardstick and a rate in turns, so that what else the machine does strikes both.

        Each rate is held against the mean of the yardsticks before and after it.
        """
        before = self._limit(yardstick)
        for _ in range(self.rounds):
            rate = scene()
            after = self._limit(yardstick)
            limit = (before + after) / 2
            self.note(key, rate)
            self.ratios[key].append(rate / limit)
            self.say(f"{key}: {rate:,.0f}/s, {rate / limit:.2f} of {yardstick} ({limit:,.0f}/s)")
            before = after

    def _limit(self, yardstick: str) -> float:
        limit = self.limits.measure(yardstick)
        self.note(yardstick, limit)
        return limit

    def figure(self, key: str) -> float | None:
        """Return the median of the samples of a key, None without any."""
        return median(self.samples[key]) if self.samples.get(key) else None

    def ratio(self, key: str) -> float | None:
        """Return the median of the ratios of a key to its yardstick, None without any."""
        return median(self.ratios[key]) if self.ratios.get(key) else None


def rounded(value: float | None) -> float | None:
    """Keep what a figure of this kind can honestly say: four digits."""
    return None if value is None else float(f"{value:.4g}")


def shown(value: float, unit: str) -> str:
    """Write a figure with its unit, for people."""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:,.1f} {unit}"
