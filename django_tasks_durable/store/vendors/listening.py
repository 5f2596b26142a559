"""How a database tells that somebody committed: NOTIFY on PostgreSQL, ``PRAGMA data_version`` on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Protocol

from django.db import connections

from .session import Session, private_session

CHANNEL = "dtd_work"
PROBE_SECONDS = 5.0
SQLITE_SECONDS = 0.025


class Hints(Protocol):
    """A source of hints on a connection of its own."""

    def wait(self, stopping: threading.Event) -> Iterator[bool]:
        """Yield True for a hint (or when hints may have been missed), False for a sign of life. Raise when it is lost."""

    def close(self) -> None:
        """Close the connection."""


def hints(using: str) -> Hints | None:
    """Return the hints that the database of an alias can give, or None."""
    match connections[using].vendor:
        case "postgresql":
            return PostgresHints(using)
        case "sqlite":
            return SqliteHints(using)
        case _:
            return None


class PostgresHints:
    """LISTEN on a connection of its own, probed every few seconds."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._session: Session | None = None

    def wait(self, stopping: threading.Event) -> Iterator[bool]:
        """See Hints.wait()."""
        self.close()
        self._session = private_session(self.using)
        self._session.execute(f"LISTEN {CHANNEL}")
        yield True  # listening first, then looking: nothing falls in between
        raw: Any = self._session.connection.connection
        while not stopping.is_set():
            heard = False
            for _ in raw.notifies(timeout=PROBE_SECONDS, stop_after=1):
                heard = True
            if not heard:
                self._session.execute("SELECT 1")  # finds a socket that only looks open
            yield heard

    def close(self) -> None:
        """See Hints.close()."""
        if self._session is not None:
            self._session.close()
            self._session = None


class SqliteHints:
    """Ask SQLite whether another connection has committed; a probe costs microseconds and touches no table."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._session: Session | None = None

    def wait(self, stopping: threading.Event) -> Iterator[bool]:
        """See Hints.wait()."""
        self.close()
        self._session = private_session(self.using)
        before = None
        while not stopping.wait(SQLITE_SECONDS):
            version = self._session.execute("PRAGMA data_version")[0][0]
            yield version != before
            before = version

    def close(self) -> None:
        """See Hints.close()."""
        if self._session is not None:
            self._session.close()
            self._session = None
