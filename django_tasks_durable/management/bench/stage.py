"""How a process of ``benchtasks`` is set up: the project's databases, pointed at the place, and nothing else."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from .place import Address

VARIABLE = "DTD_BENCH_STAGE"
MODULE = "django_tasks_durable.management.bench"
BACKEND = "django_tasks_durable.DurableBackend"


def environment(address: Address, options: dict[str, Any]) -> dict[str, str]:
    """Return the environment in which a child process finds the stage."""
    paths = [path for path in sys.path if path]
    return {
        **os.environ,
        VARIABLE: json.dumps({"address": asdict(address), "options": options}),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }


def set_up() -> None:
    """Set Django up in this process on the stage that its environment names.

    The project's own apps and receivers stay out: they are not what is measured, and must not hear of these runs.
    """
    import django
    from django.conf import settings

    stage = json.loads(os.environ[VARIABLE])
    settings.DATABASES = {"default": _entry(settings.DATABASES, **stage["address"])}
    settings.DATABASE_ROUTERS = []
    settings.TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": stage["options"]}}
    settings.INSTALLED_APPS = [*(["django_tasks"] if django.VERSION < (6, 0) else []), "django_tasks_durable"]
    settings.MIGRATION_MODULES = {}
    # DEBUG keeps every query in memory.
    settings.DEBUG = False
    settings.USE_TZ = True
    # Django's own logging, as in most projects; the project's may write a line a task to who knows where.
    settings.LOGGING = {}
    django.setup()


def _entry(databases: dict[str, Any], alias: str, entry: dict[str, Any], startup: str) -> dict[str, Any]:
    base = dict(databases[alias])
    options = {key: value for key, value in base.get("OPTIONS", {}).items() if key != "pool"}
    if startup:
        options["options"] = f"{options.get('options', '')} {startup}".strip()
    return {**base, **entry, "OPTIONS": options}
