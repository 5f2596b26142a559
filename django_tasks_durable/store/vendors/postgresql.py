"""Prepared statements on PostgreSQL: what takes the planning out of the statements that run all the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .brand import execute_plain

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
    direct = reaches_server(raw) if is_direct is None else is_direct
    raw.prepare_threshold = PREPARE_AFTER if direct else None
    _read_instants_quickly(connection)


def _read_instants_quickly(connection: BaseDatabaseWrapper) -> None:
    """Take a loader of instants that costs a fifth of Django's, which a claim would call four times a run."""
    from psycopg import adapt  # only where this brand is in use

    class InstantLoader(adapt.Loader):
        # Django registers its own on every cursor unless it finds the zone of the connection here.
        timezone = connection.timezone

        def load(self, data: Any) -> datetime:
            return datetime.fromisoformat(str(data, "ascii"))

    raw: Any = connection.connection
    raw.adapters.register_loader("timestamptz", InstantLoader)


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
        return execute_plain(connection, sql, parameters)
    connection.validate_no_broken_transaction()
    raw: Any = connection.connection
    if raw.prepare_threshold is None:
        raw.prepare_threshold = ONLY_WHEN_ASKED
    with connection.wrap_database_errors:
        cursor = _preparing_cursor(raw).execute(sql, parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []


def execute_on_own(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement on a connection of the worker's own, with the one cursor that it has.

    A cursor of Django's for each statement, and the driver's under it, cost nearly as much as sending the statement.
    """
    if connection.execute_wrappers or connection.queries_logged:
        return execute_plain(connection, sql, parameters)
    with connection.wrap_database_errors:
        cursor = _own_cursor(connection.connection).execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def _own_cursor(raw: Any) -> Any:
    cursor = getattr(raw, "durable_cursor", None)
    if cursor is None or cursor.closed:
        cursor = raw.durable_cursor = raw.cursor()
    return cursor


def _preparing_cursor(raw: Any) -> Any:
    """Return the one cursor for prepared statements on a connection of Django's, whose own cursors bind on the client's side."""
    cursor = getattr(raw, "durable_preparing_cursor", None)
    if cursor is None or cursor.closed:
        from psycopg import Cursor  # only where this brand is in use

        cursor = raw.durable_preparing_cursor = Cursor(raw)
    return cursor


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
        known = _direct[connection.alias] = reaches_server(connection.connection)
    return known


def reaches_server(raw: Any) -> bool:
    """Tell whether this connection ends at a server's own process: a pooler hands out process ids of its own making."""
    row = raw.cursor().execute("SELECT pg_backend_pid()").fetchone()
    return bool(row[0] == raw.info.backend_pid)
