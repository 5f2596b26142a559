"""A run store that commits each fact at once, on this thread's Django connection."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TypeVar

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, History, Verdict, Write

from . import history, vendors
from .atomic import perform_atomic
from .commit import Busy, commit
from .deltas import Delta

T = TypeVar("T")


class InlineStore:
    """The database store without a worker: for ``testing.drain()`` inside a TestCase, and for one attempt at a time.

    Facts that nobody waits for are kept and committed, in order, with the next one that somebody waits for.
    """

    # It works on the calling thread's connection, so a coroutine must ask it on that thread, and branches take turns.
    is_blocking = True

    def __init__(self, claimed: ClaimedRun, *, using: str, worker_id: str) -> None:
        self.claimed = claimed
        self.using = using
        self.worker_id = worker_id
        self._kept: list[Write] = []

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""
        return history.read(vendors.session(self.using), claimed)

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        self._kept.append(write)

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        self._kept.append(write)
        future: Future[Verdict] = Future()
        try:
            future.set_result(self.flush())
        except (LeaseLost, Exception) as error:
            future.set_exception(error)
        return future

    def flush(self) -> Verdict:
        """Commit what was kept. Raise LeaseLost when the lease is gone."""
        delta = Delta(self.claimed, self.worker_id)
        for write in self._kept:
            delta.add(write)
        self._kept.clear()
        session = vendors.session(self.using)
        with session.transaction():
            answer = commit(session, [delta], waits_for_locks=True)[self.claimed.run_id]
        if isinstance(answer, LeaseLost):
            raise answer
        assert not isinstance(answer, Busy), "a commit that waits for the lock is never busy"
        return answer

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""
        if self._kept:
            self.flush()
        return perform_atomic(self.using, claimed, self.worker_id, perform)[0]
