"""What a test of tasks needs: run what is due right here, stop the clocks, and hold a store of one's own to its contract."""

from __future__ import annotations

from .running import advance, drain, frozen
from .snapshot_stores import SnapshotStoreContract

__all__ = ["SnapshotStoreContract", "advance", "drain", "frozen"]
