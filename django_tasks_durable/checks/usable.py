"""The aliases that checks look at, and the databases among theirs that answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.conf import settings

from django_tasks_durable.conf import InvalidOptions, Options, durable_aliases, get_options
from django_tasks_durable.store.vendors import fitness


def usable() -> Iterator[tuple[str, Options]]:
    """Give the aliases whose options can be used; the others have been told by their backend."""
    for alias in durable_aliases():
        try:
            options = get_options(alias)
        except InvalidOptions:
            continue
        if options.database in settings.DATABASES:
            yield alias, options


def reachable(databases: Sequence[str] | None) -> Iterator[tuple[str, Options]]:
    """Give of these aliases those whose database is to be looked at, and answers."""
    for alias, options in usable():
        if options.database in (databases or ()) and fitness.unanswered(options.database) is None:
            yield alias, options
