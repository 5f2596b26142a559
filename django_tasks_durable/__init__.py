"""Durable background tasks for Django, on the database you already have."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .authoring.backoff import Backoff as Backoff
    from .authoring.forms import answer_form as answer_form
    from .authoring.marks import command as command
    from .authoring.marks import query as query
    from .authoring.marks import transition as transition
    from .authoring.schedules import cron as cron
    from .authoring.schedules import every as every
    from .authoring.streaming import RunOutcome as RunOutcome
    from .authoring.streaming import SliceResult as SliceResult
    from .authoring.streaming import StreamItem as StreamItem
    from .authoring.streaming import is_interrupt as is_interrupt
    from .authoring.streaming import is_partial as is_partial
    from .authoring.tasks import DurableTask as DurableTask
    from .authoring.tasks import task as task
    from .authoring.workflow import Workflow as Workflow
    from .backend import DurableBackend as DurableBackend
    from .backend.messages import abroadcast as abroadcast
    from .backend.messages import asend as asend
    from .backend.messages import broadcast as broadcast
    from .backend.messages import send as send
    from .engine.collecting import StepCompleted as StepCompleted
    from .engine.collecting import collector as collector
    from .engine.collecting import is_step_completed as is_step_completed
    from .engine.context import approval as approval
    from .engine.context import approval_url as approval_url
    from .engine.context import get_context as get_context
    from .engine.context import interrupt as interrupt
    from .engine.context import join as join
    from .engine.context import log as log
    from .engine.context import patched as patched
    from .engine.context import pause as pause
    from .engine.context import poll as poll
    from .engine.context import progress as progress
    from .engine.context import recv as recv
    from .engine.context import sleep as sleep
    from .engine.context import spawn as spawn
    from .engine.context import step as step
    from .engine.context import wait as wait
    from .engine.context import wait_event as wait_event
    from .engine.context import webhook as webhook
    from .engine.context import webhook_url as webhook_url
    from .engine.portable import KeptSnapshot as KeptSnapshot
    from .engine.portable import MemorySnapshots as MemorySnapshots
    from .engine.portable import SnapshotStore as SnapshotStore
    from .engine.portable import arestore as arestore
    from .engine.portable import assert_valid_snapshot as assert_valid_snapshot
    from .engine.portable import clear_snapshots as clear_snapshots
    from .engine.portable import compose as compose
    from .engine.portable import delete_snapshot as delete_snapshot
    from .engine.portable import delete_snapshots as delete_snapshots
    from .engine.portable import export_snapshot as export_snapshot
    from .engine.portable import has_snapshot as has_snapshot
    from .engine.portable import looks_like_snapshot as looks_like_snapshot
    from .engine.portable import merge_snapshots as merge_snapshots
    from .engine.portable import pending_snapshots as pending_snapshots
    from .engine.portable import remove_key as remove_key
    from .engine.portable import rename_key as rename_key
    from .engine.portable import restore as restore
    from .engine.portable import snapshot_of as snapshot_of
    from .engine.portable import transform_value as transform_value
    from .engine.portable import validate_snapshot as validate_snapshot
    from .live.forwarding import forward as forward
    from .primitives.channels import channel as channel
    from .primitives.files import FileRef as FileRef
    from .store.database import DatabaseStore as DatabaseStore
    from .store.memory import MemoryStore as MemoryStore

__version__ = "0.1.dev0"

# Names are fetched when they are asked for: importing this package must not import models, which need the app registry.
_HOMES = {
    "Backoff": "authoring.backoff",
    "DatabaseStore": "store.database",
    "DurableBackend": "backend",
    "DurableTask": "authoring.tasks",
    "FileRef": "primitives.files",
    "KeptSnapshot": "engine.portable",
    "MemorySnapshots": "engine.portable",
    "MemoryStore": "store.memory",
    "RunOutcome": "authoring.streaming",
    "SliceResult": "authoring.streaming",
    "SnapshotStore": "engine.portable",
    "StepCompleted": "engine.collecting",
    "StreamItem": "authoring.streaming",
    "Workflow": "authoring.workflow",
    "abroadcast": "backend.messages",
    "answer_form": "authoring.forms",
    "approval": "engine.context",
    "approval_url": "engine.context",
    "arestore": "engine.portable",
    "asend": "backend.messages",
    "assert_valid_snapshot": "engine.portable",
    "broadcast": "backend.messages",
    "channel": "primitives.channels",
    "clear_snapshots": "engine.portable",
    "collector": "engine.collecting",
    "command": "authoring.marks",
    "compose": "engine.portable",
    "cron": "authoring.schedules",
    "delete_snapshot": "engine.portable",
    "delete_snapshots": "engine.portable",
    "every": "authoring.schedules",
    "export_snapshot": "engine.portable",
    "forward": "live.forwarding",
    "get_context": "engine.context",
    "has_snapshot": "engine.portable",
    "interrupt": "engine.context",
    "is_interrupt": "authoring.streaming",
    "is_partial": "authoring.streaming",
    "is_step_completed": "engine.collecting",
    "join": "engine.context",
    "log": "engine.context",
    "looks_like_snapshot": "engine.portable",
    "merge_snapshots": "engine.portable",
    "patched": "engine.context",
    "pause": "engine.context",
    "pending_snapshots": "engine.portable",
    "poll": "engine.context",
    "progress": "engine.context",
    "query": "authoring.marks",
    "recv": "engine.context",
    "remove_key": "engine.portable",
    "rename_key": "engine.portable",
    "restore": "engine.portable",
    "send": "backend.messages",
    "sleep": "engine.context",
    "snapshot_of": "engine.portable",
    "spawn": "engine.context",
    "step": "engine.context",
    "task": "authoring.tasks",
    "transform_value": "engine.portable",
    "transition": "authoring.marks",
    "validate_snapshot": "engine.portable",
    "wait": "engine.context",
    "wait_event": "engine.context",
    "webhook": "engine.context",
    "webhook_url": "engine.context",
}

__all__ = [
    "Backoff",
    "DatabaseStore",
    "DurableBackend",
    "DurableTask",
    "FileRef",
    "KeptSnapshot",
    "MemorySnapshots",
    "MemoryStore",
    "RunOutcome",
    "SliceResult",
    "SnapshotStore",
    "StepCompleted",
    "StreamItem",
    "Workflow",
    "__version__",
    "abroadcast",
    "answer_form",
    "approval",
    "approval_url",
    "arestore",
    "asend",
    "assert_valid_snapshot",
    "broadcast",
    "channel",
    "clear_snapshots",
    "collector",
    "command",
    "compose",
    "cron",
    "delete_snapshot",
    "delete_snapshots",
    "every",
    "export_snapshot",
    "forward",
    "get_context",
    "has_snapshot",
    "interrupt",
    "is_interrupt",
    "is_partial",
    "is_step_completed",
    "join",
    "log",
    "looks_like_snapshot",
    "merge_snapshots",
    "patched",
    "pause",
    "pending_snapshots",
    "poll",
    "progress",
    "query",
    "recv",
    "remove_key",
    "rename_key",
    "restore",
    "send",
    "sleep",
    "snapshot_of",
    "spawn",
    "step",
    "task",
    "transform_value",
    "transition",
    "validate_snapshot",
    "wait",
    "wait_event",
    "webhook",
    "webhook_url",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
