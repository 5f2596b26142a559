"""What can be seen of a run. ``as_dict()`` is the wire format, versioned by its ``v``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.channels import channels_of
from django_tasks_durable.primitives.origins import ENQUEUED_BY
from django_tasks_durable.primitives.status import (
    FINISHED,
    LEASED,
    RETRIABLE,
    UNHURRIED,
    RunStatus,
    State,
    WakeReason,
    derive_state,
)

from .acts import Act as Act
from .parts import ErrorSnapshot, Progress
from .wire import WIRE_VERSION, Show, instant, unveiled


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run without its payloads: what a list shows.

    ``read_at`` is the database's clock when the row was read.
    """

    id: UUID
    version: int
    task_path: str
    code_version: int
    backend: str
    queue_name: str
    priority: int
    status: RunStatus
    wake_reason: WakeReason
    read_at: datetime
    enqueued_at: datetime
    run_after: datetime | None
    due_at: datetime | None
    started_at: datetime | None
    last_attempted_at: datetime | None
    finished_at: datetime | None
    stalled_at: datetime | None
    attempts: int
    max_attempts: int
    error_code: str
    lease_worker: str
    cancel_requested_at: datetime | None
    cancel_reason: str
    first_sequence: int
    last_sequence: int
    parent_id: UUID | None
    forked_from: UUID | None
    keys: Mapping[str, str]
    own_channels: tuple[str, ...]
    progress: Progress

    @property
    def name(self) -> str:
        """The last part of the task's path."""
        return self.task_path.rpartition(".")[2] or self.task_path

    @property
    def short_id(self) -> str:
        """The end of the id, which is random and so tells neighbours apart."""
        return self.id.hex[-8:]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the run is in: those that follow from what it is, then those that it was given."""
        return channels_of(self.id, self.task_path, self.keys, self.own_channels)

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end."""
        return self.status in FINISHED

    @property
    def is_leased(self) -> bool:
        """Whether a worker holds the run."""
        return self.status in LEASED

    @property
    def is_due(self) -> bool:
        """Whether the run's due time has come, by the database's clock."""
        return self.due_at is None or self.due_at <= self.read_at

    @property
    def is_delayed(self) -> bool:
        """Whether the run is ready, but not yet."""
        return self.status is RunStatus.READY and not self.is_due

    @property
    def overdue_seconds(self) -> float:
        """How long the run has been due, in seconds."""
        return 0.0 if self.due_at is None else max(0.0, (self.read_at - self.due_at).total_seconds())

    @property
    def is_cancelling(self) -> bool:
        """Whether somebody asked for the run's cancellation and it has not ended yet."""
        return self.cancel_requested_at is not None and not self.is_finished

    @property
    def state(self) -> State:
        """The state that people see."""
        return derive_state(self.status, self.wake_reason, is_due=self.is_due, is_stalled=self.stalled_at is not None)

    @property
    def stale_reason(self) -> str:
        """Why the run is stale, in a word for machines: its worker was lost, or it gives no sign of going on."""
        if self.state is not State.STALE:
            return ""
        return "no_progress" if self.is_leased else "worker_lost"

    @property
    def stale_at(self) -> datetime | None:
        """Since when the run is stale: since its worker was declared dead, or since it was seen to have stalled."""
        return self.stalled_at if self.state is State.STALE else None

    @property
    def retry_at(self) -> datetime | None:
        """When the next attempt may begin, while the run waits for it."""
        return self.due_at if self.state is State.RETRYING else None

    @property
    def attempt(self) -> int:
        """The number of the attempt under way, or of the last one."""
        is_over = self.status in RETRIABLE or self.wake_reason in BETWEEN_ATTEMPTS
        return self.attempts + (self.started_at is not None and (self.is_leased or not is_over))

    @property
    def percent(self) -> float | None:
        """How far the run is; a success is always all the way."""
        return 100.0 if self.status is RunStatus.SUCCESSFUL else self.progress.percent

    @property
    def waited_seconds(self) -> float | None:
        """How long the run waited for its first start since it was due, in seconds."""
        if self.started_at is None:
            return None
        return max(0.0, (self.started_at - max(self.enqueued_at, self.run_after or self.enqueued_at)).total_seconds())

    @property
    def run_seconds(self) -> float | None:
        """How long it took from the first start to the end, or to now, in seconds."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.finished_at or self.read_at) - self.started_at).total_seconds())

    @property
    def acts(self) -> tuple[Act, ...]:
        """What an operator may ask of the run as it stands."""
        possible = {
            Act.CANCEL: not self.is_finished and not self.is_cancelling,
            Act.RETRY: self.status in RETRIABLE,
            Act.RESUME: not self.is_finished,
            Act.RUN_NOW: self.is_delayed and self.wake_reason not in UNHURRIED,
            Act.COPY: True,
            Act.FORK: self.started_at is not None and not self.is_leased,
        }
        return tuple(act for act, is_possible in possible.items() if is_possible)

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format, without arguments and result."""
        return {
            "v": WIRE_VERSION,
            "id": str(self.id),
            "version": self.version,
            "task_path": self.task_path,
            "backend": self.backend,
            "queue_name": self.queue_name,
            "priority": self.priority,
            "status": self.status.value,
            "state": self.state.value,
            "wake_reason": self.wake_reason.value,
            "enqueued_at": instant(self.enqueued_at),
            "run_after": instant(self.run_after),
            "due_at": instant(self.due_at),
            "started_at": instant(self.started_at),
            "last_attempted_at": instant(self.last_attempted_at),
            "finished_at": instant(self.finished_at),
            "retry_at": instant(self.retry_at),
            "stale_at": instant(self.stale_at),
            "stale_reason": self.stale_reason,
            "worker": self.lease_worker,
            "attempt": self.attempt,
            "attempts": self.attempts,
            "max_attempts": self.max_attempts,
            "error_code": self.error_code,
            "cancel_requested_at": instant(self.cancel_requested_at),
            "cancel_reason": self.cancel_reason,
            "first_sequence": self.first_sequence,
            "last_sequence": self.last_sequence,
            "parent_id": None if self.parent_id is None else str(self.parent_id),
            "forked_from": None if self.forked_from is None else str(self.forked_from),
            "keys": dict(self.keys),
            "channels": list(self.channels),
            "progress": self.progress.as_dict(show=show) | {"percent": self.percent},
            "acts": [act.slug for act in self.acts],
        }


BETWEEN_ATTEMPTS = frozenset({WakeReason.RETRY, WakeReason.OPERATOR})


@dataclass(frozen=True, kw_only=True)
class RunSnapshot(RunSummary):
    """The whole visible truth of a run at a version. Payloads are decoded when they are looked at."""

    args_text: str = field(repr=False)
    kwargs_text: str = field(repr=False)
    metadata_text: str = field(repr=False)
    result_text: str | None = field(repr=False)
    worker_ids_text: str = field(repr=False)
    state_text: str | None = field(default=None, repr=False)
    workflow_step: str = ""
    visit: int = 0
    errors_text: str = field(repr=False)

    @cached_property
    def args(self) -> list[Any]:
        """The positional arguments, as the task gets them."""
        return list(codec.decode(self.args_text))

    @cached_property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments, as the task gets them."""
        return dict(codec.decode(self.kwargs_text))

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What the enqueuer wrote beside the arguments."""
        return dict(codec.decode(self.metadata_text))

    @property
    def schedule(self) -> str:
        """The name of the schedule that the run came from, if it came from one."""
        return self._origin[0]

    @property
    def enqueued_by(self) -> str:
        """Who enqueued the run, where that was kept: a user, or a command."""
        told = codec.readable(self.metadata_text)
        return str(told.get(ENQUEUED_BY, "")) if isinstance(told, dict) else ""

    @property
    def tick(self) -> datetime | None:
        """The tick of the schedule that the run came from."""
        return self._origin[1]

    @cached_property
    def _origin(self) -> tuple[str, datetime | None]:
        told = codec.readable(self.metadata_text)
        try:
            return str(told["schedule"]), datetime.fromisoformat(told["tick"])
        except (KeyError, TypeError, ValueError):
            return "", None  # metadata is the enqueuer's, who may use these words for something else

    @cached_property
    def result(self) -> Any:
        """What the task returned; None while it has not, so ask ``status`` first."""
        return None if self.result_text is None else codec.decode(self.result_text)

    @cached_property
    def worker_ids(self) -> list[str]:
        """The workers of the attempts so far, one for each attempt."""
        before = [str(worker) for worker in json.loads(self.worker_ids_text)]
        now = self.status is RunStatus.RUNNING or self.status is RunStatus.SUCCESSFUL
        return [*before, self.lease_worker] if now and self.lease_worker else before

    @cached_property
    def errors(self) -> tuple[ErrorSnapshot, ...]:
        """How the failed attempts failed, the last one last."""
        return tuple(ErrorSnapshot.of(entry) for entry in json.loads(self.errors_text))

    def workflow(self, *, show: Show = unveiled) -> dict[str, Any] | None:
        """Tell where a class workflow stands; None for a function, and before the workflow begins."""
        if self.state_text is None:
            return None
        return {"step": self.workflow_step, "visit": self.visit, "state": show(codec.readable(self.state_text))}

    def as_dict(self, *, show: Show = unveiled) -> dict[str, Any]:
        """Return the wire format, each payload as ``show`` lets it be seen."""
        return super().as_dict(show=show) | {
            "args": show(codec.readable(self.args_text)),
            "kwargs": show(codec.readable(self.kwargs_text)),
            "metadata": show(codec.readable(self.metadata_text)),
            "enqueued_by": self.enqueued_by,
            "schedule": self.schedule,
            "tick": instant(self.tick),
            "result": None if self.result_text is None else show(codec.readable(self.result_text)),
            "workflow": self.workflow(show=show),
            "worker_ids": list(self.worker_ids),
            "errors": [error.as_dict(show=show) for error in self.errors],
        }
