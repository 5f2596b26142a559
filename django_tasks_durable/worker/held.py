"""A run in this worker's hands."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.writes import (
    AtomicBody,
    ClaimedRun,
    History,
    Outcome,
    RunStore,
    Spawn,
    Verdict,
    Write,
)
from django_tasks_durable.store.atomic import perform_atomic

if TYPE_CHECKING:
    from .writer import Writer

T = TypeVar("T")


class HeldRun:
    """A claimed run from the claim to the commit of its outcome; the RunStore of its one attempt.

    What the attempt hands over is queued here, in order, until a tick of the writer commits it.
    """

    __slots__ = (
        "_begun", "_given_back", "claimed", "control", "futures", "has_children", "history_read", "in_flight", "is_async",
        "last_sequence", "lost", "outcome", "taken_at", "writer", "writes",
    )  # fmt: skip

    def __init__(self, claimed: ClaimedRun, writer: Writer, *, is_async: bool, history: History) -> None:
        self.claimed = claimed
        self.writer = writer
        self.control = AttemptControl()
        self.is_async = is_async
        self.history_read = history
        self.taken_at = clock.monotonic()
        self.last_sequence = claimed.last_sequence
        self.writes: list[Write] = []
        self.futures: list[Future[Verdict]] = []
        self.outcome: Outcome | None = None
        self.has_children = False
        self.lost = False
        self.in_flight = False
        self._begun = False
        self._given_back = False

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
            self.writer.begun(self)
            return True

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
        """See RunStore.history(). It was read right after the claim."""
        return self.history_read

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        self.writer.hand_in(self, write, None)

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        future: Future[Verdict] = Future()
        self._expect(write)
        self.writer.hand_in(self, write, future)
        return future

    def _expect(self, write: Write) -> None:
        if isinstance(write, Spawn):
            self.has_children = True

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        future: Future[Verdict] = Future()
        self._expect(write)
        self.writer.hand_in(self, write, future, rouses=False)
        self.writer.commit_alone()
        return future.result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic(). What was handed in before is committed first, so that the order holds."""
        self.writer.flush(self)
        value, verdict = perform_atomic(self.writer.using, claimed, self.writer.worker_id, perform)
        self.last_sequence = verdict.last_sequence
        self.writer.heard(self, verdict)
        return value
