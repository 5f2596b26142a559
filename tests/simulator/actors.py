"""Attempts that move only when they are told to: each on a thread of its own, one thread at a time."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, TypeVar

from asgiref.sync import async_to_sync

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.engine.attempt import AttemptControl, aexecute, execute, is_async
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, History, Verdict, Write

from . import programs
from .ground import Ground, Handed

T = TypeVar("T")


class Gone(BaseException):
    """The process that ran the attempt is no more."""


class Actor:
    """One attempt in the hands of one simulated worker; the RunStore of that attempt.

    It stands still before each look at the database, and wherever it waits for a commit, until ``step()`` lets it go on.
    What it hands in is committed by its worker's tick.
    """

    # It asks on the calling thread; the scheduler lets one thread run at a time.
    is_blocking = True

    def __init__(self, claimed: ClaimedRun, worker_id: str, ground: Ground) -> None:
        self.claimed = claimed
        self.worker_id = worker_id
        self.ground = ground
        self.control = AttemptControl()
        self.writes: list[Write] = []
        self.futures: list[Future[Verdict]] = []
        self.is_over = False
        self.is_gone = False
        self.dies_in_atomic = False
        self.raised: BaseException | None = None
        # Plain locks that one side takes and the other releases: a hand-over is most of what a move costs.
        self._turn = _taken()
        self._back = _taken()
        self._thread = threading.Thread(target=self._perform, daemon=True)
        self._thread.start()

    # --- what the scheduler does

    def step(self) -> None:
        """Let the attempt go on to where it next stands still, or to its end."""
        if not self.is_over:
            programs.DEEDS.end = self._vanish
            self._turn.release()
            self._back.acquire()

    def kill(self) -> None:
        """End the attempt where it stands; what was not committed is lost."""
        self.is_gone = True
        self.writes.clear()
        self.futures.clear()
        while not self.is_over:
            self.step()

    def take(self) -> tuple[Handed, list[Future[Verdict]]] | None:
        """Take what the attempt has handed in, for one commit; None when there is nothing."""
        if not self.writes and not self.futures:
            return None
        handed, futures = (self.claimed, self.worker_id, list(self.writes)), list(self.futures)
        self.writes.clear()
        self.futures.clear()
        return handed, futures

    # --- what the attempt's thread does

    def _perform(self) -> None:
        self._turn.acquire()
        try:
            with self.ground.on_thread():
                if is_async(get_task(self.claimed.task_path)):
                    async_to_sync(aexecute)(self.claimed, self, self.control)
                else:
                    execute(self.claimed, self, self.control)
        except Gone:
            pass
        except BaseException as error:
            self.raised = error
        self.is_over = True
        self._back.release()

    def _vanish(self) -> None:
        self.is_gone = True
        raise Gone

    def _stand(self) -> None:
        self._back.release()
        self._turn.acquire()
        if self.is_gone:
            raise Gone

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""
        self._stand()
        return self.ground.history(claimed)

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        if self.is_gone:
            raise Gone
        self.writes.append(write)

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        if self.is_gone:
            raise Gone
        self.writes.append(write)
        future = Awaited(self)
        self.futures.append(future)
        return future

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""
        if self.writes:
            flushed = Awaited(self)
            self.futures.append(flushed)
            flushed.result()
        self._stand()

        def performed() -> Any:
            done = perform()
            if self.dies_in_atomic:
                self._vanish()
            return done

        return self.ground.atomic(claimed, self.worker_id, performed)


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class Awaited(Future[Verdict]):
    """A future whose waiter hands its turn back until it is done."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self._actor = actor

    def result(self, timeout: float | None = None) -> Verdict:
        """Return the verdict, after as many turns as it takes."""
        while not self.done():
            self._actor._stand()
        return super().result()
