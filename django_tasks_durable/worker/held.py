"""A run in this worker's hands."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from django_tasks_durable.authoring.options import timeout_of
from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.exceptions import LeaseLost, PersistenceFailed
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import Level, StepKind
from django_tasks_durable.primitives.writes import (
    Append,
    AtomicBody,
    ClaimedRun,
    History,
    Line,
    Outcome,
    RunStore,
    SaveCheckpoint,
    Spawn,
    Started,
    Verdict,
    Write,
)
from django_tasks_durable.store import history as stored
from django_tasks_durable.store import vendors
from django_tasks_durable.store.atomic import perform_atomic

if TYPE_CHECKING:
    from .writer import Writer

T = TypeVar("T")
OVERDUE_SECONDS = 1.0
OVERDUE = (
    "Its time is up, but it does not come to a primitive, and what runs on the executor {!r} cannot be stopped elsewhere: "
    "it keeps its slot until it ends by itself."
)


class HeldRun:
    """A claimed run from the claim to the commit of its outcome; the RunStore of its one attempt.

    What the attempt hands over is queued here, in order, until a tick of the writer commits it.
    """

    __slots__ = (
        "_begun", "_given_back", "_has_gone_on", "claimed", "control", "executor", "futures", "has_children", "history_read",
        "in_flight", "last_sequence", "lost", "outcome", "overdue_at", "refused", "taken_at", "writer", "writes",
    )  # fmt: skip

    def __init__(self, claimed: ClaimedRun, writer: Writer, *, executor: str, history: History) -> None:
        self.claimed = claimed
        self.writer = writer
        self.control = AttemptControl()
        self.executor = executor
        self.history_read = history
        self.taken_at = clock.monotonic()
        self.last_sequence = claimed.last_sequence
        self.writes: list[Write] = []
        self.futures: list[Future[Verdict]] = []
        self.outcome: Outcome | None = None
        self.has_children = False
        self.lost = False
        # Why the database refused what nobody waited for; nothing may rest on what comes after it.
        self.refused: PersistenceFailed | None = None
        self.in_flight = False
        self._begun = False
        self._has_gone_on = False
        self._given_back = False
        self.overdue_at: float | None = None

    @property
    def store(self) -> RunStore:
        """Where the attempt leaves its facts: here."""
        return self

    def lease_lost(self) -> LeaseLost:
        """Make the refusal of this run's lease."""
        return LeaseLost(self.claimed.run_id, self.claimed.lease.token)

    @property
    def has_kin(self) -> bool:
        """Whether the run is a child, or has started children in this slice."""
        return self.has_children or self.claimed.parent_id is not None

    @property
    def is_waiting(self) -> bool:
        """Whether the run is prefetched and its body has not begun."""
        return not self._begun and not self._given_back

    def begin(self) -> bool:
        """Take the run out of the prefetch; False when it was given back or lost meanwhile."""
        with self.writer.lock:
            if self._given_back:
                return False
            if self.lost:
                self.writer.never_began(self)
                return False
            self._begun = True
            if (timeout := timeout_of(self.claimed.options)) is not None:
                self.overdue_at = clock.monotonic() + timeout + OVERDUE_SECONDS
            self.writer.begun(self)
            return True

    def is_overdue(self, now: float) -> bool:
        """Tell whether the body goes on although its time was up a moment ago, and nobody has said so yet."""
        return self.overdue_at is not None and now > self.overdue_at and self.outcome is None

    def mark_overdue(self) -> None:
        """Say in the timeline that what carries the run cannot stop it."""
        self.overdue_at = None
        line = Line(kind=StepKind.LOG, level=Level.WARN, message=OVERDUE.format(self.executor))
        self.submit(Append(lease=self.claimed.lease, line=line))

    def give_back(self) -> bool:
        """Take the run out of the prefetch to give it back. Call under the writer's lock."""
        if not self.is_waiting:
            return False
        self._given_back = True
        return True

    def ended(self, ending: tuple[Outcome, Future[Verdict]] | None) -> None:
        """Free the executor's slot; the run itself is held until its outcome is committed."""
        self.writer.slot_freed(self, abandoned=ending is None)

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history(). It was read right after the claim, and is read again once there may be more of it."""
        if not self._has_gone_on:
            return self.history_read
        self.writer.flush(self)
        session = vendors.private_session(self.writer.using)
        try:
            return stored.read(session, claimed)
        finally:
            session.close()

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        self._has_gone_on |= isinstance(write, SaveCheckpoint)
        self.writer.hand_in(self, write, None)

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        return self._hand_in(write, rouses=True)

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        future = self._hand_in(write, rouses=False)
        self.writer.commit_alone()
        return future.result()

    def _hand_in(self, write: Write, *, rouses: bool) -> Future[Verdict]:
        future: Future[Verdict] = Future()
        if isinstance(write, Spawn):
            self.has_children = True
        self._has_gone_on |= not isinstance(write, Started)
        self.writer.hand_in(self, write, future, rouses=rouses)
        return future

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic(). What was handed in before is committed first, so that the order holds."""
        self.writer.flush(self)
        self._has_gone_on = True
        value, verdict = perform_atomic(self.writer.using, claimed, self.writer.worker_id, perform)
        self.heard(verdict)
        return value

    def flushed(self) -> Future[Any]:
        """See Carried.flushed()."""
        return self.writer.flushed(self)

    def heard(self, verdict: Verdict) -> None:
        """See Carried.heard()."""
        self._has_gone_on = True
        self.last_sequence = verdict.last_sequence
        self.writer.heard(self, verdict)
