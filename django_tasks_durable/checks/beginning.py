"""What a project is without at first: TASKS in its settings, and the tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks

from django_tasks_durable.store.vendors import fitness

from .usable import reachable


def check_named(app_configs: object = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Look for TASKS. Who names another backend has chosen it, as settings for tests do."""
    if settings.is_overridden("TASKS"):  # type: ignore[misc]  # the stubs know the settings and not their methods
        return []
    return [
        checks.Warning(
            "The app is installed and the settings have no TASKS, so tasks run at once where they are enqueued.",
            hint="Add TASKS = {'default': {'BACKEND': 'django_tasks_durable.DurableBackend'}} to the settings.",
            id="durable_tasks.W042",
        )
    ]


def check_migrated(
    app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Look for the tables; runs only with ``check --database``, since ``migrate`` looks before it makes them."""
    if sys.argv[1:2] == ["migrate"]:
        return []
    missing = fitness.missing_tables()
    return [
        checks.Warning(
            f"The database {options.database!r} of TASKS[{alias!r}]: {missing.message}",
            hint=missing.hint,
            id=f"durable_tasks.{missing.id}",
        )
        for alias, options in reachable(databases)
        if not fitness.has_tables(options.database)
    ]
