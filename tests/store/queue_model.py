"""What the rows of a queue must say after each act, in plain Python: the oracle of the stateful test."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django_tasks_durable.primitives.status import FINISHED, LEASED, RETRIABLE, RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun

LEASE = timedelta(seconds=30)


@dataclass(eq=False)
class Asked:
    """A question of a run."""

    path: str
    token: str
    deadline: datetime | None
    answer: str | None = None


@dataclass(eq=False)
class Run:
    """What is expected of one run."""

    id: UUID
    priority: int
    due: datetime | None
    max_attempts: int
    dedupe: str
    supersede: str
    status: RunStatus = RunStatus.READY
    token: int = 0
    attempts: int = 0
    lost: int = 0
    inbox: int = 0
    lines: int = 1
    cancelling: bool = False
    sleeps: bool = False
    holder: str = ""
    result: str | None = None
    checkpoints: dict[str, str] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status not in FINISHED

    @property
    def max_deliveries(self) -> int:
        """How many deliveries may be lost in a row."""
        return max(3, self.max_attempts)

    def wake(self, now: datetime) -> None:
        """Be due now."""
        self.status, self.due, self.sleeps = RunStatus.READY, now, False

    def end(self, status: RunStatus) -> None:
        """Be over."""
        self.status, self.due, self.sleeps, self.holder = status, None, False, ""

    def hear(self, now: datetime) -> None:
        """Take something into the inbox."""
        self.inbox += 1
        self.lines += 1
        if self.status is RunStatus.WAITING:
            self.wake(now)

    def keep(self, path: str, text: str) -> None:
        """Remember a checkpoint: what was lost before it no longer counts."""
        self.checkpoints[path] = text
        self.lost = 0

    def give_up(self, now: datetime, asked_to_cancel: RunStatus = RunStatus.CANCELLED) -> None:
        """Leave the hands of an attempt: due again, or cancelled when somebody asked for that."""
        self.lines += 1
        if self.cancelling:
            self.end(asked_to_cancel)
        else:
            self.wake(now)

    def suspend(self, status: RunStatus, due: datetime | None, inbox: int, now: datetime) -> None:
        """Sleep or wait, unless something came meanwhile."""
        if self.cancelling or inbox != self.inbox:
            self.give_up(now)
        else:
            self.lines += 1
            self.status, self.due, self.sleeps = status, due, status is RunStatus.READY

    def fail(self, retry_at: datetime | None) -> None:
        """End an attempt that raised."""
        self.lines += 1
        self.attempts += 1
        self.lost = 0
        if self.cancelling:
            self.end(RunStatus.CANCELLED)
        elif retry_at is None:
            self.end(RunStatus.FAILED)
        else:
            self.status, self.due, self.sleeps = RunStatus.READY, retry_at, False

    def lose(self, now: datetime) -> None:
        """Be taken from a dead worker."""
        self.token += 1
        self.lines += 1
        self.lost += self.status is RunStatus.RUNNING
        if self.cancelling:
            self.end(RunStatus.CANCELLED)
        elif self.status is RunStatus.RUNNING and self.lost >= self.max_deliveries:
            self.end(RunStatus.FAILED)
        else:
            self.wake(now)


class Model:
    """All runs, and the workers with their last heartbeats."""

    def __init__(self) -> None:
        self.runs: dict[UUID, Run] = {}
        self.beats: dict[str, datetime] = {}
        self.dead: set[str] = set()

    def owns(self, claimed: ClaimedRun) -> bool:
        """Tell whether an attempt may still write."""
        run = self.runs.get(claimed.run_id)
        return run is not None and run.status in LEASED and run.token == claimed.lease.token

    def with_name(self, column: str, name: str) -> Run | None:
        """Find the open run that has a name."""
        found = [run for run in self.runs.values() if run.is_open and name and getattr(run, column) == name]
        assert len(found) <= 1
        return found[0] if found else None

    def due(self, now: datetime) -> list[Run]:
        """Return what may be claimed, in the order of claims."""
        ready = [run for run in self.runs.values() if run.status is RunStatus.READY and run.due and run.due <= now]
        return sorted(ready, key=lambda run: (-run.priority, run.due, run.id.hex))

    def may_retry(self, run: Run) -> bool:
        """Tell whether a run may go on and has its names to itself."""
        return run.status in RETRIABLE and not any(
            self.with_name(column, getattr(run, column)) for column in ("dedupe", "supersede")
        )

    def pass_time(self, now: datetime) -> None:
        """Declare the silent dead, take their runs, and wake those whose deadline has passed."""
        self.dead |= {name for name, heard in self.beats.items() if heard < now - LEASE}
        for run in self.runs.values():
            if run.status in LEASED and run.holder in self.dead:
                run.lose(now)
            elif run.status is RunStatus.WAITING and run.due is not None and run.due <= now:
                run.status = RunStatus.READY
