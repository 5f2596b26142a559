"""`python -m tests.upgrade write FILE` freezes rows of today's code; `read FILE` opens frozen ones on a new database.

A fixture is written once, by the code whose name it carries, and never again: `0001.json` is what the first migration held.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
TABLES = "durable_tasks_"


def write(file: Path) -> None:
    """Let a run of each kind come as far as it can, and keep the rows."""
    from django.core.management import call_command

    from django_tasks_durable import channel, testing

    call_command("migrate", verbosity=0)
    from . import tasks

    tasks.ask.using(dedupe_key="ask:ann", channels=[channel.scope("team:1")], metadata={"by": "ann"}).enqueue("ann")
    tasks.values.using(idempotency_key="values").enqueue()
    tasks.fail.enqueue([])
    tasks.nap.using(priority=5).enqueue()
    tasks.parent.enqueue()
    tasks.Tally.enqueue()
    testing.drain()
    tasks.ask.using(queue_name="later", supersede_key="ask").enqueue("bob").cancel("changed my mind")
    tasks.nap.using(queue_name="later").enqueue()
    call_command("tasks", "pause", "later", stdout=io.StringIO())
    # Tracebacks tell where this project lay.
    told = json.dumps(rows(), indent=1, default=str).replace(str(ROOT), "/srv/project")
    file.write_text(told + "\n")


def rows() -> dict[str, Any]:
    """Return the rows of our tables, with the names of their columns."""
    from django.db import connection

    held = {}
    with connection.cursor() as cursor:
        for table in sorted(name for name in connection.introspection.table_names(cursor) if name.startswith(TABLES)):
            cursor.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            held[table] = {"columns": names, "rows": [list(row) for row in cursor.fetchall()]}
    return held


def read(file: Path) -> None:
    """Put the rows where the migration that they are named after leads, migrate to today, and go on with every run."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", "durable_tasks", file.stem, verbosity=0)
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table, held in json.loads(file.read_text()).items():
            # The first migration may have put in rows of its own.
            cursor.execute(f"DELETE FROM {table}")
            columns, places = ", ".join(held["columns"]), ", ".join(["%s"] * len(held["columns"]))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", held["rows"])
    call_command("migrate", verbosity=0)
    call_command("check", databases=["default"], stdout=io.StringIO())
    from . import reading

    reading.everything()


def main() -> None:
    """Do what the command line says, on a database that goes with this process unless DATABASE_URL names one."""
    import django

    act, file = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/upgrade.sqlite3")
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
        django.setup()
        {"write": write, "read": read}[act](Path(file))


if __name__ == "__main__":
    main()
