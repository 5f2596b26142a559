"""Django's connections of one thread in the hands of another, while the first stands by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .vendors.opened import opened


def lent() -> list[BaseDatabaseWrapper]:
    """Return the connections that this thread has open, for another to use."""
    return list(opened())


@contextmanager
def borrowed(lent: Sequence[BaseDatabaseWrapper]) -> Iterator[None]:
    """Use another thread's connections on this one, and close what is opened beside them."""
    for connection in lent:
        connection.inc_thread_sharing()
        connections[connection.alias] = connection
    try:
        yield
    finally:
        for connection in opened():
            if connection not in lent:
                connection.close()
        for connection in lent:
            connection.dec_thread_sharing()
