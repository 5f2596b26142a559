"""The heartbeat of a stream in this process, which is a worker of one run while it lasts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from uuid import UUID

from django_tasks_durable.exceptions import ControlFlow, LeaseLost, RunCancelled
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.writes import ClaimedRun, Released

from . import vendors, workers
from .commit import commit
from .deltas import Delta

logger = logging.getLogger("django_tasks_durable.store")
# Past this share of the lease without a beat the attempt is stopped, before anybody else may take the run.
PATIENCE = 2 / 3


class Pulse:
    """Beats for one worker from a thread and a connection of its own, and stops the attempt that must not go on."""

    def __init__(self, using: str, worker_id: str, *, every: float, lasts: float) -> None:
        self._using = using
        self._worker_id = worker_id
        self._every = every
        self._lasts = lasts
        self._attempt: tuple[Lease, Callable[[ControlFlow], None]] | None = None
        self._left: ClaimedRun | None = None
        self._given_back: Callable[[], object] = bool
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dtd-pulse", daemon=True)
        self._thread.start()

    def watch(self, lease: Lease, stop: Callable[[ControlFlow], None]) -> None:
        """Call ``stop`` when the attempt with this lease must not go on."""
        self._attempt = lease, stop

    def end(self) -> None:
        """Beat no more."""
        self._done.set()
        self._thread.join()

    def end_for(self, left: ClaimedRun, done: Callable[[], object]) -> None:
        """Beat no more, and give back what was left, without waiting for either; ``done`` is called then."""
        self._left, self._given_back = left, done
        self._done.set()

    def _run(self) -> None:
        session = vendors.private_session(self._using)
        beaten_at = clock.monotonic()
        try:
            while not self._done.wait(self._every):
                asked_at = clock.monotonic()
                try:
                    heard = workers.beat(session, self._worker_id)
                except Exception as error:
                    logger.warning("A heartbeat of %s failed: %s", self._worker_id, error)
                    session.close()
                    if clock.monotonic() - beaten_at > self._lasts * PATIENCE:
                        self._lose()
                    continue
                beaten_at = asked_at
                if not heard.alive:
                    self._lose()
                for run_id, token, reason in heard.cancelled:
                    self._cancel(run_id, token, reason)
            if self._left is not None:
                give_back(session, self._left)
                self._given_back()
        except Exception as error:
            logger.warning("Worker %s could not give back what it held: %s", self._worker_id, error)
        finally:
            session.close()

    def _cancel(self, run_id: UUID, token: int, reason: str) -> None:
        if self._attempt is not None and self._attempt[0] == Lease(run_id=run_id, token=token):
            self._attempt[1](RunCancelled(reason))

    def _lose(self) -> None:
        if self._attempt is not None:
            lease, stop = self._attempt
            stop(LeaseLost(lease.run_id, lease.token))


def give_back(session: vendors.Session, claimed: ClaimedRun) -> None:
    """Give a claimed run back unharmed, if nobody else has it by now, and let its worker leave."""
    delta = Delta(claimed, claimed.worker_id)
    delta.add(Released(lease=claimed.lease))
    with session.transaction():
        commit(session, [delta], waits_for_locks=True)
        workers.leave(session, claimed.worker_id)
