"""The parts of what can be seen of a run: progress, errors, timeline, checkpoints, questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.secrets import without_secrets
from django_tasks_durable.primitives.status import CheckpointKind, Level, StepKind

from .wire import Show, instant, unveiled

# The second use of a key in a scope is numbered.
_NUMBER = re.compile(r"#\d+$")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run says it is. ``percent`` is None while it has said nothing."""

    percent: float | None = None
    label: str = ""
    meta_text: str = ""
    updated_at: datetime | None = None

    @property
    def meta(self) -> Any:
        """What the task added to its progress, for reading."""
        return codec.readable(self.meta_text) if self.meta_text else {}

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "percent": self.percent,
            "label": self.label,
            "meta": show(self.meta),
            "updated_at": instant(self.updated_at),
        }


@dataclass(frozen=True, kw_only=True)
class ErrorSnapshot:
    """How one attempt failed. ``attempt`` is None where that was not recorded."""

    exception_class_path: str
    message: str = ""
    traceback: str = ""
    code: str = ""
    attempt: int | None = None

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format; a traceback is seen by those who may see payloads, for it tells of them."""
        return {
            "exception_class_path": self.exception_class_path,
            "message": self.message,
            "traceback": self.traceback and show(self.traceback),
            "code": self.code,
            "attempt": self.attempt,
        }

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> ErrorSnapshot:
        """Make the snapshot of an entry of a run's errors."""
        # The door that shows an old or foreign row must open, so nothing is taken for granted here.
        return cls(
            exception_class_path=str(entry.get("exception_class_path", "")),
            message=without_secrets(str(entry.get("message", ""))),
            traceback=without_secrets(str(entry.get("traceback", ""))),
            code=str(entry.get("code", "")),
            attempt=entry.get("attempt"),
        )


@dataclass(frozen=True, kw_only=True)
class TimelineLine:
    """One line of a run's timeline."""

    sequence: int
    kind: StepKind
    level: Level
    attempt: int
    path: str
    message: str
    percent: float | None
    data_text: str
    created_at: datetime

    @property
    def remark(self) -> str:
        """What the message says that the path does not say already."""
        return "" if _NUMBER.sub("", self.path).endswith(f":{self.message}") else self.message

    @property
    def value(self) -> Any:
        """What the line carries, for reading; None if nothing."""
        return codec.readable(self.data_text) if self.data_text else None

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "sequence": self.sequence,
            "kind": self.kind.value,
            "level": self.level.value,
            "attempt": self.attempt,
            "path": self.path,
            "message": self.message,
            "percent": self.percent,
            "data": None if not self.data_text else show(self.value),
            "created_at": instant(self.created_at),
        }


@dataclass(frozen=True, kw_only=True)
class CheckpointSnapshot:
    """The answer that a primitive left behind."""

    path: str
    kind: CheckpointKind
    position: int
    failed: bool
    value_text: str
    attempt: int
    seconds: float | None
    created_at: datetime

    @property
    def value(self) -> Any:
        """The answer, for reading."""
        return codec.readable(self.value_text)

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format."""
        return {
            "path": self.path,
            "kind": self.kind.value,
            "position": self.position,
            "failed": self.failed,
            "value": show(self.value),
            "attempt": self.attempt,
            "seconds": self.seconds,
            "created_at": instant(self.created_at),
        }


@dataclass(frozen=True, kw_only=True)
class WaitSnapshot:
    """A question of a run. The token is for those who may answer and is not on the wire."""

    path: str
    kind: str
    token: str = field(repr=False)
    request_text: str
    deadline: datetime | None
    created_at: datetime
    answer_text: str | None
    answered_at: datetime | None
    answered_by: str
    is_consumed: bool
    permission: str = ""
    form: str = ""
    has_default: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether an answer is still asked for."""
        return self.answer_text is None and not self.is_consumed

    @property
    def request(self) -> Any:
        """The question, for reading."""
        return codec.readable(self.request_text)

    @property
    def answer(self) -> Any:
        """The answer, for reading; None if there is none, so ask ``answered_at`` first."""
        return None if self.answer_text is None else codec.readable(self.answer_text)

    def as_dict(self, *, show: Show = unveiled, ask: Show | None = None) -> dict[str, Any]:
        """Return the wire format; ``ask`` shows the question to somebody who may answer it."""
        return {
            "path": self.path,
            "kind": self.kind,
            "request": (ask or show)(self.request),
            "permission": self.permission,
            "form": self.form,
            "has_default": self.has_default,
            "deadline": instant(self.deadline),
            "created_at": instant(self.created_at),
            "is_pending": self.is_pending,
            "answer": None if self.answer_text is None else show(self.answer),
            "answered_at": instant(self.answered_at),
            "answered_by": self.answered_by,
        }


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A pending question, with the run that asks it."""

    run_id: UUID
    task_path: str
    wait: WaitSnapshot

    def as_dict(self, *, show: Show = unveiled, ask: Show | None = None) -> dict[str, Any]:
        """Return the wire format. See WaitSnapshot.as_dict()."""
        return {"run_id": str(self.run_id), "task_path": self.task_path, **self.wait.as_dict(show=show, ask=ask)}
