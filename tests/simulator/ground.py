"""What a simulated world stands on: a store that attempts write to, and the looks that its oracle takes at it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, History, Verdict, Write

T = TypeVar("T")

LEASE_SECONDS = 30.0
#: The key under which only so many runs may be held at a time.
FEW_KEY, FEW = "few", 2
#: How many deliveries of one run may be lost in a row.
DELIVERIES = 3

#: What an attempt has handed in for one commit.
Handed = tuple[ClaimedRun, str, list[Write]]


class DeclaredDead(Exception):
    """The worker that acts was declared dead."""


class Standing(NamedTuple):
    """What a look sees of a run."""

    status: str
    lease_token: int
    version: int
    last_sequence: int
    attempts: int
    crashes: int
    error_code: str
    result: str | None

    @property
    def counters(self) -> tuple[int, ...]:
        """What only grows."""
        return self[1:5]


class Called(NamedTuple):
    """What came of a call: a new run, or the one that its key stands for; and the runs it took the place of."""

    run_id: UUID
    is_new: bool
    superseded: tuple[UUID, ...] = ()


class Question(NamedTuple):
    """A question of a run, answered or not."""

    run_id: UUID
    path: str
    token: str
    answer: str | None
    deadline: datetime | None


class Heard(NamedTuple):
    """What a worker hears when it says that it lives: whether it still counts, and which attempts shall stop."""

    alive: bool
    cancelled: Sequence[tuple[UUID, int]]


class TimelineLine(NamedTuple):
    """A line of a run's timeline."""

    sequence: int
    kind: str
    message: str
    data: str


class Ended(NamedTuple):
    """A run as it stands in the end."""

    run_id: UUID
    status: str
    task_path: str
    args: str
    result: str | None
    attempts: int
    last_sequence: int
    error_code: str
    errors: str
    parent_id: UUID | None


class Ground(Protocol):
    """One store with all its doors. Every function is one move that nothing interrupts."""

    # --- producers and operators

    def accept(self, task: Any, program: Any) -> Called:
        """Enqueue a run."""

    def questions(self, *, open_only: bool) -> list[Question]:
        """List what runs have asked people, the oldest first; or only what they wait for now."""

    def resume(self, run_id: UUID, value: Any, token: str) -> None:
        """Answer a question."""

    def send(self, run_id: UUID, name: str, payload: Any) -> None:
        """Send a run a message."""

    def cancel(self, run_id: UUID) -> RunStatus:
        """Ask for a run to be cancelled."""

    def retry(self, run_id: UUID) -> None:
        """Have a failed or cancelled run go on."""

    def hurry(self, run_id: UUID) -> None:
        """Make a run due now."""

    # --- workers

    def enter(self, name: str) -> None:
        """Register a worker."""

    def leave(self, name: str) -> None:
        """Take a worker out that has given everything back."""

    def claim(self, name: str, paths: Sequence[str], limit: int) -> list[ClaimedRun]:
        """Claim what is due. Raise DeclaredDead."""

    def commit(self, batch: Sequence[Handed]) -> dict[UUID, Verdict | LeaseLost]:
        """Commit what attempts have handed in."""

    def beat(self, name: str, with_keys: Sequence[UUID]) -> Heard:
        """Say that a worker lives."""

    def sweep(self) -> str:
        """Declare the silent dead and take what they held. Tell what was found."""

    def keep_house(self) -> None:
        """Wake what is overdue, and look after parents and children."""

    def look_at_schedules(self) -> list[int]:
        """List the schedules that are due."""

    def fire(self, schedule: int) -> bool:
        """Decide the next tick of a schedule; False when nothing is due any more."""

    # --- attempts

    def on_thread(self) -> AbstractContextManager[None]:
        """Make ready the thread of an attempt."""

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""

    def atomic(self, claimed: ClaimedRun, worker_id: str, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""

    # --- looks

    def now(self) -> datetime:
        """Tell the time by the store's clock."""

    def due_next(self) -> list[datetime]:
        """Tell when the next run is due that is not due yet, if there is one."""

    def changes(self) -> Hashable:
        """Return something that is the same as long as nothing was written."""

    def standings(self) -> dict[UUID, Standing]:
        """Look at every run."""

    def held_of_few(self) -> int:
        """Count the runs of the limited key that are held."""

    def checkpoints(self) -> dict[tuple[UUID, str], tuple[Any, ...]]:
        """Look at every checkpoint; whether it is of a failure comes last."""

    def status(self, run_id: UUID) -> RunStatus:
        """Look at the status of a run."""

    def is_stale(self, claimed: ClaimedRun) -> bool:
        """Tell whether somebody else may write by now."""

    def is_dead(self, name: str) -> bool:
        """Tell whether a worker was declared dead."""

    def traces(self, run_id: UUID) -> Any:
        """Look at all that there is of a run; equal as long as nothing of it has changed."""

    def endings(self) -> list[Ended]:
        """Look at every run when all have ended."""

    def timeline(self, run_id: UUID) -> list[TimelineLine]:
        """Look at the timeline of a run."""

    def child(self, run_id: UUID, key: str) -> Ended:
        """Look at the run that another has started under a key."""

    def booked(self, run_id: UUID, key: str) -> tuple[int, bool]:
        """Count what an atomic step has done, and tell whether that is exact: rolled back with the rest."""

    def names_held(self) -> int:
        """Count the names that are held by runs that may no longer hold them."""

    def ticks(self) -> list[tuple[datetime, UUID | None]]:
        """List the ticks that were decided, in order."""
