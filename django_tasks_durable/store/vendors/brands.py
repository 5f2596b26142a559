"""What each brand of database says differently from another."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from . import postgresql
from .brand import Brand, Execute, execute_plain

# A process that is stopped in the middle of a transaction keeps its locks, and its worker's row would never look abandoned.
IDLE_SECONDS = 10.0


class PostgreSQL(Brand):
    """PostgreSQL: many rows in one statement, and statements that are planned once."""

    name = "postgresql"
    now = "statement_timestamp()"
    begin = "BEGIN"
    lock = "FOR NO KEY UPDATE"
    share_worker = " FOR KEY SHARE"
    has_arrays = True
    transient_states = frozenset({"40001", "40P01", "55P03"})

    def literal_instant(self, value: datetime) -> str:
        return f"'{value.isoformat()}'::timestamptz"

    def plus_seconds(self, instant: str) -> str:
        return f"({instant} + %s::float8 * interval '1 second')"

    def minus_column_seconds(self, instant: str, column: str) -> str:
        return f"({instant} - {column} * interval '1 second')"

    def lock_only(self, table: str) -> str:
        return f"{self.lock} OF {table}{self.skip}"

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        return value

    def instant_parameter(self, value: datetime) -> Any:
        return value

    def is_transient(self, error: BaseException) -> bool:
        cause = error.__cause__
        return isinstance(error, DatabaseError) and getattr(cause, "sqlstate", None) in self.transient_states

    def survives(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and getattr(error.__cause__, "sqlstate", None) in {"40P01", "55P03"}

    def begin_writing(self, connection: BaseDatabaseWrapper) -> None:
        """Do nothing: whoever looks may write."""

    def prepare_private(self, connection: BaseDatabaseWrapper) -> None:
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
        postgresql.tune(connection, is_direct=is_direct)

    def begin_private(self, connection: BaseDatabaseWrapper) -> None:
        postgresql.begin(connection, IDLE_SECONDS)

    def execute_prepared(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        return postgresql.execute_prepared(connection, sql, parameters)

    def without_beginning(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return postgresql.without_beginning(connection)

    def cut(self, connection: BaseDatabaseWrapper) -> None:
        raw: Any = connection.connection
        if raw is None:
            return
        with contextlib.suppress(Exception), socket.socket(fileno=os.dup(raw.fileno())) as doomed:
            doomed.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def bounded_waits(self, execute: Execute, seconds: float) -> Iterator[None]:
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

    def survives(self, error: BaseException) -> bool:
        return False

    def begin_writing(self, connection: BaseDatabaseWrapper) -> None:
        # A deferred transaction that reads first may never write when somebody else did meanwhile.
        execute_plain(connection, "DELETE FROM durable_tasks_openkey WHERE 0", ())

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

    def insert_unless_there(self, connection: BaseDatabaseWrapper, table: str, columns: str, values: str) -> str:
        # Several that wait for one insert all inherit its gap when it is rolled back, and then wait for each other: a
        # deadlock, which takes the caller's whole transaction along. So nobody waits; who finds the name taken comes again.
        at_once = (
            "SET STATEMENT innodb_lock_wait_timeout=0 FOR " if getattr(connection, "mysql_is_mariadb", False) else ""
        )
        return f"{at_once}INSERT IGNORE INTO {table} ({columns}) VALUES ({values})"

    def survives(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and bool(error.args) and error.args[0] == 1205  # the wait for a lock

    def begin_writing(self, connection: BaseDatabaseWrapper) -> None:
        """Do nothing: whoever looks may write."""

    def prepare_private(self, connection: BaseDatabaseWrapper) -> None:
        options = connection.settings_dict.get("OPTIONS", {})
        connection.settings_dict["OPTIONS"] = {**options, "isolation_level": "read committed"}

    def tune_private(self, connection: BaseDatabaseWrapper, *, is_direct: bool | None) -> None:
        if getattr(connection, "mysql_is_mariadb", False):  # MySQL has no such limit
            execute_plain(connection, "SET SESSION idle_transaction_timeout = %s", (int(IDLE_SECONDS),))

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


_BRANDS = {brand.name: brand() for brand in (PostgreSQL, Sqlite, MySQL)}


def brand_of(connection: BaseDatabaseWrapper) -> Brand:
    """Return the brand of a connection's database. Raise NotImplementedError for one that we do not speak."""
    try:
        return _BRANDS[connection.vendor]
    except KeyError:
        raise NotImplementedError(
            f"django_tasks_durable speaks PostgreSQL, SQLite and MariaDB/MySQL, not {connection.vendor}."
        ) from None
