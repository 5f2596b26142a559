"""django-tasks-db: its one command, with the interval between two looks at 50 ms (its default is a second)."""

from __future__ import annotations

from tests.benchmarks.peers.drivers import of_django


def main() -> None:
    """Do what the command line says."""
    of_django.configure("django_tasks_db", "django_tasks_db.DatabaseBackend")
    of_django.run("db_worker", interval=0.05, startup_delay=False, reload=False, verbosity=0)
