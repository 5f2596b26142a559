"""The portable snapshot of a run: out of one store as plain JSON, and into another, of this package or of awaitly."""

from __future__ import annotations

from .export import export_snapshot, resume_state_of, snapshot_of
from .housekeeping import (
    DeletedSnapshots,
    clear_snapshots,
    delete_snapshot,
    delete_snapshots,
    has_snapshot,
    pending_snapshots,
)
from .merging import merge_snapshots
from .migrations import Migration, compose, migrate, remove_key, rename_key, transform_value
from .restoring import Restored, arestore, restore
from .shapes import Shape, Snapshot, Steps, looks_like_snapshot, shape_of
from .shelves import KeptSnapshot, MemorySnapshots, SnapshotStore
from .validation import Validation, assert_valid_snapshot, validate_snapshot

__all__ = [
    "DeletedSnapshots",
    "KeptSnapshot",
    "MemorySnapshots",
    "Migration",
    "Restored",
    "Shape",
    "Snapshot",
    "SnapshotStore",
    "Steps",
    "Validation",
    "arestore",
    "assert_valid_snapshot",
    "clear_snapshots",
    "compose",
    "delete_snapshot",
    "delete_snapshots",
    "export_snapshot",
    "has_snapshot",
    "looks_like_snapshot",
    "merge_snapshots",
    "migrate",
    "pending_snapshots",
    "remove_key",
    "rename_key",
    "restore",
    "resume_state_of",
    "shape_of",
    "snapshot_of",
    "transform_value",
    "validate_snapshot",
]
