"""Throughput, latency and failures over time, from what maintenance has counted. It lags by up to a minute.

The counts know tasks and queues, but no single run: show them to those who may see all runs.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db.models import Count as CountOf
from django.db.models import F, Sum

from django_tasks_durable.models import Rollup, RollupCursor
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.spans import Grain, add_up, quantile

from .instants import now
from .wire import WIRE_VERSION, instant

COUNTS = ("started", "succeeded", "failed", "cancelled", "retried", "stale")
NAMED = 20
RATE_MINUTES = 5


class Window(Enum):
    """How far back a chart reaches, and the grain of its points."""

    HOUR = "1h", Grain.MINUTE, 60
    DAY = "24h", Grain.HOUR, 24
    WEEK = "7d", Grain.HOUR, 7 * 24

    def __init__(self, slug: str, grain: Grain, size: int) -> None:
        self.slug = slug
        self.grain = grain
        self.size = size

    @classmethod
    def named(cls, slug: str) -> Window:
        """Return the window with this name. Raise ValueError naming those there are."""
        for window in cls:
            if window.slug == slug:
                return window
        raise ValueError(f"There is no window {slug!r}: choose {', '.join(window.slug for window in cls)}.")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One minute or hour. Waits are from due to first started, durations from first started to ended, in seconds.

    The quantiles are estimates, and None where nothing was started or ended.
    """

    at: datetime
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    stale: int = 0
    wait_p50: float | None = None
    wait_p95: float | None = None
    duration_p50: float | None = None
    duration_p95: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return asdict(self) | {"at": instant(self.at)}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A window of points without gaps, the oldest first and the last one still growing, and all of them in one."""

    window: Window
    points: Sequence[Point]
    total: Point
    failures_by_task: Mapping[str, int]
    failures_by_exception: Mapping[str, int]

    @property
    def per_minute(self) -> float:
        """How many runs ended in a minute, on average over the window."""
        ended = self.total.succeeded + self.total.failed + self.total.cancelled
        return ended * 60 / (self.window.size * self.window.grain)

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "v": WIRE_VERSION,
            "window": self.window.slug,
            "grain_seconds": self.window.grain.value,
            "points": [point.as_dict() for point in self.points],
            "total": self.total.as_dict(),
            "failures_by_task": dict(self.failures_by_task),
            "failures_by_exception": dict(self.failures_by_exception),
        }


def chart(window: Window, *, using: str, task_path: str = "", queue_name: str = "") -> Chart:
    """Read what happened in a window up to now, of all runs, or of those of one task or queue. Takes two queries."""
    first = _begin(_read_at(using), window.grain) - timedelta(seconds=window.grain * (window.size - 1))
    sums: dict[datetime, _Sum] = defaultdict(_Sum)
    tasks, exceptions = Counter[str](), Counter[str]()
    for begins_at, path, failures_text, waits, durations, *counts in _rows(window, first, using, task_path, queue_name):
        sums[begins_at].add(counts, _histogram(waits), _histogram(durations))
        failed = counts[COUNTS.index("failed")]
        if failed:
            tasks[path] += failed
            exceptions.update(json.loads(failures_text))
    total = _Sum()
    for each in sums.values():
        total.add(each.counts, each.waits, each.durations)
    begins = [first + timedelta(seconds=window.grain * number) for number in range(window.size)]
    return Chart(
        window=window,
        points=[sums[begins_at].point(begins_at) for begins_at in begins],
        total=total.point(first),
        failures_by_task=_most(tasks),
        failures_by_exception=_most(exceptions),
    )


def failures(window: Window, *, using: str) -> tuple[dict[str, int], dict[str, int]]:
    """Read which tasks failed how often in a window up to now, and with which exceptions. Takes three queries."""
    first = _begin(_read_at(using), window.grain) - timedelta(seconds=window.grain * (window.size - 1))
    rows = Rollup.objects.using(using).filter(grain=window.grain, begins_at__gte=first, failed__gt=0).order_by()
    tasks = Counter(dict(rows.values_list("task_path").annotate(number=Sum("failed"))))
    exceptions = Counter[str]()
    # Most minutes fail alike.
    for text, times in rows.values_list("failures").annotate(number=CountOf("pk")):
        for name, number in json.loads(text).items():
            exceptions[name] += number * times
    return _most(tasks), _most(exceptions)


def rates(*, using: str, minutes: int = RATE_MINUTES) -> dict[str, float]:
    """Read how many runs of each queue ended in a minute, on average over the last few. Takes two queries."""
    since = _begin(_read_at(using), Grain.MINUTE) - timedelta(minutes=minutes)
    rows = Rollup.objects.using(using).filter(grain=Grain.MINUTE, begins_at__gte=since).order_by()
    ended = Sum(F("succeeded") + F("failed") + F("cancelled"))
    return {name: number / minutes for name, number in rows.values_list("queue_name").annotate(number=ended)}


def _read_at(using: str) -> datetime:
    cursors = RollupCursor.objects.using(using).annotate(read_at=now()).values_list("read_at", flat=True)
    # Where nobody ever counted, a chart is empty whatever the time.
    read_at: datetime = cursors.first() or clock.host_now()
    return read_at


def _rows(window: Window, first: datetime, using: str, task_path: str, queue_name: str) -> Iterable[tuple[Any, ...]]:
    rows = Rollup.objects.using(using).filter(grain=window.grain, begins_at__gte=first).order_by("begins_at", "id")
    if task_path:
        rows = rows.filter(task_path=task_path)
    if queue_name:
        rows = rows.filter(queue_name=queue_name)
    # An hour of fifty tasks is three thousand rows: as tuples, since a model's instance costs more than the query.
    return rows.values_list("begins_at", "task_path", "failures", "waits", "durations", *COUNTS)


def _begin(moment: datetime, grain: Grain) -> datetime:
    whole = moment.replace(second=0, microsecond=0)
    return whole if grain is Grain.MINUTE else whole.replace(minute=0)


@dataclass
class _Sum:
    """What some rows come to."""

    counts: list[int] = field(default_factory=lambda: [0] * len(COUNTS))
    waits: dict[int, int] = field(default_factory=dict)
    durations: dict[int, int] = field(default_factory=dict)

    def add(self, counts: Sequence[int], waits: Mapping[int, int], durations: Mapping[int, int]) -> None:
        """Add a row, or another sum."""
        self.counts = [mine + more for mine, more in zip(self.counts, counts, strict=True)]
        add_up(self.waits, waits)
        add_up(self.durations, durations)

    def point(self, at: datetime) -> Point:
        """Return the sum as a point."""
        return Point(
            at=at,
            **dict(zip(COUNTS, self.counts, strict=True)),
            wait_p50=quantile(self.waits, 0.5),
            wait_p95=quantile(self.waits, 0.95),
            duration_p50=quantile(self.durations, 0.5),
            duration_p95=quantile(self.durations, 0.95),
        )


def _histogram(text: str) -> dict[int, int]:
    return {int(bucket): number for bucket, number in json.loads(text).items()}


def _most(numbers: Counter[str]) -> dict[str, int]:
    return {name: number for name, number in numbers.most_common(NAMED) if number}
