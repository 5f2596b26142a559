"""The shapes that a snapshot comes in, and the snapshot itself, which answers for all of them.

- awaitly's **ResumeState**: ``{"kind": "ResumeState", "steps": [[key, result], ...]}``;
- awaitly's **WorkflowSnapshot** 1: ``{"formatVersion": 1, "steps": {key: result}, "execution": {...}, ...}``;
- ours: a WorkflowSnapshot whose steps are keyed by path, with all else that a run is made of under ``durable``.

A result is ``{"ok": true, "value": ...}`` or ``{"ok": false, "error": ..., "cause": ..., "meta": {"origin": ...}}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from django_tasks_durable.exceptions import DurableError, SnapshotDecode
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.marks import TRY
from django_tasks_durable.primitives.status import CheckpointKind

from . import causes

FORMAT = 1
RESUME_STATE = "ResumeState"
LOWEST_VERSION = 1

Document = Mapping[str, Any]


class Shape(Enum):
    """Whose form a snapshot has."""

    RESUME_STATE = "awaitly ResumeState"
    WORKFLOW = "awaitly WorkflowSnapshot"
    RUN = "run"


def shape_of(document: object) -> Shape | None:
    """Tell by its outline which shape a snapshot has; None when it looks like none."""
    if not isinstance(document, Mapping):
        return None
    steps = document.get("steps")
    if document.get("kind") == RESUME_STATE:
        return Shape.RESUME_STATE if isinstance(steps, list | Mapping) else None
    if not isinstance(steps, Mapping):
        return None
    if "formatVersion" in document and isinstance(document.get("execution"), Mapping):
        return Shape.RUN if isinstance(document.get("durable"), Mapping) else Shape.WORKFLOW
    is_bare = set(document) == {"steps"} and bool(steps)
    return Shape.RESUME_STATE if is_bare and all(_is_entry(entry) for entry in steps.values()) else None


def looks_like_snapshot(document: object) -> bool:
    """Tell cheaply whether this may be a snapshot. Ask validate_snapshot() whether it is one."""
    shape = shape_of(document)
    if shape is None or not isinstance(document, Mapping):
        return False
    version = document.get("formatVersion")
    return shape is Shape.RESUME_STATE or (version == FORMAT and not isinstance(version, bool))


def pairs_of(document: Document) -> list[tuple[str, Any]]:
    """Return the keys and results of a sound snapshot, in order."""
    steps = document["steps"]
    pairs = steps.items() if isinstance(steps, Mapping) else steps
    order = _order(document)
    found = [(key, result["result"] if _is_entry(result) else result) for key, result in pairs]
    return sorted(found, key=lambda pair: order.get(pair[0], len(order))) if order else found


def as_workflow(document: Document) -> dict[str, Any]:
    """Return a ResumeState as the WorkflowSnapshot of a run that goes on; another document as it is."""
    if shape_of(document) is not Shape.RESUME_STATE:
        return dict(document)
    execution = {"status": "running", "lastUpdated": clock.host_now().isoformat()}
    return {"formatVersion": FORMAT, "steps": dict(pairs_of(document)), "execution": execution}


def version_of(document: Document) -> int:
    """Return the version of the task that left this snapshot; one that does not say is of the first."""
    holder = document.get("durable") or document.get("metadata") or {}
    version = holder.get("version", LOWEST_VERSION)
    return version if isinstance(version, int) and not isinstance(version, bool) else LOWEST_VERSION


def dumps(value: Any) -> str:
    """Return JSON as the codec writes it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def path_of(key: str) -> str:
    """Return the path that a step of this key has in the body of a run."""
    return f"{CheckpointKind.STEP}:{key}"


def _is_entry(result: object) -> bool:
    """Tell an entry of a ResumeState in memory, ``{"result": ..., "meta": ...}``, from a stored result."""
    return isinstance(result, Mapping) and "ok" not in result and isinstance(result.get("result"), Mapping)


def _order(document: Document) -> dict[str, int]:
    durable = document.get("durable")
    order = durable.get("order", ()) if isinstance(durable, Mapping) else ()
    return {path: place for place, path in enumerate(order)}


class Steps(Mapping[str, Any]):
    """The answers of a snapshot's steps, by key. A None that a step returned counts: ``key in steps`` tells.

    In a snapshot of ours a step of the body is found by its key, everything else by its path. Reading a step that failed
    raises its error.
    """

    def __init__(self, results: Mapping[str, Document], *, is_ours: bool) -> None:
        self._results = {key: result for key, result in results.items() if not (is_ours and TRY in key)}
        self._is_ours = is_ours

    def result(self, key: str) -> Document:
        """Return what the snapshot says about a step. Raise KeyError."""
        if key in self._results:
            return self._results[key]
        return self._results[path_of(key)] if self._is_ours else self._results[key]

    def has_failed(self, key: str) -> bool:
        """Tell whether a step ended in an error. Raise KeyError."""
        return not self.result(key)["ok"]

    def error(self, key: str) -> Exception | None:
        """Return the error of a step with its causes; None when it has not failed. Raise KeyError."""
        result = self.result(key)
        return None if result["ok"] else codec.decode_error(failure_text(result))

    def __getitem__(self, key: str) -> Any:
        error = self.error(key)
        if error is not None:
            raise error
        value = self.result(key)["value"]
        if not self._is_ours:
            return value
        value = decoded(key, dumps(value))
        return value["value"] if self.result(key).get("kind") == CheckpointKind.CALL else value

    def __contains__(self, key: object) -> bool:
        return key in self._results or (self._is_ours and isinstance(key, str) and path_of(key) in self._results)

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)


def decoded(step: str, text: str, check: Callable[[Any], object] | None = None) -> Any:
    """Return the value of a text. Raise SnapshotDecode naming the step when it cannot be made here or does not pass."""
    try:
        value = codec.decode(text)
        if check is not None:
            check(value)
        return value
    except (DurableError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise SnapshotDecode(step, str(error)) from error


def failure_text(result: Document) -> str:
    """Return the failure of a result as checkpoints keep it."""
    return dumps(result["failure"]) if "failure" in result else causes.stored(result)


@dataclass(frozen=True)
class Snapshot:
    """A sound snapshot. ``document`` is what it was read from; ``remarks`` says what was mended on the way."""

    document: Document
    shape: Shape
    remarks: tuple[str, ...] = ()

    @cached_property
    def steps(self) -> Steps:
        """The answers of its steps."""
        return Steps(dict(pairs_of(self.document)), is_ours=self.shape is Shape.RUN)

    @property
    def workflow(self) -> str:
        """The name of the workflow or task that it is of; empty when it does not say."""
        metadata = self.document.get("metadata") or {}
        return str(self.document.get("workflowName") or metadata.get("workflowId") or "")

    @property
    def status(self) -> str:
        """How its run stands: running, completed or failed. A ResumeState is of one that goes on."""
        execution = self.document.get("execution") or {}
        return str(execution.get("status", "running"))

    @property
    def metadata(self) -> Document:
        """What was written beside it."""
        return self.document.get("metadata") or {}

    @property
    def warnings(self) -> tuple[Document, ...]:
        """What of its values was lost when it was made."""
        return tuple(self.document.get("warnings") or ())

    @property
    def version(self) -> int:
        """The version of the task that left it."""
        return version_of(self.document)
