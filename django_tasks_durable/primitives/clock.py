"""The clocks: durations from this process, instants from the database, and a way for tests to stop both.

Nothing else in the package asks the operating system for the time.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class _Stopped:
    """The two readings that a stopped clock shows."""

    at: datetime
    monotonic: float


_lock = threading.Lock()
_stopped: _Stopped | None = None
# What stopping and advancing added to the monotonic clock, so that it never runs backwards when it starts again.
_ahead = 0.0


def monotonic() -> float:
    """Return seconds for measuring durations; comparable only within this process."""
    stopped = _stopped
    return stopped.monotonic if stopped is not None else time.monotonic() + _ahead


def frozen_at() -> datetime | None:
    """Return the instant at which a test stopped the clocks, None when they run."""
    stopped = _stopped
    return stopped.at if stopped is not None else None


def host_now() -> datetime:
    """Return this host's instant, for what is only shown. The database's clock decides everything else."""
    stopped = _stopped
    return stopped.at if stopped is not None else datetime.now(UTC)


def unix_milliseconds() -> int:
    """Return this host's milliseconds since 1970, for ids; a stopped clock does not stop these."""
    return time.time_ns() // 1_000_000


def freeze(at: datetime | None = None) -> datetime:
    """Stop both clocks and return the instant at which they now stand. ``at`` must be aware."""
    global _stopped
    if at is not None and at.tzinfo is None:
        raise ValueError("The clock can only be frozen at an aware datetime.")
    with _lock:
        reading = _stopped.monotonic if _stopped is not None else time.monotonic() + _ahead
        instant = at or (_stopped.at if _stopped is not None else datetime.now(UTC))
        _stopped = _Stopped(instant.astimezone(UTC), reading)
        return _stopped.at


def advance(seconds: float) -> datetime:
    """Move both stopped clocks on and return the new instant."""
    global _stopped
    if seconds < 0:
        raise ValueError("A clock does not run backwards; advance() takes a positive number of seconds.")
    with _lock:
        if _stopped is None:
            raise RuntimeError("The clock runs. Stop it with freeze() before you advance it.")
        _stopped = _Stopped(_stopped.at + timedelta(seconds=seconds), _stopped.monotonic + seconds)
        return _stopped.at


def unfreeze() -> None:
    """Let both clocks run again; the monotonic one goes on from where it stood."""
    global _stopped, _ahead
    with _lock:
        if _stopped is not None:
            _ahead = max(_ahead, _stopped.monotonic - time.monotonic())
            _stopped = None
