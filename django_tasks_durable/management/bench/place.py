"""Where ``benchtasks`` works: a schema, file or database of its own, made for one run and taken away after it."""

from __future__ import annotations

import os
import platform
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections

MARK = "benchtasks_mark"
DEFAULT_NAME = "dtd_bench"


class PlaceTaken(Exception):
    """There is something of somebody else where the measurements were to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """How another process reaches the place: what to change in the DATABASES entry of ``alias``.

    A password is never in here: the other process reads the entry from the same settings.
    """

    alias: str
    entry: dict[str, Any] = field(default_factory=dict)
    startup: str = ""


class Place(ABC):
    """A place beside the data of one alias, marked so that only what benchtasks made is taken away."""

    def __init__(self, using: str, name: str) -> None:
        self.using = using
        self.name = name
        self._is_ours = False

    def prepare(self, *, overwrite: bool = False) -> None:
        """Make the place. Raise PlaceTaken when it holds something else, unless it may be overwritten."""
        if self.exists():
            owner = self.marked_by()
            if owner is None and not overwrite:
                raise PlaceTaken(
                    f"{self.description} exists and was not made by benchtasks. Choose another name with --name, "
                    "or give --overwrite to have it deleted."
                )
            if owner is not None and _is_alive(owner):
                raise PlaceTaken(
                    f"{self.description} is in use by another benchtasks ({owner}). Wait for it, "
                    "or choose another name with --name."
                )
            self.remove()
        # Before, not after: interrupted in between, there may be something to take away.
        self._is_ours = True
        self.make(f"{platform.node()} {os.getpid()}")

    def leave(self) -> None:
        """Take the place away if prepare() made it."""
        if self._is_ours:
            self.remove()

    def address(self) -> Address:
        """Say how another process reaches the place."""
        settings = connections[self.using].settings_dict
        kept = {key: settings[key] for key in ("NAME", "HOST", "PORT", "USER") if key in settings}
        return Address(alias=self.using, entry={key: str(value) for key, value in kept.items()})

    @property
    @abstractmethod
    def description(self) -> str:
        """What and where it is, for people."""

    @abstractmethod
    def exists(self) -> bool:
        """Tell whether there is anything by this name."""

    @abstractmethod
    def marked_by(self) -> str | None:
        """Return the host and process that made the place, None when benchtasks did not."""

    @abstractmethod
    def make(self, owner: str) -> None:
        """Make it and mark it."""

    @abstractmethod
    def remove(self) -> None:
        """Take it away with all that is in it."""


class Schema(Place):
    """A schema of PostgreSQL, reached by the search path."""

    @property
    def description(self) -> str:
        return f"The schema {self.name!r} of the database {connections[self.using].settings_dict['NAME']!r}"

    def address(self) -> Address:
        given = super().address()
        return Address(alias=given.alias, entry=given.entry, startup=f"-c search_path={self.name}")

    def exists(self) -> bool:
        return bool(_ask(self.using, "SELECT 1 FROM pg_namespace WHERE nspname = %s", self.name))

    def marked_by(self) -> str | None:
        if not _ask(self.using, "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s", self.name, MARK):
            return None
        return _owner(_ask(self.using, f"SELECT owner FROM {_quoted(self.using, self.name, MARK)}"))

    def make(self, owner: str) -> None:
        _ask(self.using, f"CREATE SCHEMA {_quoted(self.using, self.name)}")
        _mark(self.using, _quoted(self.using, self.name, MARK), owner)

    def remove(self) -> None:
        _ask(self.using, f"DROP SCHEMA IF EXISTS {_quoted(self.using, self.name)} CASCADE")


class OwnDatabase(Place):
    """A database of MariaDB or MySQL beside the project's."""

    @property
    def description(self) -> str:
        return f"The database {self.name!r}"

    def address(self) -> Address:
        given = super().address()
        return Address(alias=given.alias, entry={**given.entry, "NAME": self.name})

    def exists(self) -> bool:
        return bool(_ask(self.using, "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", self.name))

    def marked_by(self) -> str | None:
        if not _ask(
            self.using,
            "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            self.name,
            MARK,
        ):
            return None
        return _owner(_ask(self.using, f"SELECT owner FROM {_quoted(self.using, self.name, MARK)}"))

    def make(self, owner: str) -> None:
        _ask(self.using, f"CREATE DATABASE {_quoted(self.using, self.name)} CHARACTER SET utf8mb4")
        _mark(self.using, _quoted(self.using, self.name, MARK), owner)

    def remove(self) -> None:
        _ask(self.using, f"DROP DATABASE IF EXISTS {_quoted(self.using, self.name)}")


class OwnFile(Place):
    """A file of SQLite beside the project's, in the same folder and so on the same disk, with the same journal mode."""

    def __init__(self, using: str, name: str) -> None:
        super().__init__(using, name)
        project = Path(str(connections[using].settings_dict["NAME"]))
        # A database in memory has no folder; processes of a worker could not share it either.
        self.path = (project.resolve().parent if project.parent.is_dir() else Path.cwd()) / f"{name}.sqlite3"

    @property
    def description(self) -> str:
        return f"The file {self.path}"

    def address(self) -> Address:
        return Address(alias=self.using, entry={"NAME": str(self.path)})

    def exists(self) -> bool:
        return self.path.exists()

    def marked_by(self) -> str | None:
        raw = self._open(self.path)
        try:
            return _owner(raw.execute(f"SELECT owner FROM {MARK}").fetchall())
        except _driver(self.using).Error:  # not a database, or not one of ours
            return None
        finally:
            raw.close()

    def make(self, owner: str) -> None:
        with connections[self.using].cursor() as cursor:
            journal = cursor.execute("PRAGMA journal_mode").fetchone()[0]
        raw = self._open(self.path)
        raw.execute(f"PRAGMA journal_mode = {journal if journal in {'wal', 'delete', 'truncate'} else 'wal'}")
        raw.execute(f"CREATE TABLE {MARK} (owner text)")
        raw.execute(f"INSERT INTO {MARK} VALUES (?)", (owner,))
        raw.close()

    def remove(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _open(self, path: Path) -> Any:
        return _driver(self.using).connect(str(path), isolation_level=None, timeout=10)


_PLACES: dict[str, type[Place]] = {"postgresql": Schema, "sqlite": OwnFile, "mysql": OwnDatabase}


def place_of(using: str, name: str = "") -> Place:
    """Return the place for an alias; without a name, the usual one."""
    connection = connections[using]
    if connection.vendor == "mysql" and not name:
        name = f"{connection.settings_dict['NAME']}_bench"
    return _PLACES[connection.vendor](using, name or DEFAULT_NAME)


def _ask(using: str, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def _driver(using: str) -> Any:
    connection: Any = connections[using]
    return connection.Database


def _quoted(using: str, *names: str) -> str:
    return ".".join(connections[using].ops.quote_name(name) for name in names)


def _mark(using: str, table: str, owner: str) -> None:
    _ask(using, f"CREATE TABLE {table} (owner varchar(300))")
    _ask(using, f"INSERT INTO {table} VALUES (%s)", owner)


def _owner(rows: list[tuple[Any, ...]]) -> str:
    return str(rows[0][0]) if rows else "unknown 0"


def _is_alive(owner: str) -> bool:
    """Tell whether the process that made a place still runs; on another host nobody can know, so it counts as alive."""
    host, _, process = owner.rpartition(" ")
    if host != platform.node():
        return host != "unknown"
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
