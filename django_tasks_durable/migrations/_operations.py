"""What one brand of database needs beside the models; each operation does nothing on the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

RUNS = "durable_tasks_taskrun"
HOT_TABLE = {
    # Half of each page is left free, so that the many updates of a run stay on its page and touch no index.
    "fillfactor": "50",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_threshold": "1000",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_delay": "0",
}


class _OnOneBrand(Operation):
    """Change the database only, and only where it is of this brand."""

    reduces_to_sql = True
    reversible = True
    vendor = ""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Leave the models as they are."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Make the change."""
        if self._is_wanted(app_label, schema_editor):
            self.change(schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Take the change back."""
        if self._is_wanted(app_label, schema_editor):
            self.undo(schema_editor)

    def _is_wanted(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor) -> bool:
        connection = schema_editor.connection
        return connection.vendor == self.vendor and router.allow_migrate(connection.alias, app_label)

    def change(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Make the change on the right brand."""
        raise NotImplementedError

    def undo(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Take it back on the right brand."""
        raise NotImplementedError


class LeadWithStatusOnMySQL(_OnOneBrand):
    """Let the named indexes begin with the status on MariaDB and MySQL, which ignore an index's condition.

    SKIP LOCKED needs an index in exactly the order of the claim, or a second worker finds an empty queue. The names stay, so
    that later migrations find the indexes.
    """

    vendor = "mysql"

    def __init__(self, table: str, indexes: Mapping[str, tuple[str, ...]]) -> None:
        self.table = table
        self.indexes = dict(indexes)

    def change(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Make each index again with the status in front, once the tables' own indexes are there: Django defers those."""
        schema_editor.deferred_sql.extend(self._remade(schema_editor, lead=("status",)))

    def undo(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Make each index again as the model declares it."""
        for statement in self._remade(schema_editor, lead=()):
            schema_editor.execute(statement)

    def _remade(self, schema_editor: BaseDatabaseSchemaEditor, *, lead: tuple[str, ...]) -> list[str]:
        quote = schema_editor.quote_name
        return [
            f"ALTER TABLE {quote(self.table)} DROP INDEX {quote(name)}, "
            f"ADD INDEX {quote(name)} ({', '.join(quote(column) for column in (*lead, *columns))})"
            for name, columns in self.indexes.items()
        ]

    def describe(self) -> str:
        """Say what it does."""
        return f"Lead the indexes of {self.table} with the status on MariaDB and MySQL"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what rebuilds it."""
        return type(self).__name__, [], {"table": self.table, "indexes": self.indexes}


class KeepRoomOnPostgreSQL(_OnOneBrand):
    """Set a hot table's storage on PostgreSQL: room on each page for updates, and a vacuum that comes early."""

    vendor = "postgresql"

    def __init__(self, table: str, settings: Mapping[str, str]) -> None:
        self.table = table
        self.settings = dict(settings)

    def change(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Set them."""
        wanted = ", ".join(f"{name} = {value}" for name, value in self.settings.items())
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(self.table)} SET ({wanted})")

    def undo(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Go back to the server's own."""
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(self.table)} RESET ({', '.join(self.settings)})")

    def describe(self) -> str:
        """Say what it does."""
        return f"Keep room for updates in {self.table} on PostgreSQL"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what rebuilds it."""
        return type(self).__name__, [], {"table": self.table, "settings": self.settings}


class CompareBytesOnMySQL(_OnOneBrand):
    """Let names differ by case and accents on MariaDB and MySQL, as they do in Python and elsewhere.

    With the usual collation ``step:A`` and ``step:a`` would be one checkpoint, and a worker would claim tasks it does not know.
    """

    vendor = "mysql"

    def __init__(self, columns: Mapping[str, Mapping[str, int]]) -> None:
        self.columns = {table: dict(lengths) for table, lengths in columns.items()}

    def change(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Compare these columns byte by byte."""
        for statement in self._remade(schema_editor, " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"):
            schema_editor.execute(statement)

    def undo(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Compare them as the database does."""
        for statement in self._remade(schema_editor, ""):
            schema_editor.execute(statement)

    def _remade(self, schema_editor: BaseDatabaseSchemaEditor, collation: str) -> list[str]:
        quote = schema_editor.quote_name
        return [
            f"ALTER TABLE {quote(table)} "
            + ", ".join(
                f"MODIFY {quote(name)} varchar({length}){collation} NOT NULL" for name, length in lengths.items()
            )
            for table, lengths in self.columns.items()
        ]

    def describe(self) -> str:
        """Say what it does."""
        return "Compare names byte by byte on MariaDB and MySQL"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what rebuilds it."""
        return type(self).__name__, [], {"columns": self.columns}


class CompareBytesOnPostgreSQL(_OnOneBrand):
    """Let paths be compared byte by byte on PostgreSQL too, whatever the database's collation.

    Then the unique index of (run, path) answers what lies under a prefix: a workflow's ten-thousandth visit reads no
    row of the others.
    """

    vendor = "postgresql"

    def __init__(self, columns: Mapping[str, Mapping[str, int]]) -> None:
        self.columns = {table: dict(lengths) for table, lengths in columns.items()}

    def change(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Compare these columns byte by byte."""
        for statement in self._remade(schema_editor, ' COLLATE "C"'):
            schema_editor.execute(statement)

    def undo(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """Compare them as the database does."""
        for statement in self._remade(schema_editor, ' COLLATE "default"'):
            schema_editor.execute(statement)

    def _remade(self, schema_editor: BaseDatabaseSchemaEditor, collation: str) -> list[str]:
        quote = schema_editor.quote_name
        return [
            f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(name)} TYPE varchar({length}){collation}"
            for table, lengths in self.columns.items()
            for name, length in lengths.items()
        ]

    def describe(self) -> str:
        """Say what it does."""
        return "Compare paths byte by byte on PostgreSQL"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what rebuilds it."""
        return type(self).__name__, [], {"columns": self.columns}


def per_brand() -> list[Operation]:
    """Return what migration 0001 adds after the tables."""
    return [
        CompareBytesOnMySQL(
            columns={
                RUNS: {"task_path": 255, "queue_name": 64, "lease_worker": 128},
                "durable_tasks_checkpoint": {"path": 400},
                "durable_tasks_message": {"name": 400, "consumed_path": 400},
                "durable_tasks_wait": {"path": 400, "token": 64, "event": 200},
                "durable_tasks_worker": {"id": 128},
                "durable_tasks_runchannel": {"name": 200},
                "durable_tasks_openkey": {"kind": 12, "name": 200},
                "durable_tasks_queue": {"name": 64},
                "durable_tasks_slot": {"kind": 6, "name": 64},
                "durable_tasks_schedule": {"name": 255, "task_path": 255},
                "durable_tasks_tick": {"schedule": 255},
                "durable_tasks_rollup": {"task_path": 255, "queue_name": 64},
            }
        ),
        LeadWithStatusOnMySQL(
            table=RUNS,
            indexes={
                "dtd_run_ready": ("queue_name", "ready_rank", "lane", "due_at", "id"),
                "dtd_run_leased": ("lease_worker",),
                "dtd_run_deadline": ("due_at",),
            },
        ),
        CompareBytesOnPostgreSQL(
            columns={"durable_tasks_checkpoint": {"path": 400}, "durable_tasks_wait": {"path": 400}}
        ),
        KeepRoomOnPostgreSQL(table=RUNS, settings=HOT_TABLE),
    ]
