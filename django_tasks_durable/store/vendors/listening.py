"""How a database tells that somebody committed: NOTIFY on PostgreSQL, ``PRAGMA data_version`` on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Protocol

from django.db import connections

from .postgresql import reaches_server
from .session import Session, private_session

WORK = "dtd_work"
RUNS = "dtd_runs"
PROBE_SECONDS = 5.0
ECHO_SECONDS = 2.0
SQLITE_SECONDS = 0.025
# What may have changed is not told, or hints may have been missed.
ANYTHING = ("",)


class Hints(Protocol):
    """A source of hints on a connection of its own. ``mode`` is its name."""

    mode: str

    def wait(self, stopping: threading.Event) -> Iterator[tuple[str, ...]]:
        """Yield the words of hints, ANYTHING where there are none, and nothing () for a sign of life. Raise when it is lost."""

    def cut(self) -> None:
        """Shut the connection down under a statement that hangs, from another thread."""

    def close(self) -> None:
        """Close the connection."""


def hints(using: str, channel: str = WORK) -> Hints | None:
    """Return the hints that the database of an alias can give, or None. A channel is one kind of news."""
    match connections[using].vendor:
        case "postgresql":
            return PostgresHints(using, channel)
        case "sqlite":
            return SqliteHints(using)
        case _:
            return None


class PostgresHints:
    """LISTEN on a connection of its own, probed every few seconds."""

    mode = "listen"

    def __init__(self, using: str, channel: str = WORK) -> None:
        self.using = using
        self.channel = channel
        self._session: Session | None = None

    def wait(self, stopping: threading.Event) -> Iterator[tuple[str, ...]]:
        """See Hints.wait()."""
        self.close()
        self._session = private_session(self.using)
        self._session.execute(f"LISTEN {self.channel}")
        self._expect_to_hear(self._session)
        yield ANYTHING  # listening first, then looking: nothing falls in between
        raw: Any = self._session.connection.connection
        while not stopping.is_set():
            heard = tuple(note.payload for note in raw.notifies(timeout=PROBE_SECONDS, stop_after=1))
            if not heard:
                self._session.execute("SELECT 1")  # finds a socket that only looks open
            yield heard

    def _expect_to_hear(self, session: Session) -> None:
        """Behind a pooler, send a hint by another connection and wait for it: in transaction mode nothing would ever come."""
        raw: Any = session.connection.connection
        if reaches_server(raw):
            return
        other = private_session(self.using)
        try:
            other.execute(f"NOTIFY {self.channel}")
        finally:
            other.close()
        if not list(raw.notifies(timeout=ECHO_SECONDS, stop_after=1)):
            raise ConnectionError("a pooler in between swallows what the server tells")

    def cut(self) -> None:
        """See Hints.cut()."""
        if (session := self._session) is not None:
            session.cut()

    def close(self) -> None:
        """See Hints.close()."""
        if self._session is not None:
            self._session.close()
            self._session = None


class SqliteHints:
    """Ask SQLite whether another connection has committed; a probe costs microseconds and touches no table."""

    mode = "watch"

    def __init__(self, using: str) -> None:
        self.using = using
        self._session: Session | None = None

    def wait(self, stopping: threading.Event) -> Iterator[tuple[str, ...]]:
        """See Hints.wait()."""
        self.close()
        self._session = private_session(self.using)
        before = None
        while not stopping.is_set():
            version = self._session.execute("PRAGMA data_version")[0][0]
            yield () if version == before else ANYTHING
            before = version
            stopping.wait(SQLITE_SECONDS)

    def cut(self) -> None:
        """See Hints.cut(). A file does not hang."""

    def close(self) -> None:
        """See Hints.close()."""
        if self._session is not None:
            self._session.close()
            self._session = None
