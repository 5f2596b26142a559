"""How to tell those who listen to a database that there may be work."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connections

from .listening import CHANNEL
from .session import Session


def can_notify(using: str) -> bool:
    """Tell whether the database of an alias carries notifications; connects to nothing."""
    return connections[using].vendor == "postgresql"


def notify(session: Session, queue_names: Iterable[str]) -> None:
    """Notify the listeners of the database, once for each queue.

    A hint need not survive the server, so its commit waits for no disk. That is set for this transaction only, because
    poolers share sessions.
    """
    for queue_name in queue_names:
        session.execute(
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)", (CHANNEL, queue_name)
        )
