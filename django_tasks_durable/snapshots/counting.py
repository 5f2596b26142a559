"""How many there are, without looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass

COUNT_LIMIT = 10_000


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many there are, counted up to a limit."""

    value: int
    limit: int

    @property
    def is_capped(self) -> bool:
        """Whether there are more than were counted."""
        return self.value >= self.limit

    def __str__(self) -> str:
        return f"{self.value:,}+" if self.is_capped else f"{self.value:,}"
