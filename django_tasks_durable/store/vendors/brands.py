"""What one brand of database says differently from another."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from . import postgresql

Execute = Callable[[str], list[tuple[Any, ...]]]


# A process that is stopped in the middle of a transaction keeps its locks, and its worker's row would never look abandoned.
IDLE_SECONDS = 10.0


class Brand:
    """The words of one database. Subclasses say what differs from PostgreSQL's."""

    name = "postgresql"
    now = "statement_timestamp()"
    begin = "BEGIN"
    lock = "FOR NO KEY UPDATE"
    skip = " SKIP LOCKED"
    share_worker = " FOR KEY SHARE"
    lock_worker = " FOR UPDATE SKIP LOCKED"
    in_ready_order = ""
    has_arrays = True
    has_one_writer = False
    transient_states = frozenset({"40001", "40P01", "55P03"})

    def literal_instant(self, value: datetime) -> str:
        """Write an instant into SQL (tests with a stopped clock only)."""
        return f"'{value.isoformat()}'::timestamptz"

    def plus_seconds(self, instant: str) -> str:
        """Return SQL that adds a parameter in seconds to an instant."""
        return f"({instant} + %s::float8 * interval '1 second')"

    def minus_column_seconds(self, instant: str, column: str) -> str:
        """Return SQL that takes a column in seconds from an instant."""
        return f"({instant} - {column} * interval '1 second')"

    def lock_only(self, table: str) -> str:
        """Lock the rows of one table of a join, passing over those that somebody holds."""
        return f"{self.lock} OF {table}{self.skip}"

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        """Make an id fit for a parameter."""
        return value

    def instant_parameter(self, value: datetime) -> Any:
        """Make an instant in UTC fit for a parameter."""
        return value

    def is_transient(self, error: BaseException) -> bool:
        """Tell a failure that passes from a real one."""
        cause = error.__cause__
        return isinstance(error, DatabaseError) and getattr(cause, "sqlstate", None) in self.transient_states

    def is_disconnect(self, error: BaseException) -> bool:
        """Tell whether the server is away or has closed the connection."""
        return isinstance(error, (OperationalError, InterfaceError)) and not self.is_transient(error)

    def prepare_private(self, connection: BaseDatabaseWrapper) -> None:
        """Set up a connection of the worker's own before it opens."""
        from psycopg import IsolationLevel  # only where this brand is in use

        options = connection.settings_dict.setdefault("OPTIONS", {})
        connection.settings_dict["OPTIONS"] = {
            **{key: value for key, value in options.items() if key != "pool"},
            "isolation_level": IsolationLevel.READ_COMMITTED,
            # Arrays of hundreds of values are bound by the driver's C code instead of being written into the statement.
            "server_side_binding": True,
            "prepare_threshold": None,
        }

    def tune_private(self, connection: BaseDatabaseWrapper, *, is_direct: bool | None) -> None:
        """Set up a connection of the worker's own after it has opened."""
        postgresql.tune(connection, is_direct=is_direct)

    def begin_private(self, connection: BaseDatabaseWrapper) -> None:
        """Begin a transaction on a connection of the worker's own, which the server ends when its process stands still."""
        postgresql.begin(connection, IDLE_SECONDS)

    def execute_prepared(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        """Run a statement on Django's connection, prepared where that is safe."""
        return postgresql.execute_prepared(connection, sql, parameters)

    @contextmanager
    def writing(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Make the next transaction.atomic() on Django's connection one that may write at once."""
        yield

    def cut(self, connection: BaseDatabaseWrapper) -> None:
        """Shut the socket down under a statement that hangs."""
        raw: Any = connection.connection
        if raw is None:
            return
        with contextlib.suppress(Exception), socket.socket(fileno=os.dup(raw.fileno())) as doomed:
            doomed.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def bounded_waits(self, execute: Execute, seconds: float) -> Iterator[None]:
        """Bound how long a lock is waited for, in the open transaction and no longer."""
        execute(f"SET LOCAL lock_timeout = '{int(seconds * 1000)}ms'")
        yield


class Sqlite(Brand):
    """SQLite: one writer at a time, so that locking is beginning."""

    name = "sqlite"
    now = "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now')"
    begin = "BEGIN IMMEDIATE"
    lock = ""
    skip = ""
    share_worker = ""
    lock_worker = ""
    has_arrays = False
    has_one_writer = True

    def literal_instant(self, value: datetime) -> str:
        return f"'{self.instant_parameter(value)}'"

    def plus_seconds(self, instant: str) -> str:
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {instant}, printf('%%+.3f seconds', %s))"

    def minus_column_seconds(self, instant: str, column: str) -> str:
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {instant}, printf('%%+.3f seconds', -{column}))"

    def lock_only(self, table: str) -> str:
        return ""

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        return value.hex

    def instant_parameter(self, value: datetime) -> Any:
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")

    def is_transient(self, error: BaseException) -> bool:
        return isinstance(error, OperationalError) and "locked" in str(error)

    def prepare_private(self, connection: BaseDatabaseWrapper) -> None:
        options = connection.settings_dict.get("OPTIONS", {})
        connection.settings_dict["OPTIONS"] = {"timeout": 30, **options}

    @contextmanager
    def writing(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        # A deferred transaction that reads before it writes fails at once with "database is locked", whatever the timeout.
        # Every reconnect resets the mode, so it is set for this one transaction and put back.
        if connection.in_atomic_block:
            yield
            return
        connection.ensure_connection()
        before = getattr(connection, "transaction_mode", None)
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
        try:
            yield
        finally:
            connection.transaction_mode = before  # type: ignore[attr-defined]

    def tune_private(self, connection: BaseDatabaseWrapper, *, is_direct: bool | None) -> None:
        """Do nothing."""

    def begin_private(self, connection: BaseDatabaseWrapper) -> None:
        execute_plain(connection, self.begin, ())

    def execute_prepared(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        return execute_plain(connection, sql, parameters)

    def cut(self, connection: BaseDatabaseWrapper) -> None:
        """Do nothing: there is no socket, and the busy timeout ends a wait."""

    @contextmanager
    def bounded_waits(self, execute: Execute, seconds: float) -> Iterator[None]:
        yield  # beginning was the only wait


class MySQL(Brand):
    """MariaDB and MySQL."""

    name = "mysql"
    now = "UTC_TIMESTAMP(6)"
    begin = "START TRANSACTION"
    lock = "FOR UPDATE"
    share_worker = " LOCK IN SHARE MODE"
    # Left to itself the optimizer reads (status, due_at), sorts, and locks every due row before it takes the first few.
    in_ready_order = " FORCE INDEX (dtd_run_ready)"
    has_arrays = False
    transient_codes = frozenset({1205, 1213, 1020})

    def literal_instant(self, value: datetime) -> str:
        return f"TIMESTAMP'{value.replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"

    def plus_seconds(self, instant: str) -> str:
        return f"DATE_ADD({instant}, INTERVAL %s * 1000000 MICROSECOND)"

    def minus_column_seconds(self, instant: str, column: str) -> str:
        return f"DATE_SUB({instant}, INTERVAL {column} * 1000000 MICROSECOND)"

    def lock_only(self, table: str) -> str:
        return f"{self.lock}{self.skip}"  # MariaDB has no OF: the worker's row is locked as well

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        return str(value) if native else value.hex

    def instant_parameter(self, value: datetime) -> Any:
        return value.replace(tzinfo=None)

    def is_transient(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and bool(error.args) and error.args[0] in self.transient_codes

    def prepare_private(self, connection: BaseDatabaseWrapper) -> None:
        options = connection.settings_dict.get("OPTIONS", {})
        connection.settings_dict["OPTIONS"] = {**options, "isolation_level": "read committed"}

    def tune_private(self, connection: BaseDatabaseWrapper, *, is_direct: bool | None) -> None:
        if getattr(connection, "mysql_is_mariadb", False):  # MySQL has no such limit
            execute_plain(connection, "SET SESSION idle_transaction_timeout = %s", (int(IDLE_SECONDS),))

    def begin_private(self, connection: BaseDatabaseWrapper) -> None:
        execute_plain(connection, self.begin, ())

    def execute_prepared(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        return execute_plain(connection, sql, parameters)

    def cut(self, connection: BaseDatabaseWrapper) -> None:
        raw: Any = connection.connection
        inner = getattr(raw, "_sock", None)
        if inner is not None:
            with contextlib.suppress(OSError):
                inner.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def bounded_waits(self, execute: Execute, seconds: float) -> Iterator[None]:
        # There is no bound for one transaction: the session's is put back, since the connection is the user's.
        before = execute("SELECT @@SESSION.innodb_lock_wait_timeout")[0][0]
        execute(f"SET SESSION innodb_lock_wait_timeout = {max(1, int(seconds))}")
        try:
            yield
        finally:
            with contextlib.suppress(DatabaseError):  # a connection that broke is not used again
                execute(f"SET SESSION innodb_lock_wait_timeout = {int(before)}")


def execute_plain(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement on a connection and return its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


_BRANDS = {brand.name: brand() for brand in (Brand, Sqlite, MySQL)}


def brand_of(connection: BaseDatabaseWrapper) -> Brand:
    """Return the brand of a connection's database. Raise NotImplementedError for one that we do not speak."""
    try:
        return _BRANDS[connection.vendor]
    except KeyError:
        raise NotImplementedError(
            f"django_tasks_durable speaks PostgreSQL, SQLite and MariaDB/MySQL, not {connection.vendor}."
        ) from None
