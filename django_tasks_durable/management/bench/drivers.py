"""The yardsticks in the SQL and through the driver of each brand of database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections

from .limits import Held, Limits


class PostgresLimits(Limits):
    """psycopg, prepared and binary."""

    vendor = "postgresql"
    asked = {
        "version": "SHOW server_version",
        "fsync": "SHOW fsync",
        "synchronous_commit": "SHOW synchronous_commit",
        "shared_buffers": "SHOW shared_buffers",
    }

    own_options = frozenset(
        {"cursor_factory", "context", "prepare_threshold", "server_side_binding", "isolation_level"}
    )
    tables = (
        "CREATE TABLE limit_run (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "queue_name text NOT NULL DEFAULT 'default', rank int NOT NULL DEFAULT 0, status smallint NOT NULL DEFAULT 0, "
        "fence bigint NOT NULL DEFAULT 0, due_at timestamptz NOT NULL DEFAULT now(), args text NOT NULL DEFAULT '[]', "
        "result text, started_at timestamptz, finished_at timestamptz)",
        "CREATE INDEX limit_run_ready ON limit_run (queue_name, rank, due_at, id) WHERE status = 0",
        "CREATE TABLE limit_held (id bigint PRIMARY KEY, fence bigint NOT NULL, last_sequence int NOT NULL) "
        "WITH (fillfactor = 50)",
        "CREATE TABLE limit_step (run_id bigint NOT NULL, sequence int NOT NULL, value text NOT NULL, "
        "created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run_id, sequence))",
    )

    holding = ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM limit_held LIMIT 1")

    def open(self, django: Any) -> Any:
        raw = super().open(django)
        raw.autocommit = True
        raw.prepare_threshold = 0
        return raw

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self.raw.execute(sql, parameters, binary=True)

    def settle(self) -> None:
        self.run("ANALYZE limit_run")

    def insert(self) -> None:
        self.run("INSERT INTO limit_run (args) VALUES (%s)", ("[]",))

    def bulk(self, rows: int) -> None:
        self.run("INSERT INTO limit_run (args) SELECT * FROM unnest(%s::text[])", (["[]"] * rows,))

    def copy(self, rows: int) -> None:
        with self.raw.cursor().copy("COPY limit_run (args) FROM STDIN") as lines:
            lines.write("[]\n" * rows)

    def claim(self, batch: int) -> Held:
        cursor = self.run(
            "UPDATE limit_run SET status = 1, fence = fence + 1, started_at = now() WHERE id = ANY(ARRAY("
            "SELECT id FROM limit_run WHERE status = 0 AND queue_name = 'default' AND due_at <= now() "
            "ORDER BY rank, due_at, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)) RETURNING id, fence, args",
            (batch,),
        )
        return [(row[0], row[1]) for row in cursor.fetchall()]

    def complete(self, held: Held) -> None:
        self.run(
            "UPDATE limit_run r SET status = 2, result = 'null', finished_at = now() "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS w(id, fence) "
            "WHERE r.id = w.id AND r.fence = w.fence AND r.status = 1 RETURNING r.id",
            ([run_id for run_id, _ in held], [fence for _, fence in held]),
        ).fetchall()

    def add_runs(self, count: int) -> None:
        self.run("INSERT INTO limit_held SELECT number, 1, 0 FROM generate_series(1, %s::bigint) AS number", (count,))

    def steps(self, runs: Sequence[int]) -> None:
        self.run(
            "WITH w AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS w(id, fence, value)), "
            "held AS MATERIALIZED (SELECT r.id FROM limit_held r JOIN w ON r.id = w.id WHERE r.fence = w.fence "
            "ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED), "
            "up AS (UPDATE limit_held r SET last_sequence = r.last_sequence + 1 FROM w, held "
            "WHERE r.id = w.id AND held.id = r.id RETURNING r.id, r.last_sequence, w.value), "
            "s AS (INSERT INTO limit_step (run_id, sequence, value) SELECT id, last_sequence, value FROM up) "
            "SELECT id, last_sequence FROM up",
            (list(runs), [1] * len(runs), ["null"] * len(runs)),
        ).fetchall()

    def empty(self) -> None:
        self.run("TRUNCATE limit_run, limit_step")


class SqliteLimits(Limits):
    """Python's sqlite3, every transaction begun IMMEDIATE."""

    vendor = "sqlite"
    asked = {
        "version": "SELECT sqlite_version()",
        "journal_mode": "PRAGMA journal_mode",
        "synchronous": "PRAGMA synchronous",
    }

    tables = (
        "CREATE TABLE limit_run (id integer PRIMARY KEY, queue_name text NOT NULL DEFAULT 'default', "
        "rank int NOT NULL DEFAULT 0, status int NOT NULL DEFAULT 0, fence int NOT NULL DEFAULT 0, "
        "due_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), args text NOT NULL DEFAULT '[]', "
        "result text, started_at text, finished_at text)",
        "CREATE INDEX limit_run_ready ON limit_run (queue_name, rank, due_at, id) WHERE status = 0",
        "CREATE TABLE limit_held (id integer PRIMARY KEY, fence int NOT NULL, last_sequence int NOT NULL)",
        "CREATE TABLE limit_step (run_id int NOT NULL, sequence int NOT NULL, value text NOT NULL, "
        "created_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), PRIMARY KEY (run_id, sequence))",
    )
    holding = ("BEGIN", "SELECT 1 FROM limit_held LIMIT 1")
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now')"

    def open(self, django: Any) -> Any:
        django.ensure_connection()
        raw = django.Database.connect(str(django.settings_dict["NAME"]), isolation_level=None, timeout=30)
        # How durable a commit is belongs to the connection, and must be the same on both sides of a ratio.
        with django.cursor() as cursor:
            level = cursor.execute("PRAGMA synchronous").fetchone()[0]
        raw.execute(f"PRAGMA synchronous = {int(level)}")
        return raw

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self.raw.execute(sql, parameters)

    def settle(self) -> None:
        pass

    def insert(self) -> None:
        self.run("INSERT INTO limit_run (args) VALUES (?)", ("[]",))

    def bulk(self, rows: int) -> None:
        self.run("BEGIN IMMEDIATE")
        self.raw.executemany("INSERT INTO limit_run (args) VALUES (?)", [("[]",)] * rows)
        self.run("COMMIT")

    def claim(self, batch: int) -> Held:
        rows = self.run(
            f"UPDATE limit_run SET status = 1, fence = fence + 1, started_at = {self.now} WHERE id IN ("
            "SELECT id FROM limit_run WHERE status = 0 AND queue_name = 'default' AND rank = 0 "
            f"AND due_at <= {self.now} ORDER BY due_at, id LIMIT ?) RETURNING id, fence, args",
            (batch,),
        ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def complete(self, held: Held) -> None:
        self.run("BEGIN IMMEDIATE")
        self.raw.executemany(
            f"UPDATE limit_run SET status = 2, result = 'null', finished_at = {self.now} "
            "WHERE id = ? AND fence = ? AND status = 1",
            held,
        )
        self.run("COMMIT")

    def add_runs(self, count: int) -> None:
        self.raw.executemany("INSERT INTO limit_held VALUES (?, 1, 0)", [(number,) for number in range(1, count + 1)])

    def steps(self, runs: Sequence[int]) -> None:
        number = self.next_sequence()
        self.run("BEGIN IMMEDIATE")
        self.raw.executemany(
            "UPDATE limit_held SET last_sequence = last_sequence + 1 WHERE id = ? AND fence = 1",
            [(run,) for run in runs],
        )
        self.raw.executemany(
            "INSERT INTO limit_step (run_id, sequence, value) VALUES (?, ?, 'null')", [(run, number) for run in runs]
        )
        self.run("COMMIT")

    def empty(self) -> None:
        self.run("DELETE FROM limit_run")
        self.run("DELETE FROM limit_step")


class MySQLLimits(Limits):
    """Whatever driver Django uses for MariaDB and MySQL."""

    vendor = "mysql"
    asked = {
        "version": "SELECT VERSION()",
        "flush_log_at_commit": "SELECT @@innodb_flush_log_at_trx_commit",
        "sync_binlog": "SELECT @@sync_binlog",
    }

    tables = (
        "CREATE TABLE limit_run (id bigint AUTO_INCREMENT PRIMARY KEY, "
        "queue_name varchar(64) NOT NULL DEFAULT 'default', ready_rank int NOT NULL DEFAULT 0, "
        "status smallint NOT NULL DEFAULT 0, fence bigint NOT NULL DEFAULT 0, "
        "due_at datetime(6) NOT NULL DEFAULT NOW(6), args text NOT NULL, result text, "
        "started_at datetime(6), finished_at datetime(6), "
        "INDEX (status, queue_name, ready_rank, due_at, id))",
        "CREATE TABLE limit_held (id bigint PRIMARY KEY, fence bigint NOT NULL, last_sequence int NOT NULL)",
        "CREATE TABLE limit_step (run_id bigint NOT NULL, sequence int NOT NULL, value text NOT NULL, "
        "created_at datetime(6) NOT NULL DEFAULT NOW(6), PRIMARY KEY (run_id, sequence))",
    )

    holding = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT")

    def open(self, django: Any) -> Any:
        raw = super().open(django)
        raw.autocommit(True)
        self.cursor = raw.cursor()
        self.cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        return raw

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        self.cursor.execute(sql, parameters)
        return self.cursor

    def settle(self) -> None:
        pass

    def insert(self) -> None:
        self.run("INSERT INTO limit_run (args) VALUES (%s)", ("[]",))

    def bulk(self, rows: int) -> None:
        self.cursor.executemany("INSERT INTO limit_run (args) VALUES (%s)", [("[]",)] * rows)

    def claim(self, batch: int) -> Held:
        self.run("BEGIN")
        held = self.run(
            "SELECT id, fence + 1, args FROM limit_run WHERE status = 0 AND queue_name = 'default' AND ready_rank = 0 "
            "AND due_at <= NOW(6) ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED",
            (batch,),
        ).fetchall()
        if held:
            marks = ", ".join(["%s"] * len(held))
            self.run(
                f"UPDATE limit_run SET status = 1, fence = fence + 1, started_at = NOW(6) WHERE id IN ({marks})",
                [row[0] for row in held],
            )
        self.run("COMMIT")
        return [(row[0], row[1]) for row in held]

    def complete(self, held: Held) -> None:
        self.run("BEGIN")
        self.cursor.executemany(
            "UPDATE limit_run SET status = 2, result = 'null', finished_at = NOW(6) "
            "WHERE id = %s AND fence = %s AND status = 1",
            list(held),
        )
        self.run("COMMIT")

    def add_runs(self, count: int) -> None:
        self.cursor.executemany(
            "INSERT INTO limit_held VALUES (%s, 1, 0)", [(number,) for number in range(1, count + 1)]
        )

    def steps(self, runs: Sequence[int]) -> None:
        number = self.next_sequence()
        marks = ", ".join(["%s"] * len(runs))
        self.run("BEGIN")
        self.run(f"SELECT id, fence FROM limit_held WHERE id IN ({marks}) ORDER BY id FOR UPDATE SKIP LOCKED", runs)
        self.run(f"UPDATE limit_held SET last_sequence = last_sequence + 1 WHERE id IN ({marks}) AND fence = 1", runs)
        self.cursor.executemany(
            "INSERT INTO limit_step (run_id, sequence, value) VALUES (%s, %s, 'null')", [(run, number) for run in runs]
        )
        self.run("COMMIT")

    def empty(self) -> None:
        self.run("TRUNCATE limit_run")
        self.run("TRUNCATE limit_step")


_LIMITS: dict[str, type[Limits]] = {"postgresql": PostgresLimits, "sqlite": SqliteLimits, "mysql": MySQLLimits}


def limits_of(using: str, seconds: float) -> Limits:
    """Return the yardsticks of an alias's database."""
    return _LIMITS[connections[using].vendor](using, seconds)
