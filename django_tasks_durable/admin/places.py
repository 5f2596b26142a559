"""Which database the admin looks at, what it masks there, and which queues there are."""

from __future__ import annotations

from django.conf import settings

from django_tasks_durable.conf import durable_aliases
from django_tasks_durable.snapshots.places import database as database
from django_tasks_durable.snapshots.places import redacted_keys as redacted_keys


def queue_names() -> list[str]:
    """Return the queues that the settings name."""
    return sorted({name for alias in durable_aliases() for name in settings_queues(alias)})


def settings_queues(alias: str) -> list[str]:
    """Return the queues that one backend's settings name; Django's default is one named "default"."""
    return [str(name) for name in settings.TASKS.get(alias, {}).get("QUEUES", ["default"])]
