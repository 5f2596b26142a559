"""Who the sessions of one hub are: what the database said to one socket of a session is so for its other sockets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from django.contrib.sessions.backends.base import SessionBase

from django_tasks_durable.conf import Options
from django_tasks_durable.primitives import clock

from .audience import Viewer, viewer


class Seen(NamedTuple):
    """Who somebody was at an instant of the monotonic clock, in seconds."""

    viewer: Viewer
    at: float


class Shared(Protocol):
    """Calls a function once for all who ask for the same before it has begun, as ``Hub.shared`` does."""

    async def __call__(self, key: str, function: Callable[[], Seen]) -> Seen:
        """Return what the function returned."""


class Viewers:
    """Asks the database who somebody is, and remembers it for ``reauthorise_seconds``."""

    def __init__(self, shared: Shared, options: Options) -> None:
        self._shared = shared
        self._options = options
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    async def ask(self, user: Any, session: SessionBase | None, *, after: float) -> Seen:
        """Tell who somebody is, as the database said later than ``after``. Raise Barred."""
        # Without a session nobody else is sure to be the same.
        key = f"viewer {session.session_key}" if session is not None and session.session_key else ""
        self._forget()
        known = self._seen.get(key)
        if known is not None and known.at > after:
            return known
        seen = await self._shared(key, partial(_look, user, session, self._options))
        if key:
            self._seen[key] = seen
            self._seen.move_to_end(key)
        return seen

    def _forget(self) -> None:
        oldest = clock.monotonic() - self._options.reauthorise_seconds
        while self._seen and next(iter(self._seen.values())).at <= oldest:
            self._seen.popitem(last=False)


def _look(user: Any, session: SessionBase | None, options: Options) -> Seen:
    at = clock.monotonic()
    return Seen(viewer(user, session, options), at)
