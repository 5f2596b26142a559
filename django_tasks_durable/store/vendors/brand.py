"""What the store asks of a brand of database."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

# A process that is stopped in the middle of a transaction keeps its locks, and its worker's row would never look abandoned.
IDLE_SECONDS = 10.0

Execute = Callable[[str], list[tuple[Any, ...]]]


class Brand(ABC):
    """The words of one database, and how its connections are handled."""

    name: str
    now: str
    begin: str
    lock: str
    skip = " SKIP LOCKED"
    share_worker: str
    lock_worker = " FOR UPDATE SKIP LOCKED"
    in_ready_order = ""
    explain = "EXPLAIN"
    among_leased = ""
    has_arrays = False
    has_one_writer = False

    @abstractmethod
    def literal_instant(self, value: datetime) -> str:
        """Write an instant into SQL (tests with a stopped clock only)."""

    @abstractmethod
    def plus_seconds(self, instant: str) -> str:
        """Return SQL that adds a parameter in seconds to an instant."""

    @abstractmethod
    def minus_column_seconds(self, instant: str, column: str) -> str:
        """Return SQL that takes a column in seconds from an instant."""

    @abstractmethod
    def seconds_between(self, start: str, end: str) -> str:
        """Return SQL for the seconds from one instant to another, as a fraction."""

    @abstractmethod
    def minute_of(self, instant: str) -> str:
        """Return SQL for the begin of an instant's minute in UTC."""

    @abstractmethod
    def lock_only(self, table: str) -> str:
        """Lock the rows of one table of a join, passing over those that somebody holds."""

    @abstractmethod
    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        """Make an id fit for a parameter."""

    @abstractmethod
    def instant_parameter(self, value: datetime) -> Any:
        """Make an instant in UTC fit for a parameter."""

    @abstractmethod
    def is_transient(self, error: BaseException) -> bool:
        """Tell a failure that passes from a real one."""

    def is_disconnect(self, error: BaseException) -> bool:
        """Tell whether the server is away or has closed the connection."""
        return isinstance(error, (OperationalError, InterfaceError)) and not self.is_transient(error)

    @abstractmethod
    def takes_no_writes(self, error: BaseException) -> bool:
        """Tell whether the server refused a write because of how it is itself: read-only, full, or about to stop."""

    def insert_unless_there(self, connection: BaseDatabaseWrapper, table: str, columns: str, values: str) -> str:
        """Return SQL that inserts a row unless its key is taken."""
        return f"INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING"

    @abstractmethod
    def survives(self, error: BaseException) -> bool:
        """Tell whether a transaction goes on after an error once it is back at its savepoint."""

    @abstractmethod
    def begin_writing(self, connection: BaseDatabaseWrapper) -> None:
        """Let an open transaction become one that writes."""

    @abstractmethod
    def prepare_private(self, connection: BaseDatabaseWrapper) -> None:
        """Set up a connection of the worker's own before it opens."""

    @abstractmethod
    def tune_private(self, connection: BaseDatabaseWrapper, *, is_direct: bool | None) -> None:
        """Set up a connection of the worker's own after it has opened."""

    def begin_private(self, connection: BaseDatabaseWrapper) -> None:
        """Begin a transaction on a connection of the worker's own, which the server ends when its process stands still."""
        execute_plain(connection, self.begin, ())

    def execute_on_own(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of the worker's own."""
        return execute_plain(connection, sql, parameters)

    def execute_prepared(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        """Run a statement on Django's connection, prepared where that is safe."""
        return execute_plain(connection, sql, parameters)

    def writing(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Make the next transaction.atomic() on Django's connection one that may write at once."""
        return contextlib.nullcontext()

    def without_beginning(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Let one statement in atomic() commit by itself, where nothing has really begun yet and that is quicker."""
        return contextlib.nullcontext()

    @abstractmethod
    def cut(self, connection: BaseDatabaseWrapper) -> None:
        """Shut the socket down under a statement that hangs."""

    @abstractmethod
    def bounded_reads(self, connection: BaseDatabaseWrapper, seconds: float) -> AbstractContextManager[None]:
        """Bound how long each statement may take on Django's connection; see is_timeout()."""

    @abstractmethod
    def is_timeout(self, error: BaseException) -> bool:
        """Tell whether a statement was ended because it took longer than it was allowed."""

    @abstractmethod
    def bounded_waits(self, execute: Execute, seconds: float) -> AbstractContextManager[None]:
        """Bound how long a lock is waited for, in the open transaction and no longer."""


def execute_plain(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement on a connection and return its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []
