"""Two snapshots of one run as one: the older as the base, the newer as what has changed since."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django_tasks_durable.exceptions import SnapshotFormat, SnapshotMismatch

from .shapes import FORMAT, Document, Shape
from .validation import assert_valid_snapshot


def merge_snapshots(base: object, delta: object) -> dict[str, Any]:
    """Return a new snapshot with the steps of both; where both have something, the delta's stands.

    The execution is the delta's. Metadata is merged by its outermost keys. A warning of the base goes with its step when the
    delta has that step. Raise SnapshotFormat, and SnapshotMismatch for snapshots of two tasks.
    """
    older, newer = assert_valid_snapshot(base), assert_valid_snapshot(delta)
    if Shape.RESUME_STATE in (older.shape, newer.shape):
        raise SnapshotFormat(["$.kind: a ResumeState has no execution to merge; give two WorkflowSnapshots"])
    if older.workflow and newer.workflow and older.workflow != newer.workflow:
        raise SnapshotMismatch("task", older.workflow, newer.workflow)
    before, after = older.document, newer.document
    merged: dict[str, Any] = {"formatVersion": FORMAT}
    if older.workflow or newer.workflow:
        merged["workflowName"] = newer.workflow or older.workflow
    merged["steps"] = {**before["steps"], **after["steps"]}
    merged["execution"] = after["execution"]
    if metadata := {**older.metadata, **newer.metadata}:
        merged["metadata"] = metadata
    kept = [warning for warning in older.warnings if warning["stepId"] not in after["steps"]]
    if warnings := [*kept, *newer.warnings]:
        merged["warnings"] = warnings
    if older.shape is Shape.RUN or newer.shape is Shape.RUN:
        merged["durable"] = _durable(older.shape, newer.shape, before, after)
    # Validated once more: a delta that leaves out what it does not know must not make a snapshot that nobody can read.
    return dict(deepcopy(assert_valid_snapshot(merged).document))


def _durable(older: Shape, newer: Shape, before: Document, after: Document) -> dict[str, Any]:
    if older is not newer:
        raise SnapshotMismatch("shape", older.value, newer.value)
    base, delta = before["durable"], after["durable"]
    waits = {wait["path"]: wait for wait in base["waits"]} | {wait["path"]: wait for wait in delta["waits"]}
    order = [path for path in base["order"] if path not in after["steps"]]
    # What was written again was written later.
    return {**base, **delta, "waits": list(waits.values()), "order": [*order, *delta["order"]]}
