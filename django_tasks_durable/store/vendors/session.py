"""A database connection that the store speaks SQL to: Django's own, or one of the worker's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_tasks_durable.primitives import clock

from .brand import Brand, execute_plain
from .brands import brand_of

T = TypeVar("T")


class Session:
    """One connection, spoken to in SQL with ``%s`` placeholders; the same statements whoever owns the connection.

    Instants go in through ``moment()`` and come out through ``instant()``, ids through ``uuid()`` and ``as_uuid()``.
    """

    def __init__(self, connection: BaseDatabaseWrapper, *, is_private: bool, is_direct: bool | None = False) -> None:
        self.connection = connection
        self.is_private = is_private
        self.is_direct = is_direct
        self.brand: Brand = brand_of(connection)
        self._tuned: object = None
        self._is_open = False

    @property
    def alias(self) -> str:
        """The alias of the database."""
        return self.connection.alias

    @property
    def now(self) -> str:
        """SQL for the present instant by the database's clock, or the instant that a test froze."""
        frozen = clock.frozen_at()
        return self.brand.now if frozen is None else self.brand.literal_instant(frozen)

    @cached_property
    def _stores_native_uuids(self) -> bool:
        return self.connection.features.has_native_uuid_field

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, so that another could only be a part of it."""
        return self._is_open if self.is_private else bool(self.connection.in_atomic_block)

    def now_at(self) -> datetime:
        """Ask the database what time it is."""
        return self.instant(self.execute(f"SELECT {self.now}")[0][0])

    def uuid(self, value: UUID) -> Any:
        """Make an id fit for a parameter."""
        return self.brand.uuid_parameter(value, native=self._stores_native_uuids)

    def as_uuid(self, value: Any) -> UUID:
        """Read an id from a row."""
        return value if isinstance(value, UUID) else UUID(str(value))

    def moment(self, value: datetime | None) -> Any:
        """Make an instant fit for a parameter."""
        return None if value is None else self.brand.instant_parameter(value.astimezone(UTC))

    def instant(self, value: Any) -> datetime:
        """Read an instant from a row."""
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment

    def instant_or_none(self, value: Any) -> datetime | None:
        """Read an instant that may be missing from a row."""
        return None if value is None else self.instant(value)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any."""
        if not self.is_private:
            return execute_plain(self.connection, sql, parameters)
        self._tune()
        return self.brand.execute_on_own(self.connection, sql, parameters)

    def _tune(self) -> None:
        self.connection.ensure_connection()
        if self._tuned is not self.connection.connection:
            self._tuned = self.connection.connection
            self.brand.tune_private(self.connection, is_direct=self.is_direct)

    def execute_often(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement that is always the same and runs often: prepared, where no pooler stands in between."""
        if self.is_private:
            return self.execute(sql, parameters)
        return self.brand.execute_prepared(self.connection, sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it changed."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return int(cursor.rowcount)

    def insert_unless_there(self, table: str, columns: str, values: str, parameters: Sequence[Any]) -> bool:
        """Insert one row unless its key is taken, after whoever is inserting the same one; tell whether it was inserted.

        Where waiting for another transaction's insert may end in a deadlock, it fails at once instead; see Brand.survives().
        """
        return self.change(self.brand.insert_unless_there(self.connection, table, columns, values), parameters) == 1

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        if rows:
            with self.connection.cursor() as cursor:
                cursor.executemany(sql, rows)

    def transaction(self) -> AbstractContextManager[None]:
        """Open a transaction that may write at once; inside an open one of Django's, join it."""
        return self._own_transaction() if self.is_private else write_transaction(self.alias)

    @contextmanager
    def _own_transaction(self) -> Iterator[None]:
        self._tune()
        self.brand.begin_private(self.connection)
        self._is_open = True
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._is_open = False
        self.execute("COMMIT")

    def _roll_back(self) -> None:
        try:
            self.execute("ROLLBACK")
        except Exception:  # the connection is gone, and the transaction with it
            self.close()

    def is_transient(self, error: BaseException) -> bool:
        """Tell whether the same transaction may well succeed when tried again."""
        return self.brand.is_transient(error)

    def survives(self, error: BaseException) -> bool:
        """Tell whether the open transaction can go on, and try again, once it is back at the savepoint before an error."""
        return self.brand.survives(error)

    def bounded_reads(self, seconds: float) -> AbstractContextManager[None]:
        """Bound how long each statement on Django's connection may take, where the database can; see is_timeout()."""
        return self.brand.bounded_reads(self.connection, seconds)

    def is_timeout(self, error: BaseException) -> bool:
        """Tell whether a statement was ended because it took longer than it was allowed."""
        return self.brand.is_timeout(error)

    def begin_writing(self) -> None:
        """Let an open transaction become one that writes before it has looked at anything."""
        self.brand.begin_writing(self.connection)

    def is_lost(self, used: object) -> bool:
        """Tell, outside a transaction, whether the driver's connection that was used broke.

        Leaving a broken atomic() block, Django opens a new one, which is as good as any.
        """
        now = self.connection.connection
        return now is None or now is not used or not self.connection.is_usable()

    def cut(self) -> None:
        """Shut the socket down under a statement that hangs, from another thread; the statement fails at once."""
        self.brand.cut(self.connection)

    def close(self) -> None:
        """Close the connection; the next statement opens a new one."""
        try:
            self.connection.close()
        except Exception:  # a broken connection cannot even be closed; drop what Django holds of it
            self.connection.connection = None


def session(using: str = DEFAULT_DB_ALIAS) -> Session:
    """Return a session on this thread's Django connection, inside whatever transaction is open there."""
    return Session(connections[using], is_private=False)


def private_session(using: str = DEFAULT_DB_ALIAS, *, is_direct: bool | None = False) -> Session:
    """Return a session on a connection of its own, which the caller closes.

    It commits statement by statement unless inside ``transaction()``, and runs READ COMMITTED whatever the user's settings.
    ``is_direct`` says that no pooler stands in between, so that statements may be prepared; None finds out.
    """
    connection = connections[using].copy()
    connection.inc_thread_sharing()
    brand_of(connection).prepare_private(connection)
    return Session(connection, is_private=True, is_direct=is_direct)


@contextmanager
def write_transaction(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Open ``transaction.atomic()`` in a way that may write at once, whatever the user's settings.

    Inside an open transaction it is a savepoint, as atomic() always is.
    """
    connection = connections[using]
    with brand_of(connection).writing(connection), transaction.atomic(using):
        yield


def retry_transient(session: Session, work: Callable[[], T], *, tries: int = 5) -> T:
    """Call ``work`` again, a few times, when it fails for a reason that passes (deadlock, serialization, lock timeout)."""
    for left in reversed(range(tries)):
        try:
            return work()
        except Exception as error:
            if not left or not session.is_transient(error):
                raise
    raise AssertionError("unreachable")
