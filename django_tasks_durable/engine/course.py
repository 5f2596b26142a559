"""The way of one run through this process, slice by slice, whatever store holds it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django_tasks_durable.authoring.streaming import StreamItem
from django_tasks_durable.authoring.tasks import DurableTask
from django_tasks_durable.exceptions import Interrupted, LeaseLost, StepFailed, TaskCancelled
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, RunStore
from django_tasks_durable.store.memory import MemoryStore
from django_tasks_durable.store.memory_seat import MemorySeats
from django_tasks_durable.store.seats import DATABASE, DrivenStore, Glance, Seat, offered

from . import attempt
from .context import DurableContext
from .control import AttemptControl
from .slice import Slice

Task = DurableTask[..., Any]
Taken = tuple[ClaimedRun, RunStore, AttemptControl]


def driven(store: Any, task: Task) -> DrivenStore:
    """Return the store that a run is driven in, a new one in memory for None. Raise TypeError for another kind."""
    if store is None:
        return MemorySeats(MemoryStore())
    if isinstance(store, MemoryStore):
        return MemorySeats(store)
    if isinstance(store, DrivenStore):
        return store
    if store == DATABASE:
        return offered(DATABASE, task.backend)
    raise TypeError(f"store={store!r}: give a MemoryStore, a DatabaseStore or {DATABASE!r}.")


def in_memory(store: Any) -> MemoryStore | None:
    """Return the store in memory that a run of a workflow is in; None for the database. Raise TypeError for another kind."""
    if store is None or store == DATABASE or isinstance(store, DrivenStore):
        return None
    if not isinstance(store, MemoryStore):
        raise TypeError(f"store={store!r}: give a MemoryStore, a DatabaseStore or {DATABASE!r}.")
    return store


class Course:
    """The way of one run through this process. ``opened`` gives its seat when it is first asked for."""

    def __init__(self, opened: Callable[[], Seat], *, is_blocking: bool) -> None:
        self._opened = opened
        self._seat: Seat | None = None
        self.is_blocking = is_blocking
        #: Whether the store may be asked even while the stream is being closed.
        self.asks_to_the_end = False
        self.interrupted: Interrupted | None = None
        self.slice: Slice | None = None

    @property
    def seat(self) -> Seat:
        """The seat of the run."""
        if self._seat is None:
            self._seat = self._opened()
        return self._seat

    @property
    def is_open(self) -> bool:
        """Whether there is a run, as far as anybody has asked."""
        return self._seat is not None

    def look(self) -> Glance:
        """Return how the run stands."""
        return self.seat.look()

    def seconds_left(self) -> float | None:
        """Return the seconds until the run goes on by itself; None when it is not to be waited for here."""
        return self.look().seconds_left

    def take(self) -> Taken | None:
        """Take the run for an attempt; None when it is not due after all. Raise AlreadyRunning."""
        claimed = self.seat.claim()
        if claimed is None:
            return None
        control = AttemptControl()
        return claimed, self.seat.sit(claimed, control.stop), control

    def begin(self) -> Slice | None:
        """Start a slice; see take()."""
        taken = self.take()
        self.slice = None if taken is None else Slice(*taken, DurableContext)
        return self.slice

    def next_child(self) -> Course | None:
        """Return the way of whoever is to go on while the run waits: of all below it, the one that is due first."""
        run, *others = self.seat.family()
        able = [each for each in others if each.status is not RunStatus.WAITING]
        if run.status is not RunStatus.WAITING or not able:
            return None
        first = min(able, key=lambda each: each.due_at or each.now)
        return Course(partial(self.seat.of_child, first.run_id), is_blocking=self.is_blocking)

    def settle(self, claimed: ClaimedRun, ending: attempt.Ending | None) -> None:
        """Wait for the end of a slice to be durable, and say so. Whoever took the run over tells its end himself."""
        if ending is None:
            return
        try:
            verdict = ending[1].result()
        except LeaseLost:
            return
        self.seat.ended(claimed, ending[0], verdict)

    def leave(self) -> None:
        """Let go of the run."""
        if self._seat is not None and self.may_ask():
            self._seat.leave()

    def may_ask(self) -> bool:
        """Tell whether the store may be asked; a stream that was dropped marks its seat as abandoned instead.

        Python drops things in the middle of anything, be it a statement on the very connection that would be asked.
        """
        if self.is_blocking and not self.asks_to_the_end and sys.exc_info()[0] is GeneratorExit:
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        """Leave the run to whoever comes next, without asking the store."""
        if self._seat is not None:
            self._seat.abandon()

    def item(self, partial: Any) -> StreamItem:
        """Make the item of a partial result, which is durable then."""
        return StreamItem(partial, self.seat.snapshot(), None)

    def questions(self) -> Iterator[StreamItem]:
        """Make the items of the questions that the run, or what it has started, now waits with."""
        family = self.seat.family()
        snapshot = family[0].as_snapshot()
        for wait in (wait for each in family for wait in each.open_waits):
            payload = codec.decode(wait.request)
            self.interrupted = self.interrupted or Interrupted(payload, wait.token)
            yield StreamItem(None, snapshot, payload, "interrupt", wait.token)

    def result(self) -> Any:
        """Return what the run returned. Raise what it raised, or Interrupted."""
        glance = self.look()
        if glance.status is RunStatus.SUCCESSFUL:
            return codec.decode(glance.result or "null")
        if (error := self.error(glance)) is not None:
            raise error
        if glance.status is RunStatus.WAITING and self.interrupted is None:
            list(self.questions())
        if self.interrupted is not None:
            raise self.interrupted
        raise RuntimeError(f"The run {glance.name!r} is {glance.status.lower()}: its stream was left before its end.")

    def error(self, glance: Glance) -> BaseException | None:
        """Return the error that ended the run: the very one, where it was raised here."""
        if glance.status is RunStatus.CANCELLED:
            return TaskCancelled(f"The run {glance.name!r} was cancelled.")
        if glance.status is not RunStatus.FAILED:
            return None
        raised = self.slice.error if self.slice is not None else None
        return _told(glance) if raised is None else raised


def _told(glance: Glance) -> Exception:
    last = json.loads(glance.errors)[-1]
    return StepFailed(last["message"], last["exception_class_path"])
