"""How to tell those who listen to a database that there may be work."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connections

from .session import Session


def can_notify(using: str) -> bool:
    """Tell whether the database of an alias carries notifications; connects to nothing.

    An alias that is none carries none: the system check tells what is wrong with it.
    """
    return using in connections.settings and connections[using].vendor == "postgresql"


def notify(session: Session, channel: str, words: Iterable[str]) -> None:
    """Notify those who listen to a channel of the database, once for each word (of at most 7,999 bytes).

    A hint need not survive the server, so its commit waits for no disk. That is set for this transaction only, because
    poolers share sessions.
    """
    for word in words:
        session.execute("SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)", (channel, word))
