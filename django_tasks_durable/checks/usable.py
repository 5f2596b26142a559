"""The aliases that checks look at."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from django_tasks_durable.conf import InvalidOptions, Options, durable_aliases, get_options


def usable() -> Iterator[tuple[str, Options]]:
    """Give the aliases whose options can be used; the others have been told by their backend."""
    for alias in durable_aliases():
        try:
            options = get_options(alias)
        except InvalidOptions:
            continue
        if options.database in settings.DATABASES:
            yield alias, options
