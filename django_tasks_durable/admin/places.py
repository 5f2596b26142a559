"""Which database the admin looks at, and what it masks there."""

from __future__ import annotations

from django.conf import settings

from django_tasks_durable.conf import Options, durable_aliases, get_options


def database() -> str:
    """Return the alias of the database that holds the runs: that of the first durable backend."""
    return _options()[0].database


def redacted_keys() -> tuple[str, ...]:
    """Return the keys whose values nobody sees."""
    return tuple(dict.fromkeys(key for options in _options() for key in options.redact_keys))


def queue_names() -> list[str]:
    """Return the queues that the settings name."""
    return sorted({name for alias in durable_aliases() for name in settings_queues(alias)})


def settings_queues(alias: str) -> list[str]:
    """Return the queues that one backend's settings name; Django's default is one named "default"."""
    return [str(name) for name in settings.TASKS.get(alias, {}).get("QUEUES", ["default"])]


def _options() -> list[Options]:
    return [get_options(alias) for alias in durable_aliases()] or [Options()]
