"""Feeds ``signals.lifecycle`` while somebody listens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from django_tasks_durable import signals
from django_tasks_durable.conf import durable_aliases, get_options

if TYPE_CHECKING:
    from django_tasks_durable.snapshots.entries import Entry

logger = logging.getLogger("django_tasks_durable.live")


class LifecycleFeed:
    """Sends ``signals.lifecycle`` while it has receivers: one forwarder for each database of ours."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], None]] = []

    def look(self) -> None:
        """Begin when there are receivers, end when there are none."""
        if signals.lifecycle.receivers and not self._ends:
            # Only when somebody listens: it reads snapshots, which know users, and a project may do without users.
            from .forwarding import forward

            by_database = {get_options(alias).database: alias for alias in reversed(durable_aliases())}
            self._ends = [forward(partial(_send, using), backend=alias) for using, alias in by_database.items()]
        elif not signals.lifecycle.receivers:
            while self._ends:
                self._ends.pop()()


def _send(using: str, entry: Entry) -> None:
    for _, answer in signals.lifecycle.send_robust(sender=None, using=using, entry=entry):
        if isinstance(answer, Exception):
            logger.error("A receiver failed on the entry %s of run %s", entry.type, entry.task_id, exc_info=answer)


def listen() -> None:
    """Feed ``signals.lifecycle``. Called once, when the app is ready."""
    signals.lifecycle.feed = LifecycleFeed().look
    signals.lifecycle.look()  # somebody may have connected before
