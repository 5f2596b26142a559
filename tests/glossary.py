"""The words of this project: each is what the docstring of its own place in the code says."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

from django.db.models import Model

PACKAGE = "django_tasks_durable"
# The word, and the class or module whose docstring begins with what it is.
WORDS = {
    "attempt": "engine.attempt",
    "Backoff": "authoring.backoff.Backoff",
    "channel": "primitives.channels",
    "Checkpoint": "models.Checkpoint",
    "Disposition": "primitives.keys.Disposition",
    "Drift": "exceptions.Drift",
    "Executor": "executors.base.Executor",
    "FileRef": "primitives.files.FileRef",
    "History": "engine.replay.History",
    "Hub": "live.hub.Hub",
    "KeptKey": "models.KeptKey",
    "lane": "primitives.lanes",
    "Lease": "primitives.lease.Lease",
    "LeaseLost": "exceptions.LeaseLost",
    "Link": "primitives.links.Link",
    "maintenance": "worker.maintenance",
    "Message": "models.Message",
    "OpenKey": "models.OpenKey",
    "partial": "engine.partials",
    "portable snapshot": "engine.portable",
    "Queue": "models.Queue",
    "replay": "engine.replay",
    "retention": "store.retention",
    "Rollup": "models.Rollup",
    "RollupCursor": "models.rollup.RollupCursor",
    "RunChannel": "models.RunChannel",
    "Schedule": "models.Schedule",
    "scope": "engine.frame.Scope",
    "slice": "engine.slice.Slice",
    "Slot": "models.Slot",
    "Snapshot": "snapshots.shapes.RunSnapshot",
    "state": "primitives.status.State",
    "status": "primitives.status.RunStatus",
    "Step": "models.Step",
    "Suspend": "exceptions.Suspend",
    "Task": "authoring.tasks.DurableTask",
    "TaskRun": "models.TaskRun",
    "Tick": "models.Tick",
    "veil": "snapshots.policy.Veil",
    "Wait": "models.Wait",
    "wake reason": "primitives.status.WakeReason",
    "Worker": "models.Worker",
    "Workflow": "authoring.workflow.Workflow",
    "writer": "worker.writer.Writer",
}


def place(path: str) -> Any:
    """Return the class or module of a word."""
    return resolve_name(f"{PACKAGE}.{path}")


def lines() -> Iterator[str]:
    """Give the rows of the glossary."""
    yield "| Word | Is | Where |\n|---|---|---|"
    for word, path in sorted(WORDS.items(), key=lambda item: item[0].lower()):
        found = place(path)
        said = " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")
        is_table = inspect.isclass(found) and issubclass(found, Model)
        where = f"`{path}`" + (f", table `{found._meta.db_table}`" if is_table else "")
        yield f"| **{word}** | {said} | {where} |"
