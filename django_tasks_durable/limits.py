"""The words of limits: how many at a time, and how many in a period."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .exceptions import InvalidLimit

MOST = 1_000_000
NO_RATE = "none"
PERIODS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_SHORT = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}
_RATE = re.compile(r"(-?\d+)\s*/\s*(\d*)\s*([A-Za-z]+)")
HOW_TO_RATE = f"Give 'N/period' such as '10/minute' or '5/30 seconds'; periods are {', '.join(PERIODS)}."


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a period, by a bucket of tokens: a quiet period saves up no more than ``count``. ``seconds`` is the period."""

    count: int
    seconds: float

    @classmethod
    def of(cls, value: object, name: str = "rate") -> Rate:
        """Read ``'10/minute'``, ``'5/30s'`` or a Rate. Raise InvalidLimit naming the value and what is right."""
        if isinstance(value, cls):
            return value
        match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise InvalidLimit(name, value, HOW_TO_RATE)
        count, times, word = int(match[1]), int(match[2] or 1), match[3].lower()
        unit = PERIODS.get(_SHORT.get(word, word.removesuffix("s") or word))
        if unit is None:
            raise InvalidLimit(name, value, f"{match[3]!r} is no period. {HOW_TO_RATE}")
        if not 1 <= count <= MOST:
            raise InvalidLimit(name, value, f"The number is from 1 to {MOST:,}. To let nothing run, pause the queue.")
        if not 1 <= times * unit <= 366 * PERIODS["day"]:
            raise InvalidLimit(name, value, "The period is from a second to a year.")
        return cls(count, float(times * unit))

    def __str__(self) -> str:
        for word, unit in reversed(PERIODS.items()):
            if self.seconds % unit == 0:
                times = int(self.seconds // unit)
                return f"{self.count}/{word}" if times == 1 else f"{self.count}/{times} {word}s"
        return f"{self.count}/{timedelta(seconds=self.seconds)}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """The tokens of a slot, as they were at an instant."""

    tokens: float | None
    refilled_at: datetime
    now: datetime

    def filled(self, rate: Rate) -> float:
        """Return how many tokens there are by now."""
        if self.tokens is None:
            return float(rate.count)
        elapsed = max(0.0, (self.now - self.refilled_at).total_seconds())
        return min(float(rate.count), self.tokens + elapsed * rate.count / rate.seconds)

    def wait(self, rate: Rate) -> float:
        """Return the seconds until there is a whole token."""
        return max(0.0, (1.0 - self.filled(rate)) * rate.seconds / rate.count)


def expect_count(name: str, value: object) -> int | None:
    """Return how many may run at a time, None for any number. Raise InvalidLimit naming the value and what is right."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidLimit(name, value, "Give a whole number from 1, or None for no limit.")
    if value == 0:
        raise InvalidLimit(name, value, "Nothing would ever run. To stop a queue, pause it; None is no limit.")
    if not 1 <= value <= MOST:
        raise InvalidLimit(name, value, f"Give a whole number from 1 to {MOST:,}, or None for no limit.")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """What limits a queue: how many of its runs run ``concurrency`` at a time, and its ``rate``. None is no limit."""

    concurrency: int | None = None
    rate: Rate | None = None

    @classmethod
    def of(cls, given: object, name: str = "queue_limits") -> QueueLimits:
        """Read a mapping of the settings. Raise InvalidLimit naming what is wrong in it."""
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise InvalidLimit(name, given, "Give a dict with 'concurrency' and 'rate'.")
        for key in given:
            if key not in ("concurrency", "rate"):
                raise InvalidLimit(f"{name}[{key!r}]", given[key], "There are 'concurrency' and 'rate'.")
        rate = given.get("rate")
        return cls(
            concurrency=expect_count(f"{name}['concurrency']", given.get("concurrency")),
            rate=None if rate is None else Rate.of(rate, f"{name}['rate']"),
        )

    def overruled(self, concurrency: int | None, rate: str | None) -> QueueLimits:
        """Return these limits with what somebody changed at run time: 0 and 'none' are no limit, None and '' change nothing."""
        if concurrency is None and not rate:
            return self
        return QueueLimits(
            concurrency=self.concurrency if concurrency is None else concurrency or None,
            rate=self.rate if not rate else None if rate == NO_RATE else Rate.of(rate),
        )

    def __bool__(self) -> bool:
        return self.concurrency is not None or self.rate is not None


NO_LIMITS = QueueLimits()


def read_queue_limits(given: Any) -> dict[str, QueueLimits]:
    """Read the limits of queues from the settings, by their names. Raise InvalidLimit."""
    if not isinstance(given, Mapping):
        raise InvalidLimit("queue_limits", given, "Give a dict of queues, each with 'concurrency' and 'rate'.")
    return {str(queue): QueueLimits.of(limits, f"queue_limits[{queue!r}]") for queue, limits in given.items()}
