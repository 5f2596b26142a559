"""Prepared statements on PostgreSQL: what takes the planning out of the statements that run all the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

PREPARE_AFTER = 2
# What libpq calls a connection that is in no transaction (PQTRANS_IDLE).
IDLE = 0
# Django turns preparing off with None, and the driver then does not prepare even what is asked for.
ONLY_WHEN_ASKED = 1_000_000_000
# Which aliases are known to speak to the server itself, found out once in a process.
_direct: dict[str, bool] = {}


def tune(connection: BaseDatabaseWrapper, *, is_direct: bool | None) -> None:
    """Prepare statements where no pooler stands in between."""
    raw: Any = connection.connection
    direct = _reaches_server(raw) if is_direct is None else is_direct
    raw.prepare_threshold = PREPARE_AFTER if direct else None


def begin(connection: BaseDatabaseWrapper, idle_seconds: float) -> None:
    """Begin a transaction that the server ends when nothing has come for so long; in one message, and for it alone."""
    raw: Any = connection.connection
    limit = f"SET LOCAL idle_in_transaction_session_timeout = {int(idle_seconds * 1000)}"
    with connection.wrap_database_errors:
        raw.execute(f"BEGIN; {limit}", prepare=False)


def execute_prepared(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, prepared where no pooler stands in between.

    Behind a pooler, with a hook around Django's cursors or a log of queries, it goes Django's usual way.
    """
    connection.ensure_connection()
    if connection.execute_wrappers or connection.queries_logged or not _is_direct(connection):
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
    from psycopg import Cursor  # only where this brand is in use

    connection.validate_no_broken_transaction()
    raw: Any = connection.connection
    if raw.prepare_threshold is None:
        raw.prepare_threshold = ONLY_WHEN_ASKED
    with connection.wrap_database_errors, Cursor(raw) as cursor:
        cursor.execute(sql, parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def without_beginning(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let one statement inside atomic() commit by itself when nothing was asked of the database in there before.

    Its transaction has not begun then: the driver begins one with the first statement. That saves two round trips.
    """
    raw: Any = connection.connection
    if connection.execute_wrappers or raw is None or raw.autocommit or raw.info.transaction_status != IDLE:
        yield
        return
    raw.autocommit = True
    try:
        yield
    finally:
        if not raw.closed:
            raw.autocommit = False


def _is_direct(connection: BaseDatabaseWrapper) -> bool:
    known = _direct.get(connection.alias)
    if known is None:
        known = _direct[connection.alias] = _reaches_server(connection.connection)
    return known


def _reaches_server(raw: Any) -> bool:
    """Tell whether this connection ends at a server's own process: a pooler hands out process ids of its own making."""
    row = raw.cursor().execute("SELECT pg_backend_pid()").fetchone()
    return bool(row[0] == raw.info.backend_pid)
