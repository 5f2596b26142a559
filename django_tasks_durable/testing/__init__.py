"""What a test of tasks needs: run what is due right here, stop the clocks, kill a worker, hold a part to its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .crashing import crash_at
from .looking import answer, assert_enqueued, enqueued, replay
from .running import advance, drain, frozen
from .snapshot_stores import SnapshotStoreContract

if TYPE_CHECKING:
    from .executors import ExecutorContract

__all__ = [
    "ExecutorContract",
    "SnapshotStoreContract",
    "advance",
    "answer",
    "assert_enqueued",
    "crash_at",
    "drain",
    "enqueued",
    "frozen",
    "replay",
]


def __getattr__(name: str) -> Any:
    """Import the contract of executors when it is asked for: it brings tasks of its own, which no other project should know."""
    if name != "ExecutorContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .executors import ExecutorContract

    return ExecutorContract
