"""A database of one scene: made empty under a name that only this process has, and taken away however the scene ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.test.runner import DiscoverRunner

from django_tasks_durable.live import notify


@contextmanager
def database() -> Iterator[None]:
    """Make the database, with the tables of every app, and drop it in the end."""
    runner = DiscoverRunner(interactive=False, verbosity=0)
    before = runner.setup_databases()
    try:
        yield
    finally:
        notify.close()  # the thread that tells workers of new runs keeps a connection
        runner.teardown_databases(before)
