"""Which peers are measured, what each needs and what it can do."""

from __future__ import annotations

from dataclasses import dataclass


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


PEERS = (
    Peer(
        "Procrastinate",
        "procrastinate",
        ("procrastinate>=3.10", "psycopg[binary,pool]"),
        "async tasks, 20 at once; done jobs are kept",
        has_bulk=True,
    ),
    Peer(
        "django-tasks-db",
        "django_tasks_db",
        ("Django>=6.0", "django-tasks-db>=0.13", "psycopg[binary]"),
        "sync tasks; looks every 50 ms instead of every second",
        jobs=1_000,
    ),
    Peer(
        "django-absurd",
        "django_absurd",
        ("Django>=6.0", "django-absurd>=1.0", "psycopg[binary]"),
        "sync tasks in batches of 100; looks every 50 ms instead of every 250",
    ),
    Peer(
        "pgqueuer",
        "pgqueuer",
        ("pgqueuer>=1.6", "asyncpg", "uvloop"),
        "async tasks in batches of 100; done jobs are deleted and logged beside; writes are not fenced",
        jobs=30_000,
        has_bulk=True,
    ),
    Peer(
        "DBOS",
        "dbos",
        ("dbos>=3.4", "psycopg[binary]"),
        "async workflows, 200 at once; looks every 50 ms instead of every second",
        has_steps=True,
    ),
    Peer(
        "Absurd",
        "absurd",
        ("absurd-sdk>=0.5", "django-absurd>=1.0", "psycopg[binary]"),
        "sync tasks in batches of 100, workflows 50 at once; looks every 50 ms instead of every 250",
        has_steps=True,
    ),
    Peer(
        "Huey on SQLite",
        "huey",
        ("huey>=3.5",),
        "one thread; a row is deleted when it is claimed and nothing is written at the end: at most once",
        server="none",
        jobs=10_000,
    ),
    Peer(
        "Celery with Redis",
        "celery",
        ("celery[redis]>=5.7",),
        "acks late, one solo process a worker, no results; Redis appends to its file every second",
        server="redis",
    ),
)
