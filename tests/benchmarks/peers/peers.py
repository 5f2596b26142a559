"""Which peers are measured, what each needs and what it can do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rows:
    """Where a peer keeps its jobs, so that one of them can be multiplied: the words for those that wait and those that ended.

    ``ended`` is empty where jobs that ended are not kept there; ``due`` is the column with the instant before which none begins.
    """

    table: str
    waiting: str
    ended: str
    due: str


@dataclass(frozen=True)
class Peer:
    """One system. ``jobs`` is how many no-ops a worker drains; quick ones need more to be measured at all."""

    name: str
    driver: str
    needs: tuple[str, ...]
    how: str
    server: str = "postgresql"
    jobs: int = 2_000
    has_bulk: bool = False
    has_steps: bool = False
    rows: Rows | None = None


PEERS = (
    Peer(
        "Procrastinate",
        "procrastinate",
        ("procrastinate>=3.10", "psycopg[binary,pool]"),
        "async tasks, 20 at once, one connection pool; woken by NOTIFY; done jobs are kept; claims and ends job by job",
        has_bulk=True,
        rows=Rows("procrastinate_jobs", "todo", "succeeded", "scheduled_at"),
    ),
    Peer(
        "django-tasks-db",
        "django_tasks_db",
        ("Django>=6.0", "django-tasks-db>=0.13", "psycopg[binary]"),
        "sync tasks, one after the other; looks every 50 ms instead of every second; done jobs are kept",
        jobs=1_000,
        rows=Rows("django_tasks_database_dbtaskresult", "READY", "SUCCESSFUL", "run_after"),
    ),
    Peer(
        "django-absurd",
        "django_absurd",
        ("Django>=6.0", "django-absurd>=1.0", "psycopg[binary]"),
        "sync tasks in batches of 100; looks every 50 ms instead of every 250; done tasks are kept",
    ),
    Peer(
        "pgqueuer",
        "pgqueuer",
        ("pgqueuer>=1.6", "asyncpg", "uvloop"),
        "async tasks on asyncpg and uvloop in batches of 100; woken by NOTIFY; done jobs are deleted and logged beside; "
        "writes are not fenced",
        jobs=30_000,
        has_bulk=True,
        rows=Rows("pgqueuer", "queued", "", "execute_after"),
    ),
    Peer(
        "DBOS",
        "dbos",
        ("dbos>=3.4", "psycopg[binary]"),
        "async workflows, 200 at once in a worker; looks every 50 ms instead of every second; done workflows are kept",
        has_steps=True,
    ),
    Peer(
        "Absurd",
        "absurd",
        ("absurd-sdk>=0.5", "django-absurd>=1.0", "psycopg[binary]"),
        "sync tasks in batches of 100, one after the other; 200 workflows by its async worker, 50 at once; looks every 50 ms "
        "instead of every 250; done tasks are kept",
        has_steps=True,
    ),
    Peer(
        "Huey on SQLite",
        "huey",
        ("huey>=3.5",),
        "WAL with synchronous FULL, one thread, looks every 50 ms; a row is deleted when it is claimed and nothing is written at "
        "the end: at most once",
        server="none",
        jobs=10_000,
    ),
    Peer(
        "Celery with Redis",
        "celery",
        ("celery[redis]>=5.7",),
        "acks late, one solo process a worker (its quickest for no-ops), 64 prefetched, no results; Redis appends to its file and "
        "syncs that every second: the last second may be lost",
        server="redis",
    ),
)
