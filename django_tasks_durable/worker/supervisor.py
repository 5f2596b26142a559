"""Several worker processes under one: start, start again, pass signals on."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from django_tasks_durable.primitives import clock

logger = logging.getLogger("django_tasks_durable.worker")
LOOK_SECONDS = 0.2
SLOWEST_RESTART = 30.0


class Supervisor:
    """Keeps ``count`` processes of one command alive; a process that dies is started again, later each time it dies young."""

    def __init__(self, command: Sequence[str], count: int, *, restart: bool = True) -> None:
        self.command = list(command)
        self.restart = restart
        self._children: list[subprocess.Popen[bytes] | None] = [None] * count
        self._born = [0.0] * count
        self._delays = [0.5] * count
        self._due = [0.0] * count
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> int:
        """Keep them alive until asked to stop; return 0, or 1 when one of them failed."""
        worst = 0
        while not self._stopping.is_set():
            for place in range(len(self._children)):
                worst |= self._look_at(place)
            if not self.restart and all(child is not None and child.poll() is not None for child in self._children):
                break
            self._stopping.wait(LOOK_SECONDS)
        for child in self._children:
            # One that was told to stop before it could listen has nothing in its hands.
            worst |= child is not None and child.wait() not in (0, -signal.SIGTERM)
        return int(worst)

    def _look_at(self, place: int) -> int:
        child, now = self._children[place], clock.monotonic()
        if child is None:
            if now >= self._due[place]:
                self._start(place, now)
            return 0
        code = child.poll()
        if code is None or not self.restart:
            return int(bool(code))
        young = now - self._born[place] < SLOWEST_RESTART
        self._delays[place] = min(self._delays[place] * 2, SLOWEST_RESTART) if young and code else 0.5
        self._due[place] = now + self._delays[place] if code else now
        self._children[place] = None
        if code:
            logger.error("Worker process %s ended with %s and is started again", child.pid, code)
        return 0

    def _start(self, place: int, now: float) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            # A group of its own: Ctrl-C in a terminal would reach it twice, from there and from here, which means "at once".
            self._children[place] = subprocess.Popen([sys.executable, *self.command], process_group=0)
            self._born[place] = now

    def stop(self) -> None:
        """Pass SIGTERM on and start nothing more."""
        with self._lock:
            self._stopping.set()
            for child in self._children:
                if child is not None and child.poll() is None:
                    child.terminate()

    def abort(self) -> None:
        """Pass the second SIGTERM on."""
        self.stop()
