"""The present, by the database's clock."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Expression, Value
from django.db.models.functions import Now
from django.db.models.sql.compiler import SQLCompiler

from django_tasks_durable.primitives import clock


class DatabaseNow(Now):
    """Now() in UTC everywhere: Django's own follows the session's time zone on MariaDB and MySQL."""

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any) -> tuple[str, Any]:
        """Return the SQL for MariaDB and MySQL."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra_context)


class FrozenNow(Value):
    """An instant that a test chose."""

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        """Return the SQL for MariaDB and MySQL, which would take the bare value for text."""
        sql, params = self.as_sql(compiler, connection)
        return f"CAST({sql} AS DATETIME(6))", params


def now() -> Expression:
    """Return the present instant for use in a query, or the one that a test froze."""
    frozen = clock.frozen_at()
    return DatabaseNow() if frozen is None else FrozenNow(frozen, output_field=DateTimeField())
