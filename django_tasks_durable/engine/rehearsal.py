"""A rehearsal: a body replayed on its history without any effect, up to the first primitive that is not answered there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from django_tasks_durable.exceptions import EndOfHistory
from django_tasks_durable.primitives.status import CheckpointKind, StepKind
from django_tasks_durable.primitives.writes import (
    Append,
    AtomicBody,
    ClaimedRun,
    History,
    SaveCheckpoint,
    Verdict,
    Write,
)

from .control import AttemptControl
from .effects import Act
from .frame import Frame, Pending, Strand
from .replay import Decision, Place, Replay, Replayed, ReplayedFailure
from .running import prepare, root
from .slice import Slice

if TYPE_CHECKING:
    from .context import DurableContext

T = TypeVar("T")

# What is inside of it is rehearsed, whether it has ended or not; and which way a body goes is no effect.
ENTERED = frozenset({CheckpointKind.CALL, CheckpointKind.PATCH})


class Rehearsal(Slice):
    """A slice that does nothing. Whatever would be done ends the line of execution that asks for it.

    With ``enters_finished`` the bodies of nested calls that have ended are rehearsed as well. Once it is known how all steps at
    the paths ``sought`` are undone, the rehearsal ends: what code comes behind them is not to be run again.
    """

    is_rehearsal = True

    def __init__(
        self,
        claimed: ClaimedRun,
        history: History,
        make_context: Callable[[Frame], DurableContext],
        *,
        enters_finished: bool = False,
        sought: Collection[str] = (),
    ) -> None:
        super().__init__(claimed, _SilentStore(), AttemptControl(), make_context)
        self.enters_finished = enters_finished
        self._sought = frozenset(sought)
        self._replay = Replay(history)

    def hear(self, strand: Strand, place: Place, kind: CheckpointKind, decision: Decision) -> None:
        """See Slice.hear()."""
        if kind not in ENTERED and not isinstance(decision, Replayed | ReplayedFailure):
            self.suspend(strand, Pending(path=place.path, wake_at=None))

    def learned(self, strand: Strand, path: str) -> None:
        """See Slice.learned()."""
        if self._sought and self._sought <= self.compensations.keys():
            self.suspend(strand, Pending(path=path, wake_at=None))

    def suspend(self, strand: Strand, *pending: Pending) -> None:
        """End this line of execution; others beside it go on to their own end."""
        strand.pending.extend(pending)
        strand.suspend = EndOfHistory(pending[0].path)
        raise strand.suspend

    def start_timeout(self, seconds: float | None) -> None:
        """A rehearsal takes the time it takes."""


def rehearse(rehearsal: Rehearsal) -> Act[BaseException | None]:
    """Replay the body as far as its history goes; return what it raised. What drifted is the rehearsal's ``doom``."""
    try:
        yield from root(rehearsal, prepare(rehearsal))
        rehearsal.root.finish()
    except (EndOfHistory, Exception) as error:
        return error
    return None


class _SilentStore:
    """A RunStore that writes nothing. What a body tells of itself it passes over; all else is the end of the history."""

    is_blocking = False

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""
        raise AssertionError("a rehearsal is given its history")

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        if isinstance(write, Append) and write.line.kind is StepKind.PARTIAL:
            raise EndOfHistory("a partial")

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        raise EndOfHistory(write.checkpoint.path if isinstance(write, SaveCheckpoint) else "a write")

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""
        raise EndOfHistory("an atomic step")
