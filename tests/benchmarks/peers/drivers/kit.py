"""What the drivers share: the actions of their command line, and the tally that each worker keeps. Standard library only.

A driver is called as ``driver ACTION [COUNT ...]`` with the server in ``PEER_URL`` and a folder in ``PEER_FOLDER``. What it has
measured it prints as one JSON object. A worker runs until it is killed, and tells through files how far it is.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

URL = os.environ.get("PEER_URL", "")
FOLDER = Path(os.environ.get("PEER_FOLDER", "."))
TELL_SECONDS = 0.02


class Tally:
    """Counts what tasks did in this process, with the moments of the first and of the last."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self.latencies: list[float] = []

    def start(self) -> None:
        """Tell the count to a file of this process from now on, many times a second."""
        threading.Thread(target=self._tell, daemon=True).start()

    def hit(self) -> None:
        """Count one."""
        self.last = time.monotonic()
        if not self.count:
            self.first = self.last
        self.count += 1

    def hit_late(self, sent: float) -> None:
        """Count one, and keep how many milliseconds ago it was sent, on the clock that all processes share."""
        self.latencies.append((time.monotonic() - sent) * 1000)
        self.hit()

    def _tell(self) -> None:
        path, told = FOLDER / f"{os.getpid()}.json", -1
        while True:
            count = self.count
            if count != told:
                facts = {"count": count, "first": self.first, "last": self.last, "latencies": self.latencies}
                beside = path.with_suffix(".new")
                beside.write_text(json.dumps(facts))
                beside.replace(path)
                told = count
            time.sleep(TELL_SECONDS)


TALLY = Tally()


def rate(count: int, work: Callable[[], Any]) -> None:
    """Do the work once and print how many of its parts were done in a second."""
    began = time.monotonic()
    work()
    say(per_s=count / (time.monotonic() - began))


def send_each(count: int, send: Callable[[float], Any], pause: float = 0.03) -> None:
    """Send jobs one at a time, each with its moment, so that a worker can tell how late they are."""
    for _number in range(count):
        send(time.monotonic())
        time.sleep(pause)


def say(**facts: Any) -> None:
    """Print what was measured."""
    print(json.dumps(facts), flush=True)


def run(**actions: Callable[..., Any]) -> None:
    """Do the action that the command line names, with its counts."""
    name, *counts = sys.argv[1:]
    actions[name](*map(int, counts))
