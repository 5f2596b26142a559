"""A run out of a sound snapshot of ours: every value looked at before any is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.backoff import Backoff
from django_tasks_durable.authoring.tasks import TaskOptions, options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.conf import HARD_PAYLOAD_BYTES, durable_aliases, get_options
from django_tasks_durable.exceptions import DurableError, PayloadTooLarge, SnapshotDecode
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.ids import new_token
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, WakeReason
from django_tasks_durable.primitives.writes import UNSTAGED, CheckpointRecord, MessageRecord, Stage, WaitRecord

from . import durable
from .shapes import Document, Snapshot, decoded, dumps, pairs_of


def run_of(snapshot: Snapshot, task: Task[..., Any]) -> tuple[PortableRun, tuple[str, ...]]:
    """Return the run that a snapshot of ours holds, and what of it is not as it was.

    Raise SnapshotDecode for a value that cannot be made again here, and PayloadTooLarge.
    """
    told = snapshot.document["durable"]
    remarks: list[str] = []
    backend = told["backend"]
    if backend not in durable_aliases():
        remarks.append(f"its backend {backend!r} is none here: it goes to {task.backend!r}")
        backend = task.backend
    read = _Reader(get_options(backend).max_payload_bytes)
    waits = tuple(read.wait(wait) for wait in told["waits"])
    if any("token" not in wait and "answer" not in wait for wait in told["waits"]):
        remarks.append("the tokens of its questions are new")
    instants: dict[str, Any] = {
        name: datetime.fromisoformat(told[name]) if told[name] else None for name in durable.INSTANTS
    }
    run = PortableRun(
        task_path=told["task_path"],
        args=read.value(told["args"], "args"),
        kwargs=read.value(told["kwargs"], "kwargs"),
        options=_options(told["options"]),
        metadata=read.value(told["metadata"], "metadata"),
        backend=backend,
        queue_name=told["queue_name"],
        priority=told["priority"],
        run_id=UUID(told["run_id"]) if told["run_id"] else None,
        status=RunStatus(told["status"]),
        wake_reason=WakeReason(told["wake_reason"]),
        cancel_requested=told["cancel_requested"],
        attempts=told["attempts"],
        max_attempts=told["max_attempts"],
        max_deliveries=told["max_deliveries"],
        inbox=told["inbox"],
        code_version=options_of(task).version,
        **instants,
        result=read.value(told["result"], "result") if "result" in told else None,
        errors=dumps(told["errors"]),
        error_code=told["error_code"],
        worker_ids=dumps(told["worker_ids"]),
        percent=told["progress"].get("percent"),
        label=told["progress"]["label"],
        meta="" if told["progress"]["meta"] is None else read.value(told["progress"]["meta"], "progress"),
        checkpoints=tuple(read.checkpoint(path, result) for path, result in pairs_of(snapshot.document)),
        waits=waits,
        stage=read.stage(told.get("workflow")),
        partials_before_visit=told.get("workflow", {}).get("partials_before", 0),
        messages=tuple(
            MessageRecord(
                id=number, name=message["name"], payload=read.value(message["payload"], f"messages[{number}]")
            )
            for number, message in enumerate(told.get("messages", ()), 1)
        ),
        partials=tuple(
            (partial["path"], read.value(partial["value"], f"partials[{place}]"))
            for place, partial in enumerate(told["partials"])
        ),
    )
    return run, tuple(remarks)


def _options(told: Mapping[str, Any]) -> str:
    """Return the options of a run as enqueueing would have written them, which nobody has tampered with then."""
    given = dict(told)
    try:
        if isinstance(given.get("backoff"), Mapping):
            given["backoff"] = Backoff(**given["backoff"])
        return TaskOptions(**given).snapshot()
    except (TypeError, ValueError) as error:
        raise SnapshotDecode("options", str(error)) from error


class _Reader:
    """Reads values: makes each once, to see that it can be made, and writes it as the codec would."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def value(self, told: Any, step: str, *, limit: int | None = None) -> str:
        """Return the text of a value."""
        value = decoded(step, dumps(told))
        try:
            return codec.encode(value, where=step, limit=self.limit if limit is None else limit)
        except PayloadTooLarge:
            raise
        except DurableError as error:
            raise SnapshotDecode(step, str(error)) from error

    def checkpoint(self, path: str, result: Document) -> CheckpointRecord:
        """Return what a primitive left behind."""
        kind = CheckpointKind(result["kind"])
        failed = not result["ok"]
        if failed:
            text = codec.seal(dumps(result["failure"]))
        elif kind is CheckpointKind.SLEEP:
            text = dumps(result["value"])
            decoded(path, text, _expect_instant)
        else:
            # A nested call keeps its partials with its value, each of which may be as large as is allowed.
            text = self.value(result["value"], path, limit=HARD_PAYLOAD_BYTES if kind is CheckpointKind.CALL else None)
        return CheckpointRecord(
            path=path,
            kind=kind,
            position=result["position"],
            fingerprint=result["fingerprint"],
            failed=failed,
            value=text,
            seconds=result.get("seconds"),
        )

    def stage(self, told: Document | None) -> Stage:
        """Return where a class workflow stands."""
        if told is None:
            return UNSTAGED
        state = None if told["state"] is None else self.value(told["state"], "state")
        return Stage(state=state, step=told["step"], visit=told["visit"], version=told["version"])

    def wait(self, told: Document) -> WaitRecord:
        """Return a question."""
        path = told["path"]
        return WaitRecord(
            path=path,
            kind=told["kind"],
            position=told["position"],
            fingerprint=told["fingerprint"],
            token=told.get("token") or new_token(),
            request=self.value(told["request"], path),
            deadline=datetime.fromisoformat(told["deadline"]) if told["deadline"] else None,
            has_default=told.get("has_default", False),
            **{name: told.get(name, "") for name in durable.ASKED},
            answer=self.value(told["answer"], path) if "answer" in told else None,
        )


def _expect_instant(value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"a sleep ends at an instant with its offset, not at {json.dumps(value, default=repr)}")
