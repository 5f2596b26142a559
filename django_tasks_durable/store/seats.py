"""What a stream in this process needs of a store: a seat for its run, and how the run stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from django_tasks_durable.authoring.tasks import DurableTask
from django_tasks_durable.exceptions import AmbiguousResume, ControlFlow, NotWaiting
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import LEASED, CheckpointKind, RunStatus, WakeReason, derive_state
from django_tasks_durable.primitives.writes import (
    CheckpointRecord,
    ClaimedRun,
    Outcome,
    RunStore,
    Verdict,
    WaitRecord,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A task with its arguments, and the name that its run is to have."""

    task: DurableTask[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """How a run stands, at the instant ``now`` of its store's clock. Payloads are JSON text."""

    run_id: UUID
    name: str
    task_path: str
    status: RunStatus
    wake_reason: WakeReason
    due_at: datetime | None
    now: datetime
    result: str | None
    errors: str
    parent_id: UUID | None
    sequence: int
    checkpoints: tuple[CheckpointRecord, ...]
    waits: tuple[WaitRecord, ...]

    @property
    def open_waits(self) -> list[WaitRecord]:
        """The questions that nobody has answered and that the run has not gone on without."""
        done = {record.path for record in self.checkpoints}
        return [wait for wait in self.waits if wait.answer is None and wait.path not in done]

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the run may be claimed, as far as it can be told; None when nobody may without an answer."""
        if self.status in LEASED:
            return 0.0
        left = None if self.due_at is None else (self.due_at - self.now).total_seconds()
        if self.status is RunStatus.READY:
            return max(left or 0.0, 0.0)
        is_overdue = self.status is RunStatus.WAITING and left is not None and left <= 0
        return 0.0 if is_overdue else None

    def as_snapshot(self) -> dict[str, Any]:
        """Return what can be seen of the run, as plain values."""
        is_due = self.due_at is None or self.due_at <= self.now
        return {
            "run_id": self.name,
            "status": self.status.value,
            "state": derive_state(self.status, self.wake_reason, is_due=is_due).value,
            "sequence": self.sequence,
            "parent_id": str(self.parent_id) if self.parent_id else None,
            "steps": {
                record.path: codec.readable(record.value)
                for record in self.checkpoints
                if record.kind is not CheckpointKind.TRY
            },
            "answers": [
                codec.readable(record.value)
                for record in self.checkpoints
                if record.kind is CheckpointKind.WAIT and not record.failed
            ],
            "waits": [
                {"path": wait.path, "token": wait.token, "request": codec.readable(wait.request)}
                for wait in self.open_waits
            ],
        }


def asker(family: Sequence[Glance], token: str | None, path: str | None) -> tuple[UUID, str | None]:
    """Choose whom an answer is for: a run, or one of those that it has started and that ask in its stream.

    Return its id, and the token of the question where it is known. Raise NotWaiting or AmbiguousResume.
    """
    run = family[0]
    if token is None and path is not None:
        token = next((wait.token for each in family for wait in each.waits if wait.path == path), None)
        if token is None:
            raise NotWaiting(run.name, run.status.lower(), path)
    if token is not None:
        of_token = (each for each in family if any(wait.token == token for wait in each.waits))
        return next(of_token, run).run_id, token
    asking = [each for each in family if each.open_waits]
    if len(asking) > 1:
        raise AmbiguousResume(run.name, [(wait.path, wait.token) for each in asking for wait in each.open_waits])
    return (asking[0] if asking else run).run_id, None


class Seat(Protocol):
    """One run in the hands of one stream."""

    is_blocking: bool
    run_id: UUID

    def look(self) -> Glance:
        """Return how the run stands."""

    def family(self) -> list[Glance]:
        """Return how the run stands, and all that it has started and that goes on, elders first."""

    def of_child(self, run_id: UUID) -> Seat:
        """Return a seat for a run that this one has started."""

    def claim(self) -> ClaimedRun | None:
        """Take the run if it is due. Raise AlreadyRunning when somebody alive runs it."""

    def sit(self, claimed: ClaimedRun, stop: Callable[[ControlFlow], None]) -> RunStore:
        """Return where the attempt leaves its facts; ``stop`` is called when it must not go on."""

    def snapshot(self) -> dict[str, Any]:
        """Make what was handed over durable, and return what can be seen of the run."""

    def ended(self, claimed: ClaimedRun, outcome: Outcome, verdict: Verdict) -> None:
        """Tell those who listen that an attempt has ended and that this is durable."""

    def take_out(self) -> PortableRun:
        """Read the whole run, which stays where it is."""

    def leave(self) -> None:
        """Let go of the run; whoever comes next goes on from its checkpoints."""

    def abandon(self) -> None:
        """See leave(). Asks nothing of the store on this thread."""


@runtime_checkable
class DrivenStore(Protocol):
    """A store whose runs a stream in this process can drive."""

    is_blocking: bool

    def begin(self, call: Call) -> Seat:
        """Put a run into the store, or find the open one of this name. Raise IdempotencyConflict for other arguments."""

    def find_seat(self, name: UUID | str) -> Seat:
        """Return a seat for the run of this name or id. Raise RunNotFound."""

    def receive(self, run: PortableRun, name: str | None) -> Seat:
        """Put a run into the store that was made elsewhere. Raise RunExists for a name that is taken."""

    def answer(self, name: UUID | str, task_path: str, value: Any, token: str | None, path: str | None) -> Seat:
        """Answer a question of a run of this task, and take the run before anybody else does."""


#: The word for the database that the task's backend names.
DATABASE = "database"
_offers: dict[str, Callable[[str], DrivenStore]] = {}


def offer(word: str, make: Callable[[str], DrivenStore]) -> None:
    """Let a word stand for a store, made of the alias of a task's backend. What drives runs knows no database itself."""
    _offers[word] = make


def offered(word: str, backend: str) -> DrivenStore:
    """Return the store that a word stands for."""
    return _offers[word](backend)
