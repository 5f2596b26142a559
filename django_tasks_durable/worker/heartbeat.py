"""One heartbeat per worker, on a connection of its own, and the worker's own fence when it fails."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from django_tasks_durable.exceptions import RunCancelled
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import vendors, workers

if TYPE_CHECKING:
    from .loop import Worker

logger = logging.getLogger("django_tasks_durable.worker")
MARGIN = 1 / 3


class Heartbeat:
    """Renews the worker's lease, brings cancellations, and stops the worker's own work before the lease can end.

    The lease counts as renewed from the moment the statement was *sent*: the server may have taken it later, never earlier.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.interval = worker.options.heartbeat_seconds
        self.patience = worker.options.lease_seconds * (1 - MARGIN)
        self.failures = 0
        self.failures_in_all = 0
        self._stop = threading.Event()
        self._session: vendors.Session | None = None
        self._renewed_at = clock.monotonic()
        self._sent_at: float | None = None
        self._cut_off: float | None = None
        self._fenced = False

    def registered(self, asked_at: float) -> None:
        """Hear that the worker's row was written, as asked for at that reading of the monotonic clock: its first heartbeat."""
        self._renewed_at = asked_at

    def stop(self) -> None:
        """Beat no more."""
        self._stop.set()

    def run(self) -> None:
        """Beat until stopped."""
        self._tell_health()
        while not self._stop.wait(self.interval if not self.failures else min(self.interval, 1.0)):
            self.beat()
        if self._session is not None:
            self._session.close()

    def beat(self) -> None:
        """Send one heartbeat and act on what it heard; a failed one is unknown, not lost, until the lease's margin."""
        if self._session is None:
            self._session = vendors.private_session(self.worker.using)
        worker_id = self.worker.worker_id
        sent_at = self._sent_at = clock.monotonic()
        try:
            with self.worker.writer.lock:
                held = [run.claimed for run in self.worker.writer.held.values()]
            with_keys = [claimed.run_id for claimed in held if claimed.holds_keys]
            heard = workers.beat(
                self._session,
                worker_id,
                holds_runs=bool(held),
                with_keys=with_keys,
                failures=self.failures_in_all,
                deaf_because=self.worker.deaf_because,
            )
        except Exception as error:
            if self._session.brand.has_one_writer and self._session.is_transient(error):
                # Somebody holds the one write lock for long. While he does, nobody can take this worker's runs either.
                self._renewed_at = clock.monotonic()
                return
            self.failures += 1
            self.failures_in_all += 1
            logger.warning("Heartbeat %s of %s failed: %s", self.failures, worker_id, error)
            self._session.close()
            self._session = None
            return
        finally:
            self._sent_at = None
        self.failures = 0
        if worker_id != self.worker.worker_id:
            return
        if not heard.alive:
            self.worker.declared_dead(worker_id)
        elif self._fenced:
            self._start_anew(worker_id)
        # With one writer at a time, the instant is taken when the lock was got, not when it was asked for.
        self._renewed_at = clock.monotonic() if self._session.brand.has_one_writer else sent_at
        self._fenced = False
        self._tell_health()
        self._cancel(heard)

    def _tell_health(self) -> None:
        """Renew the file whose age a container's probe looks at. A disk that is full must not stop a worker that works."""
        file = self.worker.settings.health_file
        if file is None:
            return
        try:
            draft = file.with_name(f".{file.name}.draft")
            draft.write_text(f"{self.worker.worker_id}\n")
            draft.replace(file)
        except OSError as error:
            logger.warning("The health file %s cannot be written: %s", file, error)

    def _start_anew(self, worker_id: str) -> None:
        """After fencing itself the worker holds nothing, but the rows still name it: leave, so that a sweep takes them."""
        assert self._session is not None
        workers.leave(self._session, worker_id)
        self.worker.declared_dead(worker_id)

    def _cancel(self, heard: workers.Beat) -> None:
        with self.worker.writer.lock:
            found = [(self.worker.writer.held.get(run_id), token, reason) for run_id, token, reason in heard.cancelled]
        for held, token, reason in found:
            if held is not None and held.claimed.lease.token == token and held.outcome is None:
                held.control.stop(RunCancelled(reason))

    def look_after(self) -> None:
        """Called from the main thread: cut a connection that hangs, and fence this worker when nothing was renewed in time.

        A proxy that swallows packets is noticed by no timeout of the driver; shutting down the socket under it is.
        """
        now = clock.monotonic()
        sent_at, session = self._sent_at, self._session
        if session is not None and sent_at is not None:
            if session.brand.has_one_writer:
                return  # it waits for the one write lock: nobody else can write, let alone take over
            if now - sent_at > self.patience / 2 and self._cut_off != sent_at:
                self._cut_off = sent_at
                logger.warning("A heartbeat of %s hangs; its connection is cut", self.worker.worker_id)
                session.cut()
        if not self._fenced and now - self._renewed_at > self.patience:
            self._fenced = True
            logger.error(
                "%s could not renew its lease for %.1f s and stops its own work before others take it over",
                self.worker.worker_id,
                now - self._renewed_at,
            )
            self.worker.writer.lose_all()
            self.worker.writer.cut()
