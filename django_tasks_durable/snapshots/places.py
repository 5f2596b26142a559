"""Which database the doors look at, and what they mask there."""

from __future__ import annotations

from django_tasks_durable.conf import Options, durable_aliases, get_options


def first() -> Options:
    """Return the options of the first durable backend, which are those of the doors."""
    return _options()[0]


def database() -> str:
    """Return the alias of the database that holds the runs: that of the first durable backend."""
    return first().database


def redacted_keys() -> tuple[str, ...]:
    """Return the keys whose values nobody sees."""
    return tuple(dict.fromkeys(key for options in _options() for key in options.redact_keys))


def _options() -> list[Options]:
    return [get_options(alias) for alias in durable_aliases()] or [Options()]
