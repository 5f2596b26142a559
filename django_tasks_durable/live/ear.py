"""The thread that hears what a database tells of itself, for a tail that then looks."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from uuid import UUID

from django_tasks_durable.primitives import clock
from django_tasks_durable.store.vendors import listening

from .tail import Tail

logger = logging.getLogger("django_tasks_durable.live")
SILENT_SECONDS = 3 * listening.PROBE_SECONDS


class Ear(threading.Thread):
    """Hears the database's hints on a connection of its own, and opens it again when it is lost."""

    def __init__(self, hints: listening.Hints, tail: Tail) -> None:
        super().__init__(name="dtd-live-ear", daemon=True)
        self.last_error = ""
        self._hints = hints
        self._tail = tail
        self._stopping = threading.Event()
        self._heard_at = clock.monotonic()

    def run(self) -> None:
        """Hear until stopped."""
        delay = 0.2
        while not self._stopping.is_set():
            try:
                for words in self._hints.wait(self._stopping):
                    delay = 0.2
                    self._hear(words)
            except Exception as error:
                if not self._stopping.is_set():
                    self._lose(error)
                    self._stopping.wait(delay)
                    delay = min(delay * 2, 10.0)
        self._hints.close()

    def look_after(self) -> None:
        """Cut a connection that has given no sign of life for long: it only looks open."""
        if self._tail.is_hinted and clock.monotonic() - self._heard_at > SILENT_SECONDS:
            self._tail.is_hinted = False
            self._hints.cut()
            self._tail.look_everywhere()

    def stop(self) -> None:
        """Hear no more."""
        self._stopping.set()
        self._hints.cut()

    def _hear(self, words: tuple[str, ...]) -> None:
        self._heard_at = clock.monotonic()
        if not self._tail.is_hinted:
            if self.last_error:
                logger.info("Hearing of changes again")
            self.last_error = ""
            self._tail.is_hinted = True
            self._tail.resync()
        elif "" in words:
            self._tail.look_everywhere()
        elif words:
            self._tail.hint(run_id for word in words for run_id in ids_in(word))

    def _lose(self, error: Exception) -> None:
        if not self.last_error:
            logger.warning("Cannot hear of changes (%s); polling meanwhile", error)
        self.last_error = str(error).strip() or type(error).__name__
        self._tail.is_hinted = False
        self._tail.look_everywhere()


def ids_in(word: str) -> Iterator[UUID]:
    """Read the ids of a hint."""
    # Anybody may notify, so anything may come.
    for text in word.split(","):
        with contextlib.suppress(ValueError):
            yield UUID(text)
