"""What the engine must know of the transactions that user code opens on this thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import connections, transaction

from .vendors.opened import opened

T = TypeVar("T")


def depths() -> dict[str, int]:
    """Return how many atomic() blocks are open on this thread, by alias; only aliases that have a connection."""
    return {connection.alias: len(connection.atomic_blocks) for connection in opened()}


def deeper_than(earlier: dict[str, int]) -> bool:
    """Tell whether this thread has opened an atomic() block since then."""
    return any(depth > earlier.get(alias, 0) for alias, depth in depths().items())


def atomically(using: str, function: Callable[[], T]) -> T:
    """Call a function in a transaction of its own."""
    with transaction.atomic(using=using):
        return function()


def leave_thread() -> None:
    """Close what this thread opened, because it ends."""
    connections.close_all()
