"""What a worker holds, and what its attempts hand in, until it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django_tasks_durable.exceptions import AttemptBroken, RunCancelled, ShuttingDown
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.writes import (
    OUTCOMES,
    Failed,
    Released,
    Succeeded,
    Suspended,
    Verdict,
    Write,
)
from django_tasks_durable.store.deltas import Delta

from .held import HeldRun

RUNS_PER_TICK = 500


@dataclass(frozen=True, slots=True)
class Batch:
    """What one tick takes to the database: the runs that changed, with the writes of each."""

    runs: list[tuple[HeldRun, list[Write], list[Future[Verdict]]]]

    def deltas(self, worker_id: str) -> list[Delta]:
        """Gather the writes of each run into one change."""
        changes = []
        for held, writes, _ in self.runs:
            delta = Delta(held.claimed, worker_id)
            for write in writes:
                delta.add(write)
            changes.append(delta)
        return changes


class Desk:
    """Takes facts from any thread, in the order of each run, and keeps them until the writer's thread fetches a batch.

    Everything here is done under ``lock``; ``news`` is told what the writer should not sleep through.
    """

    def __init__(
        self,
        *,
        slot_freed: Callable[[HeldRun], None],
        begun: Callable[[HeldRun], None],
        never_began: Callable[[HeldRun], None],
    ) -> None:
        self.lock = threading.RLock()
        self.held: dict[UUID, HeldRun] = {}
        self.begun = begun
        self.never_began = never_began
        self._slot_freed = slot_freed
        self._news = threading.Condition(self.lock)
        self._dirty: dict[UUID, HeldRun] = {}
        self._urgent = False
        self._claim_wanted = True
        self._look_at: float | None = None

    def hold(self, held: HeldRun) -> None:
        """Take a claimed run into the worker's hands."""
        with self.lock:
            self.held[held.claimed.run_id] = held

    def hand_in(self, held: HeldRun, write: Write, future: Future[Verdict] | None, *, rouses: bool = True) -> None:
        """Queue one fact; the future, if any, is done when it is durable or refused.

        Unless it ``rouses`` the writer, the caller sees to it that somebody commits.
        """
        with self.lock:
            if held.lost or held.outcome is not None:
                if future is not None:
                    refuse(future, held.lease_lost())
                return
            if held.refused is not None:
                if isinstance(write, Succeeded | Suspended):
                    write = Failed(lease=write.lease, error=codec.error_record(held.refused))
                elif not isinstance(write, OUTCOMES):
                    if future is not None:
                        refuse(future, held.refused)
                    return
            held.writes.append(write)
            if isinstance(write, OUTCOMES):
                held.outcome = write
            self._dirty[held.claimed.run_id] = held
            if future is not None:
                held.futures.append(future)
                if not self._urgent:
                    self._urgent = True
                    if rouses:
                        self._news.notify()
            elif len(self._dirty) == 1:
                self._news.notify()

    def flushed(self, held: HeldRun) -> Future[Any]:
        """Return a future that is done once all that the run handed in is durable, or raises LeaseLost when it was refused."""
        future: Future[Any] = Future()
        with self.lock:
            if held.lost or held.outcome is not None:
                refuse(future, held.lease_lost())
            elif held.claimed.run_id not in self._dirty and not held.in_flight:
                future.set_result(None)
            else:
                held.futures.append(future)
                self._dirty[held.claimed.run_id] = held
                self._urgent = True
                self._news.notify()
        return future

    def flush(self, held: HeldRun) -> None:
        """Wait until all that the run handed in is durable. Raise LeaseLost when it was refused."""
        self.flushed(held).result()

    def slot_freed(self, held: HeldRun, *, abandoned: bool) -> None:
        """Hear that an attempt's code has ended.

        One that left no outcome, and no lost lease, has failed: given back, it would break the same way for ever.
        """
        if abandoned:
            with self.lock:
                if not held.lost and held.outcome is None:
                    broken = codec.error_record(AttemptBroken())
                    self.hand_in(held, Failed(lease=held.claimed.lease, error=broken), Future())
        self._slot_freed(held)

    def wake(self) -> None:
        """Say that there may be something to claim."""
        with self.lock:
            self._claim_wanted = True
            self._news.notify()

    def look_at(self, moment: float) -> None:
        """Look for what is to be claimed at that moment of the monotonic clock."""
        with self.lock:
            self._look_at = moment if self._look_at is None else min(self._look_at, moment)

    def heard(self, held: HeldRun, verdict: Verdict) -> None:
        """Pass on what the row said beside yes."""
        if verdict.cancel_requested and held.outcome is None:
            held.control.stop(RunCancelled())

    def lose_all(self) -> None:
        """Stop every attempt at once: this worker may no longer write for them."""
        with self.lock:
            runs = list(self.held.values())
            for held in runs:
                self._lose(held)
        for held in runs:
            held.control.stop(held.lease_lost())

    def stop_all(self, reason: ShuttingDown) -> None:
        """Ask every attempt to stop at its next primitive."""
        with self.lock:
            runs = list(self.held.values())
        for held in runs:
            held.control.stop(reason)

    def give_back(self, runs: Iterable[HeldRun]) -> None:
        """Give prefetched runs back, uncounted."""
        with self.lock:
            for held in runs:
                if held.give_back():
                    self.hand_in(held, Released(lease=held.claimed.lease), Future())

    def release_all(self) -> None:
        """Give back whatever is still held, whether its code has stopped or not: the fence keeps it from writing more."""
        with self.lock:
            for held in list(self.held.values()):
                if held.outcome is None:
                    held.give_back()
                    self.hand_in(held, Released(lease=held.claimed.lease), Future())

    def has_work(self) -> bool:
        """Tell whether anything waits to be written."""
        with self.lock:
            return bool(self._dirty)

    # --- what the writer's thread does with it

    def _until_look(self) -> float | None:
        """Return the seconds until a look that was put off, None when there is none; at its moment a claim is wanted."""
        if self._look_at is None:
            return None
        left = self._look_at - clock.monotonic()
        if left <= 0:
            self._look_at, self._claim_wanted = None, True
        return max(0.0, left)

    def _gather(self) -> Batch:
        with self.lock:
            runs = []
            for run_id in list(self._dirty)[:RUNS_PER_TICK]:
                held = self._dirty.pop(run_id)
                runs.append((held, held.writes, held.futures))
                held.writes, held.futures = [], []
                held.in_flight = True
            self._urgent = bool(self._dirty)
            return Batch(runs)

    def _drop(self, held: HeldRun) -> None:
        if self.held.get(held.claimed.run_id) is held:
            del self.held[held.claimed.run_id]

    def _lose(self, held: HeldRun) -> None:
        held.lost = True
        self._drop(held)
        self._dirty.pop(held.claimed.run_id, None)
        for future in held.futures:
            refuse(future, held.lease_lost())
        held.writes, held.futures = [], []

    def _requeue(self, held: HeldRun, writes: list[Write], futures: list[Future[Verdict]]) -> None:
        with self.lock:
            if held.lost:
                for future in futures:
                    refuse(future, held.lease_lost())
                return
            held.writes[:0] = writes
            held.futures[:0] = futures
            self._dirty[held.claimed.run_id] = held
            self._urgent = True

    def _put_back(self, batch: Batch) -> None:
        for held, writes, futures in batch.runs:
            self._requeue(held, writes, futures)
        with self.lock:
            self._claim_wanted = True


def fulfil(future: Future[Verdict], verdict: Verdict) -> None:
    """Say that what was handed in is durable."""
    try:
        future.set_result(verdict)
    except InvalidStateError:  # whoever waited has been cancelled meanwhile
        pass


def refuse(future: Future[Verdict], error: BaseException) -> None:
    """Say that what was handed in is not, and never will be, durable."""
    try:
        future.set_exception(error)
    except InvalidStateError:  # whoever waited has been cancelled meanwhile
        pass
