"""SIGTERM and SIGINT: the first asks to stop, the second to stop at once."""

from __future__ import annotations

import logging
import queue
import signal
import threading
from types import FrameType
from typing import Protocol

logger = logging.getLogger("django_tasks_durable.worker")
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """What can be asked to stop."""

    def stop(self) -> None:
        """Stop when what runs has ended."""

    def abort(self) -> None:
        """Stop at once."""


class StopSignals:
    """Latches signals from the first moment, so that one that comes while starting is not lost.

    A handler interrupts the main thread wherever it is, perhaps inside a lock that ``stop()`` takes as well. So it only puts
    the signal into a queue that is made for that, and a thread passes it on.
    """

    def __init__(self) -> None:
        self._heard: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in SIGNALS:
            signal.signal(number, self._hear)

    def direct_to(self, target: Stoppable) -> None:
        """Pass signals on to a worker, also those that came before there was one."""
        threading.Thread(target=self._pass_on, args=(target,), name="dtd-signals", daemon=True).start()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard.put(number)

    def _pass_on(self, target: Stoppable) -> None:
        first = signal.Signals(self._heard.get()).name
        logger.info("%s: no new tasks; what runs may end. A second signal stops at once", first)
        target.stop()
        while True:
            again = signal.Signals(self._heard.get()).name
            logger.info("%s again: what runs is given back", again)
            target.abort()
