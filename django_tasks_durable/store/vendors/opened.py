"""The connections that a thread has opened: what must be looked after when a task ends."""

from __future__ import annotations

import threading
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_here = threading.local()


def opened() -> list[BaseDatabaseWrapper]:
    """Return the Django connections of this thread that have been opened, whatever became of them.

    Asking Django for them costs a task-local look-up per alias, which is more than a small task itself; so each is noted when
    it opens, and those from before the first call are asked for once.
    """
    known: list[BaseDatabaseWrapper] | None = getattr(_here, "connections", None)
    if known is None:
        known = _here.connections = list(connections.all(initialized_only=True))
    return known


def is_closed(raw: Any) -> bool:
    """Tell, without a query, whether a driver's connection was closed behind Django's back."""
    try:
        # Each driver has one of these; the last raises on one that is closed.
        if (closed := getattr(raw, "closed", None)) is not None:
            return bool(closed)
        if (is_open := getattr(raw, "open", None)) is not None:
            return not is_open
        return bool(raw.total_changes < 0)
    except Exception:
        return True


def _note(sender: object, connection: BaseDatabaseWrapper, **_: object) -> None:
    # A connection of the worker's own is not among Django's, and is looked after by its session; nor is the nameless one
    # through which a test database is made.
    known = opened()
    if connection not in known and connection in connections.all(initialized_only=True):
        known.append(connection)


connection_created.connect(_note, dispatch_uid="django_tasks_durable.store.vendors.opened")
