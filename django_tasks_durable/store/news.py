"""What is told when a transaction is committed, and never without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction


def tell(news: Callable[[], Any], using: str) -> None:
    """Call this after the commit of the transaction that is open, at once if none is. What it raises is logged, not raised."""

    # Django 5.2 logs by the name of a function, which a partial has not.
    def told() -> None:
        news()

    transaction.on_commit(told, using=using, robust=True)
