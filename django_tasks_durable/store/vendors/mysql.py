"""What MariaDB and MySQL say differently from other databases."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from .brand import IDLE_SECONDS, Brand, Execute, execute_plain


class MySQL(Brand):
    """MariaDB and MySQL."""

    name = "mysql"
    now = "UTC_TIMESTAMP(6)"
    begin = "START TRANSACTION"
    lock = "FOR UPDATE"
    share_worker = " LOCK IN SHARE MODE"
    # Left to itself the optimizer reads (status, due_at), sorts, and locks every due row before it takes the first few.
    in_ready_order = " FORCE INDEX (dtd_run_ready)"
    # The one of slots holds all runs that ever had one.
    among_leased = " FORCE INDEX (dtd_run_leased)"
    transient_codes = frozenset({1205, 1213, 1020})
    # Disk full, too many connections, out of memory, shutting down, read-only by mode, killed.
    unwritable_codes = frozenset({1021, 1040, 1041, 1053, 1836, 1927})
    # Forbidden by an option of the server, of which --read-only is one.
    forbidden_code = 1290

    def literal_instant(self, value: datetime) -> str:
        return f"TIMESTAMP'{value.replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"

    def plus_seconds(self, instant: str) -> str:
        return f"DATE_ADD({instant}, INTERVAL %s * 1000000 MICROSECOND)"

    def minus_column_seconds(self, instant: str, column: str) -> str:
        return f"DATE_SUB({instant}, INTERVAL {column} * 1000000 MICROSECOND)"

    def seconds_between(self, start: str, end: str) -> str:
        return f"(TIMESTAMPDIFF(MICROSECOND, {start}, {end}) / 1e6)"

    def minute_of(self, instant: str) -> str:
        return f"DATE_FORMAT({instant}, '%%Y-%%m-%%d %%H:%%i')"

    def lock_only(self, table: str) -> str:
        return f"{self.lock}{self.skip}"  # MariaDB has no OF: the worker's row is locked as well

    def uuid_parameter(self, value: UUID, *, native: bool) -> Any:
        return str(value) if native else value.hex

    def instant_parameter(self, value: datetime) -> Any:
        return value.replace(tzinfo=None)

    def is_transient(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and bool(error.args) and error.args[0] in self.transient_codes

    def takes_no_writes(self, error: BaseException) -> bool:
        if not isinstance(error, DatabaseError) or not error.args:
            return False
        is_read_only = error.args[0] == self.forbidden_code and "read-only" in str(error)
        return is_read_only or error.args[0] in self.unwritable_codes

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
    def bounded_reads(self, connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
        is_mariadb = getattr(connection, "mysql_is_mariadb", False)
        name, bound = ("max_statement_time", seconds) if is_mariadb else ("max_execution_time", int(seconds * 1000))
        before = execute_plain(connection, f"SELECT @@SESSION.{name}", ())[0][0]
        execute_plain(connection, f"SET SESSION {name} = {bound}", ())
        try:
            yield
        finally:
            with contextlib.suppress(DatabaseError):  # a connection that broke is not used again
                execute_plain(connection, f"SET SESSION {name} = {before}", ())

    def is_timeout(self, error: BaseException) -> bool:
        return isinstance(error, DatabaseError) and bool(error.args) and error.args[0] in {1969, 3024}

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
