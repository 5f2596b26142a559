"""How long to wait before the next try."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

# Past this many tries a delay has long reached its longest; a larger exponent would only overflow.
LARGEST_EXPONENT = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow: ``first * factor ** (n - 1)`` seconds after the n-th failure, at most ``longest``.

    ``jitter`` moves each delay up or down by at most that share of it, never below ``first``, so that what failed together does
    not come back together.
    """

    first: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("first", 0.0), ("factor", 1.0), ("longest", 0.0), ("jitter", 0.0)):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
                or value < least
            ):
                raise ValueError(f"Backoff({name}={value!r}): give a number from {least:g}.")
        if self.jitter > 1:
            raise ValueError(f"Backoff(jitter={self.jitter!r}): give a share from 0 to 1.")

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the failure of this attempt, counted from 1."""
        exponent = min(max(attempt, 1) - 1, LARGEST_EXPONENT)
        try:
            plain = min(self.first * self.factor**exponent, self.longest)
        except OverflowError:
            plain = self.longest
        moved = plain * (1 + self.jitter * random.uniform(-1, 1)) if self.jitter else plain
        return min(max(moved, self.first), self.longest)

    def __call__(self, exception: BaseException, task_result: object) -> float | None:
        """Return the seconds to wait, in the form that Django's framework is to have: None would mean to give up."""
        attempts = getattr(task_result, "attempts", 1)
        return self.delay(attempts if isinstance(attempts, int) else 1)
