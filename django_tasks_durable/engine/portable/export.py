"""From a run to its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import RunNotFound, SnapshotDecode
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import FINISHED, CheckpointKind, RunStatus
from django_tasks_durable.primitives.writes import CheckpointRecord, WaitRecord
from django_tasks_durable.store import memory_transfers, transfers
from django_tasks_durable.store.memory import MemoryStore

from . import causes, durable
from .shapes import FORMAT, RESUME_STATE, dumps, pairs_of
from .telling import Teller
from .validation import assert_valid_snapshot

DEFAULT_ALIAS = "default"


def export_snapshot(
    run: PortableRun | UUID | str,
    *,
    store: MemoryStore | None = None,
    using: str | None = None,
    version: int | None = None,
    definition: str = "",
    metadata: Mapping[str, Any] | None = None,
    with_tokens: bool = False,
    lossy: bool = False,
) -> dict[str, Any]:
    """Return the snapshot of a run: plain JSON that restore() reads, and that other programs know as a WorkflowSnapshot.

    The run is given by its id in the database, by its name in a ``store``, or read already. ``version`` (the run's own
    by default) and ``definition`` say which code left it. The tokens of its questions, which let anybody answer, are left
    out unless asked for.

    Raise RunNotFound, NotSerializable for ``metadata``, and SnapshotDecode for stored text that is damaged; with ``lossy``,
    values without a form are None and each has an entry under ``warnings``.
    """
    found = _find(run, store, using)
    teller = Teller(is_lossy=lossy, limit=get_options(found.backend).max_payload_bytes)
    told = _Told(found, teller)
    document: dict[str, Any] = {
        "formatVersion": FORMAT,
        "workflowName": found.task_path,
        "steps": {record.path: told.step(record) for record in found.checkpoints},
        "execution": _execution(found),
        "metadata": _metadata(found, definition, told, teller, metadata),
        "durable": told.rest(version or found.code_version, with_tokens=with_tokens),
    }
    if teller.warnings:
        document["warnings"] = teller.warnings
    return document


def snapshot_of(
    steps: Mapping[str, Any],
    *,
    failures: Mapping[str, Any] | None = None,
    workflow: str = "",
    status: str = "running",
    metadata: Mapping[str, Any] | None = None,
    lossy: bool = False,
) -> dict[str, Any]:
    """Return a WorkflowSnapshot of steps that this process knows by their values, with what failed and why.

    Raise NotSerializable naming the place of what cannot be stored; with ``lossy`` it is None and told under ``warnings``.
    """
    teller = Teller(is_lossy=lossy)
    document: dict[str, Any] = {"formatVersion": FORMAT, "steps": {}, "execution": {}}
    if workflow:
        document["workflowName"] = workflow
    for key, value in steps.items():
        document["steps"][key] = {"ok": True, "value": teller.tell(value, step=key)}
    for key, thrown in (failures or {}).items():
        is_error = isinstance(thrown, BaseException)
        error = {"name": type(thrown).__name__, "message": str(thrown)} if is_error else thrown
        document["steps"][key] = {
            "ok": False,
            "error": teller.tell(error, step=key, path="error"),
            "cause": causes.cause_of(thrown),
            "meta": {"origin": "throw" if is_error else "result"},
        }
    now = _instant(clock.host_now())
    document["execution"] = {"status": status, "lastUpdated": now}
    if status != "running":
        document["execution"]["completedAt"] = now
    if metadata:
        document["metadata"] = teller.tell(dict(metadata), step="", path="metadata")
    if teller.warnings:
        document["warnings"] = teller.warnings
    return document


def resume_state_of(snapshot: object) -> dict[str, Any]:
    """Return the steps of a snapshot as an awaitly ResumeState, in order. Raise SnapshotFormat."""
    sound = assert_valid_snapshot(snapshot)
    return {"kind": RESUME_STATE, "steps": [[key, dict(result)] for key, result in pairs_of(sound.document)]}


def _find(run: PortableRun | UUID | str, store: MemoryStore | None, using: str | None) -> PortableRun:
    if isinstance(run, PortableRun):
        return run
    if store is not None:
        return memory_transfers.take_out(store, run)
    try:
        return transfers.take_out(
            run if isinstance(run, UUID) else UUID(run), using=using or get_options(DEFAULT_ALIAS).database
        )
    except ValueError:
        raise RunNotFound(run) from None


def _execution(run: PortableRun) -> dict[str, Any]:
    status = "running"
    if run.status in FINISHED:
        status = "completed" if run.status is RunStatus.SUCCESSFUL else "failed"
    execution = {"status": status, "lastUpdated": _instant(run.read_at or clock.host_now())}
    if run.finished_at is not None:
        execution |= {"lastUpdated": _instant(run.finished_at), "completedAt": _instant(run.finished_at)}
    asked = [wait.path for wait in run.waits if wait.answer is None]
    if status == "running" and (asked or run.checkpoints):
        execution["currentStepId"] = (asked or [record.path for record in run.checkpoints])[-1]
    return execution


def _metadata(
    run: PortableRun, definition: str, told: _Told, teller: Teller, more: Mapping[str, Any] | None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "workflowId": run.task_path,
        "input": {"args": told.text(run.args, "args"), "kwargs": told.text(run.kwargs, "kwargs")},
    }
    if definition:
        metadata["definitionHash"] = definition
    if more:
        metadata |= teller.tell(dict(more), step="", path="metadata")
    return metadata


class _Told:
    """A run told part by part."""

    def __init__(self, run: PortableRun, teller: Teller) -> None:
        self.run = run
        self.teller = teller

    def text(self, text: str, step: str, path: str = "value") -> Any:
        """Return the JSON of a stored text."""
        try:
            return self.teller.read(text, step=step, path=path)
        except ValueError as error:
            raise SnapshotDecode(step, str(error)) from error

    def step(self, record: CheckpointRecord) -> dict[str, Any]:
        """Tell what a primitive left behind."""
        place: dict[str, Any] = {
            "kind": record.kind.value,
            "position": record.position,
            "fingerprint": record.fingerprint,
            "seconds": record.seconds,
        }
        if not record.failed:
            value = self.text(record.value, record.path)
            if value is None and record.kind is CheckpointKind.CALL:
                value = {"partials": [], "value": None}
            return {"ok": True, "value": value, **place}
        failure = self.text(record.value, record.path, "error")
        if not isinstance(failure, Mapping) or "class" not in failure:
            failure = {"class": "builtins.Exception", "message": "Its text is damaged.", "args": None, "state": {}}
        return {"ok": False, **causes.told(dumps(failure)), **place, "failure": failure}

    def rest(self, version: int, *, with_tokens: bool) -> dict[str, Any]:
        """Tell all that is ours alone."""
        run = self.run
        told: dict[str, Any] = {
            "format": durable.FORMAT,
            "version": version,
            "task_path": run.task_path,
            "run_id": str(run.run_id) if run.run_id else None,
            "backend": run.backend,
            "queue_name": run.queue_name,
            "priority": run.priority,
            "status": run.status.value,
            "wake_reason": run.wake_reason.value,
            "cancel_requested": run.cancel_requested,
            "attempts": run.attempts,
            "max_attempts": run.max_attempts,
            "max_deliveries": run.max_deliveries,
            "inbox": run.inbox,
            "error_code": run.error_code,
            "progress": {"percent": run.percent, "label": run.label, "meta": self._optional(run.meta, "progress")},
        }
        for name in durable.INSTANTS:
            moment = getattr(run, name)
            told[name] = None if moment is None else _instant(moment)
        for name in ("args", "kwargs", "options", "metadata", "errors", "worker_ids"):
            told[name] = self.text(getattr(run, name), name)
        if run.result is not None:
            told["result"] = self.text(run.result, "result")
        told["order"] = [record.path for record in run.checkpoints]
        told["waits"] = [self._wait(wait, with_tokens) for wait in run.waits]
        told["messages"] = [
            {"name": message.name, "payload": self.text(message.payload, f"messages[{place}]")}
            for place, message in enumerate(run.messages)
        ]
        if run.stage.visit:
            stage = run.stage
            told["workflow"] = {
                "state": None if stage.state is None else self.text(stage.state, "state"),
                "step": stage.step,
                "visit": stage.visit,
                "version": stage.version,
                "partials_before": run.partials_before_visit,
            }
        told["partials"] = [
            {"path": path, "value": self.text(text, f"partials[{place}]")}
            for place, (path, text) in enumerate(run.partials)
        ]
        return told

    def _optional(self, text: str, step: str) -> Any:
        return self.text(text, step) if text else None

    def _wait(self, wait: WaitRecord, with_tokens: bool) -> dict[str, Any]:
        told: dict[str, Any] = {
            "path": wait.path,
            "kind": wait.kind,
            "position": wait.position,
            "fingerprint": wait.fingerprint,
            "request": self.text(wait.request, wait.path, "request"),
            "deadline": None if wait.deadline is None else _instant(wait.deadline),
            "has_default": wait.has_default,
        }
        told |= {name: text for name in durable.ASKED if (text := getattr(wait, name))}
        if with_tokens:
            told["token"] = wait.token
        if wait.answer is not None:
            told["answer"] = self.text(wait.answer, wait.path, "answer")
        return told


def _instant(moment: datetime) -> str:
    return moment.isoformat()
