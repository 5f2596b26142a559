"""The way to stop an attempt from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django_tasks_durable.exceptions import ControlFlow

# One lock for all: it is held for a few instructions, and a control is made for every run.
_lock = threading.Lock()


class AttemptControl:
    """Stops one attempt at its next primitive. Thread-safe; the first reason stands."""

    __slots__ = ("_callbacks", "reason")

    def __init__(self) -> None:
        self.reason: ControlFlow | None = None
        self._callbacks: list[Callable[[], object]] = []

    def stop(self, reason: ControlFlow) -> None:
        """Ask the attempt to stop."""
        with _lock:
            if self.reason is not None:
                return
            self.reason = reason
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Call this once when the attempt is asked to stop; at once if it was. It must not raise."""
        with _lock:
            if self.reason is None:
                self._callbacks.append(callback)
                return
        callback()

    def remove_callback(self, callback: Callable[[], object]) -> None:
        """Forget a callback."""
        with _lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def pause(self, seconds: float) -> None:
        """Wait on this thread, or until the attempt is asked to stop."""
        stopped = threading.Event()
        self.add_callback(stopped.set)
        stopped.wait(seconds)
        self.remove_callback(stopped.set)
