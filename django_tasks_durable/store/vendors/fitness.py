"""Whether a database is fit to hold tasks: what its settings say, and what it says itself when asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .postgresql import reaches_server

POSTGRESQL_SINCE = 150000
SQLITE_SINCE = (3, 37)
MARIADB_SINCE = (10, 6)
MYSQL_SINCE = (8, 0)
MOUNTS = Path("/proc/self/mounts")
NETWORK_DISKS = (
    "nfs",
    "cifs",
    "smb",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "ceph",
    "9p",
    "afs",
    "lustre",
    "gfs",
)
RUNS = "durable_tasks_taskrun"
STRAY_TABLES = (
    "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() "
    "AND table_name LIKE 'durable\\_tasks\\_%' AND engine <> 'InnoDB'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to know about a database. ``id`` is that of the system check."""

    id: str
    message: str
    hint: str

    @property
    def is_error(self) -> bool:
        """Whether tasks cannot be kept there."""
        return self.id.startswith("E")


def by_settings(connection: BaseDatabaseWrapper, *, threads: int) -> list[Finding]:
    """Judge a database by its settings; connects to nothing. ``threads`` is how many a worker runs tasks on."""
    match connection.vendor:
        case "postgresql":
            return _driver_of_postgresql() + _pool(connection, threads)
        case "sqlite":
            return _memory(connection) or _network_disk(connection)
        case "mysql":
            return []
        case other:
            return [
                Finding(
                    id="E008",
                    message=f"it is {other}.",
                    hint="Tasks need PostgreSQL, SQLite, MariaDB or MySQL; name such a one in OPTIONS['database'].",
                )
            ]


def unanswered(using: str) -> Exception | None:
    """Return why a database does not answer; None when it does."""
    try:
        connections[using].ensure_connection()
    except DatabaseError as error:
        return error
    return None


def has_tables(using: str) -> bool:
    """Tell whether the tables of this app are there; needs a connection."""
    connection = connections[using]
    with connection.cursor() as cursor:
        return RUNS in connection.introspection.table_names(cursor)


def missing_tables() -> Finding:
    """Say that the tables are not there."""
    return Finding(id="W041", message="it has no tables for tasks.", hint="Run 'manage.py migrate'.")


def by_asking(
    connection: BaseDatabaseWrapper, *, listens: bool, lease_seconds: float, payload_bytes: int
) -> list[Finding]:
    """Judge a database by its own word; needs a connection. ``listens`` is whether workers are to be woken through it."""
    match connection.vendor:
        case "postgresql":
            return _postgresql(connection) + (_pooler(connection) if listens else [])
        case "sqlite":
            return _sqlite(connection)
        case "mysql":
            return _mysql(connection) + _limits_of_mysql(connection, lease_seconds, payload_bytes)
        case _:
            return []


def _driver_of_postgresql() -> list[Finding]:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # only where this brand is in use

    if is_psycopg3:
        return []
    return [
        Finding(
            id="E008",
            message="it is reached through psycopg2.",
            hint="Install psycopg 3: pip install 'psycopg[binary]>=3.3'.",
        )
    ]


def _pool(connection: BaseDatabaseWrapper, threads: int) -> list[Finding]:
    pool: Any = connection.settings_dict.get("OPTIONS", {}).get("pool")
    size = (pool.get("max_size") or pool.get("min_size", 4)) if isinstance(pool, dict) else 4 if pool else None
    if size is None or size >= threads + 3:
        return []
    return [
        Finding(
            id="W003",
            message=f"its pool holds {size} connections, and a worker runs {threads} tasks at a time.",
            hint=f"Let OPTIONS['pool']['max_size'] be {threads + 3} or more where runtasks runs.",
        )
    ]


def _memory(connection: BaseDatabaseWrapper) -> list[Finding]:
    name = str(connection.settings_dict.get("NAME") or "")
    # Django's own database for tests is meant to be in memory.
    if name.startswith("file:memorydb_") or (":memory:" not in name and "mode=memory" not in name):
        return []
    return [
        Finding(
            id="W002",
            message="it is a SQLite database in memory, which no worker process can see.",
            hint="Give it a file.",
        )
    ]


def _network_disk(connection: BaseDatabaseWrapper) -> list[Finding]:
    kind = _filesystem_of(str(connection.settings_dict.get("NAME") or ""))
    if not kind.startswith(NETWORK_DISKS):
        return []
    return [
        Finding(
            id="W043",
            message=f"its file lies on a network disk ({kind}), where locks may not hold and no write-ahead log works.",
            hint="Keep the file on a disk of the one host that all workers run on, or use PostgreSQL or MariaDB.",
        )
    ]


def _filesystem_of(path: str) -> str:
    """Return the type of the file system that holds a path, as the kernel calls it; empty where nobody can tell."""
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    place = Path(path).resolve()
    # The last of several at one point is the one that is seen.
    held_by = [(len(point), number, kind) for number, (point, kind) in enumerate(mounts) if place.is_relative_to(point)]
    return max(held_by, default=(0, 0, ""))[2]


def _asked(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return row[0] if row else None


def _postgresql(connection: BaseDatabaseWrapper) -> list[Finding]:
    version = int(_asked(connection, "SHOW server_version_num"))
    findings = []
    if version < POSTGRESQL_SINCE:
        findings.append(_too_old("PostgreSQL", f"{version // 10000}", "15"))
    if _asked(connection, "SHOW server_encoding") != "UTF8":
        findings.append(_not_utf8("UTF8"))
    return findings


def _pooler(connection: Any) -> list[Finding]:
    connection.ensure_connection()
    if reaches_server(connection.connection):
        return []
    return [
        Finding(
            id="W009",
            message="a pooler stands before it, and one in transaction mode swallows what wakes the workers.",
            hint="Name an alias that goes straight to the server in OPTIONS['listen_database'], "
            "or set OPTIONS['listen'] to False and let workers poll.",
        )
    ]


def _sqlite(connection: BaseDatabaseWrapper) -> list[Finding]:
    version = str(_asked(connection, "SELECT sqlite_version()"))
    findings = []
    if tuple(map(int, version.split(".")[:2])) < SQLITE_SINCE:
        findings.append(_too_old("SQLite", version, "3.37"))
    if str(_asked(connection, "PRAGMA journal_mode")).lower() not in {"wal", "memory"}:
        findings.append(
            Finding(
                id="W001",
                message="its journal is not a write-ahead log, so whoever reads makes the worker wait.",
                hint="Set OPTIONS['init_command'] of the database to 'PRAGMA journal_mode=WAL;'.",
            )
        )
    return findings


def _mysql(connection: Any) -> list[Finding]:
    findings = []
    version: tuple[int, ...] = connection.mysql_version
    name, since = ("MariaDB", MARIADB_SINCE) if connection.mysql_is_mariadb else ("MySQL", MYSQL_SINCE)
    if version < since:
        findings.append(_too_old(name, ".".join(map(str, version)), ".".join(map(str, since))))
    if str(_asked(connection, "SELECT @@default_storage_engine")).lower() != "innodb":
        findings.append(
            Finding(
                id="E008",
                message="its tables are not made in InnoDB, the only engine with transactions and row locks.",
                hint="Set default_storage_engine=InnoDB on the server.",
            )
        )
    strays = int(_asked(connection, STRAY_TABLES))
    if strays:
        findings.append(
            Finding(
                id="E008",
                message=f"{strays} of its tables of tasks are not InnoDB, the only engine with transactions and row locks.",
                hint="Change each of them: ALTER TABLE durable_tasks_taskrun ENGINE=InnoDB, and so on.",
            )
        )
    if str(_asked(connection, "SELECT @@character_set_database")).lower() != "utf8mb4":
        findings.append(_not_utf8("utf8mb4"))
    return findings


def _limits_of_mysql(connection: Any, lease_seconds: float, payload_bytes: int) -> list[Finding]:
    findings = []
    patience = int(_asked(connection, "SELECT @@innodb_lock_wait_timeout"))
    if patience > lease_seconds / 3:
        findings.append(
            Finding(
                id="W010",
                message=f"a statement waits up to {patience} s for a lock, and a lease is {lease_seconds:g} s.",
                hint=f"Set innodb_lock_wait_timeout to {max(1, int(lease_seconds / 3))} or less "
                "(in OPTIONS['init_command'] of the database, or on the server).",
            )
        )
    packet = int(_asked(connection, "SELECT @@max_allowed_packet"))
    if packet < 2 * payload_bytes:
        findings.append(
            Finding(
                id="W011",
                message=f"it takes statements of {packet:,} bytes, and arguments or results may have {payload_bytes:,}.",
                hint=f"Set max_allowed_packet to {2 * payload_bytes} or more, or OPTIONS['max_payload_bytes'] lower.",
            )
        )
    return findings


def _too_old(name: str, version: str, since: str) -> Finding:
    return Finding(id="E008", message=f"it is {name} {version}.", hint=f"Tasks need {name} {since} or newer.")


def _not_utf8(wanted: str) -> Finding:
    return Finding(
        id="W004",
        message=f"its character set is not {wanted}, so a message with other characters will fail to be written.",
        hint=f"Make the database anew with {wanted}.",
    )
