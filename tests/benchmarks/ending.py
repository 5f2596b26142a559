"""How a benchmark ends that is told to."""

from __future__ import annotations

import signal
from types import FrameType


def end_on_sigterm() -> None:
    """Let SIGTERM leave this process as Ctrl-C does, by way of every `finally`."""

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # one is enough: what is being cleared away is to be finished
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
