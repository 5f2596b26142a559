"""Pages of a list that may be very long."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

LIMIT = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator that counts up to a limit only, so that a long table costs no more than a short one."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most ``LIMIT``."""
        rows: Any = self.object_list
        return int(rows.order_by()[:LIMIT].count())

    @property
    def is_capped(self) -> bool:
        """Whether there may be more rows than were counted."""
        return self.count >= LIMIT
