"""What each brand of database says differently from another."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ..tables import KEYS
from . import postgresql
from .brand import IDLE_SECONDS, Brand, Execute, execute_plain
from .mysql import MySQL


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

    def seconds_between(self, start: str, end: str) -> str:
        return f"EXTRACT(EPOCH FROM ({end} - {start}))::float8"

    def minute_of(self, instant: str) -> str:
        return f"date_trunc('minute', {instant}, 'UTC')"

    def lock_only(self, table: str) -> str:
        return f"{self.lock} OF {table}{self.skip}"

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        return value

    def instant_parameter(self, value: datetime) -> Any:
        return value

    def is_transient(self, error: BaseException) -> bool:
        cause = error.__cause__
        return isinstance(error, DatabaseError) and getattr(cause, "sqlstate", None) in self.transient_states

    def is_disconnect(self, error: BaseException) -> bool:
        """See Brand. A server that takes no writes is as good as away: another is, or it will be, the first."""
        return super().is_disconnect(error) or getattr(error.__cause__, "sqlstate", None) == "25006"

    def takes_no_writes(self, error: BaseException) -> bool:
        state = getattr(error.__cause__, "sqlstate", None) or ""
        # Of the lack of resources only what no statement of one's own can cause: a full disk, too many connections.
        return isinstance(error, DatabaseError) and (state in {"25006", "53100", "53300"} or state.startswith("57P0"))

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

    def execute_on_own(
        self, connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        return postgresql.execute_on_own(connection, sql, parameters)

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
    def bounded_reads(self, connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
        # SET LOCAL, since behind a pooler the session is not ours; a failed block takes it back by itself.
        with transaction.atomic(connection.alias):
            before = execute_plain(connection, "SHOW statement_timeout", ())[0][0]
            execute_plain(connection, f"SET LOCAL statement_timeout = '{int(seconds * 1000)}ms'", ())
            yield
            execute_plain(connection, f"SET LOCAL statement_timeout = '{before}'", ())

    def is_timeout(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and getattr(error.__cause__, "sqlstate", None) == "57014"

    @contextmanager
    def bounded_waits(self, execute: Execute, seconds: float) -> Iterator[None]:
        execute(f"SET LOCAL lock_timeout = '{int(seconds * 1000)}ms'")
        yield


class Sqlite(Brand):
    """SQLite: one writer at a time, so that locking is beginning."""

    name = "sqlite"
    now = "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now')"
    begin = "BEGIN IMMEDIATE"
    explain = "EXPLAIN QUERY PLAN"
    lock = ""
    skip = ""
    share_worker = ""
    lock_worker = ""
    has_one_writer = True
    unwritable_codes = frozenset(
        {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}
    )

    def literal_instant(self, value: datetime) -> str:
        return f"'{self.instant_parameter(value)}'"

    def plus_seconds(self, instant: str) -> str:
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {instant}, printf('%%+.3f seconds', %s))"

    def minus_column_seconds(self, instant: str, column: str) -> str:
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {instant}, printf('%%+.3f seconds', -{column}))"

    def seconds_between(self, start: str, end: str) -> str:
        return f"((julianday({end}) - julianday({start})) * 86400.0)"

    def minute_of(self, instant: str) -> str:
        return f"substr({instant}, 1, 16)"

    def lock_only(self, table: str) -> str:
        return ""

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        return value.hex

    def instant_parameter(self, value: datetime) -> Any:
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")

    def is_transient(self, error: BaseException) -> bool:
        return isinstance(error, OperationalError) and "locked" in str(error)

    def takes_no_writes(self, error: BaseException) -> bool:
        code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF  # what is above says more of the same
        return isinstance(error, OperationalError) and code in self.unwritable_codes

    def survives(self, error: BaseException) -> bool:
        return False

    def begin_writing(self, connection: BaseDatabaseWrapper) -> None:
        # A deferred transaction that reads first may never write when somebody else did meanwhile.
        execute_plain(connection, f"DELETE FROM {KEYS} WHERE 0", ())

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
    def bounded_reads(self, connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
        yield  # it has no such bound, and a transaction might hold up its one writer

    def is_timeout(self, error: BaseException) -> bool:
        return False

    @contextmanager
    def bounded_waits(self, execute: Execute, seconds: float) -> Iterator[None]:
        yield  # beginning was the only wait


_BRANDS = {brand.name: brand() for brand in (PostgreSQL, Sqlite, MySQL)}


def brand_of(connection: BaseDatabaseWrapper) -> Brand:
    """Return the brand of a connection's database. Raise NotImplementedError for one that we do not speak."""
    try:
        return _BRANDS[connection.vendor]
    except KeyError:
        raise NotImplementedError(
            f"django_tasks_durable speaks PostgreSQL, SQLite and MariaDB/MySQL, not {connection.vendor}."
        ) from None
