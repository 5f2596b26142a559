"""News for those who watch, sent after the commit that made it true.

A receiver hears hints, never facts: look at a snapshot to learn what is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.dispatch import Signal


class Lifecycle(Signal):
    """A signal that is fed only while somebody listens: ``feed`` hears of it when receivers come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.feed: Callable[[], object] | None = None

    def connect(self, *args: Any, **kwargs: Any) -> None:
        """See Signal.connect()."""
        super().connect(*args, **kwargs)
        self.look()

    def disconnect(self, *args: Any, **kwargs: Any) -> bool:
        """See Signal.disconnect()."""
        disconnected = super().disconnect(*args, **kwargs)
        self.look()
        return disconnected

    def look(self) -> None:
        """Let the feed begin or end."""
        if self.feed is not None:
            self.feed()


#: Something about these runs changed. Arguments: ``using`` (alias), ``run_ids`` (list of UUID).
run_changed = Signal()

#: There may be work in a queue. Arguments: ``using`` (alias), ``queue_name``.
work_available = Signal()

#: A step of a run left its checkpoint. Arguments: ``using`` (alias), ``run_id``, ``path``.
step_completed = Signal()

#: The body of a run is about to begin, on the thread that will carry it. Arguments: ``claimed`` (ClaimedRun).
run_started = Signal()

#: An attempt has ended and that is durable. Arguments: ``using``, ``claimed``, ``outcome`` (of writes), ``status`` (RunStatus).
run_ended = Signal()

#: Something happened in the life of a run: each of its entries once, in order. Arguments: ``using``, ``entry`` (Entry).
#: ``entry.type`` is enqueued, claimed, started, progress, step, retried, waiting, resumed, succeeded, failed, cancelled, stale
#: and so on. The run is read for it, on the thread that heard of the change, only while somebody is connected.
lifecycle = Lifecycle()
