"""What tells a worker early that there is something to claim. Polling is always on; these only shorten the wait."""

from __future__ import annotations

import logging
import threading

from django_tasks_durable.conf import Options
from django_tasks_durable.store.vendors import listening

from .writer import Writer

logger = logging.getLogger("django_tasks_durable.worker")


class Waker(threading.Thread):
    """Waits for hints from the database on a connection of its own and wakes the writer."""

    def __init__(self, hints: listening.Hints, writer: Writer) -> None:
        super().__init__(name="dtd-wake", daemon=True)
        self._hints = hints
        self._writer = writer
        self._stopping = threading.Event()
        #: Why nothing is heard just now; empty while all is well.
        self.deaf_because = ""

    def stop(self) -> None:
        """Listen no more."""
        self._stopping.set()

    def run(self) -> None:
        """Listen until stopped; a lost connection is opened again, with polling meanwhile."""
        delay = 0.5
        while not self._stopping.is_set():
            try:
                for hinted in self._hints.wait(self._stopping):
                    if self.deaf_because:
                        logger.info("Listening for work again")
                    delay, self.deaf_because = 0.5, ""
                    if hinted:
                        self._writer.wake()
            except Exception as error:
                if not self.deaf_because:
                    logger.warning("Cannot listen for work (%s); polling meanwhile", error)
                self.deaf_because = str(error) or type(error).__name__
                self._stopping.wait(delay)
                delay = min(delay * 2, 30.0)
        self._hints.close()


def wakers(using: str, options: Options, writer: Writer) -> list[Waker]:
    """Return what can wake a worker on this database, if anything."""
    hints = listening.hints(options.listen_database or using) if options.listen else None
    return [] if hints is None else [Waker(hints, writer)]
