"""A seat in the database: one run in the hands of one stream, which is a worker of that run alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django_tasks_durable import signals
from django_tasks_durable.exceptions import AlreadyRunning, ControlFlow, LimitReached, RunCancelled
from django_tasks_durable.primitives.ids import new_worker_id
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.writes import Append, AtomicBody, ClaimedRun, Outcome, RunStore, Verdict

from . import claims, maintenance, transfers, vendors, workers
from .inline import InlineStore, T
from .pulse import Pulse, give_back
from .seats import Glance, Seat
from .tables import RUNS

if TYPE_CHECKING:
    from .database import DatabaseStore

logger = logging.getLogger("django_tasks_durable.store")
NOBODY = UUID(int=0)


class DatabaseSeat(Seat):
    """See Seat. Its worker is one of its own, known by its heartbeat while an attempt runs outside a transaction."""

    is_blocking = True
    #: The workers of all seats of this process.
    here: ClassVar[set[str]] = set()
    #: What the workers of dropped seats still hold, until somebody gives it back for them.
    abandoned: ClassVar[dict[str, ClaimedRun]] = {}

    def __init__(self, store: DatabaseStore, run_id: UUID = NOBODY) -> None:
        self.run_id = run_id
        self.worker_id = ""
        self._store = store
        self._ahead: ClaimedRun | None = None
        self._claimed: ClaimedRun | None = None
        self._facts: _SeatStore | None = None
        self._pulse: Pulse | None = None

    @property
    def _session(self) -> vendors.Session:
        return vendors.session(self._store.using)

    def enter(self) -> None:
        """Be a worker, and hold its row till the end of the open transaction."""
        session = self._session
        if self.worker_id:
            try:
                claims.hold_worker(session, self.worker_id)
                return
            except claims.WorkerDeclaredDead:
                self.forget()
        self.worker_id = new_worker_id("stream")
        workers.register(session, self.worker_id, queues=None, concurrency=1, lease_seconds=self._store.lease_seconds)
        self.here.add(self.worker_id)

    def claim_ahead(self) -> None:
        """Take the run, in the open transaction, for the attempt that is to come."""
        try:
            self._ahead = claims.claim_one(self._session, self.worker_id, self.run_id)
        except LimitReached:
            self._ahead = None  # what goes with it is kept; whoever wants to go on is told

    def look(self) -> Glance:
        return self._store.glance(self.run_id)

    def family(self) -> list[Glance]:
        return self._store.family(self.run_id)

    def of_child(self, run_id: UUID) -> DatabaseSeat:
        return DatabaseSeat(self._store, run_id)

    def claim(self) -> ClaimedRun | None:
        claimed, self._ahead = self._ahead or self._claim(), None
        if claimed is None:
            maintenance.wake_overdue(self._session)
            if (holder := self._holder()) is not None:
                self._take_from(holder)
            claimed = self._claim()
        if claimed is None and (holder := self._holder()) is not None:
            raise AlreadyRunning(self.run_id, holder, is_here=holder in self.here)
        self._claimed = claimed
        return claimed

    def _take_from(self, holder: str) -> None:
        """Take the run from a worker that is no more: a seat of this process that was dropped, or one that fell silent."""
        left = self.abandoned.pop(holder, None)
        if left is not None:
            give_back(self._session, left)
        else:
            workers.declare_dead(self._session)
            workers.sweep(self._session)

    def _claim(self) -> ClaimedRun | None:
        with vendors.write_transaction(self._store.using):
            self.enter()
            return claims.claim_one(self._session, self.worker_id, self.run_id)

    def _holder(self) -> str | None:
        session = self._session
        held = session.execute(
            f"SELECT lease_worker FROM {RUNS} WHERE id = %s AND status IN ('CLAIMED', 'RUNNING')",
            (session.uuid(self.run_id),),
        )
        return held[0][0] if held else None

    def sit(self, claimed: ClaimedRun, stop: Callable[[ControlFlow], None]) -> RunStore:
        if self._pulse is None and not self._session.connection.in_atomic_block:
            # Inside a transaction nobody else sees the run, or its row is locked: nobody can take it.
            self._pulse = Pulse(
                self._store.using,
                self.worker_id,
                every=self._store.heartbeat_seconds,
                lasts=self._store.lease_seconds,
            )
        if self._pulse is not None:
            self._pulse.watch(claimed.lease, stop)
        if signals.run_started.receivers:
            signals.run_started.send_robust(sender=None, claimed=claimed)
        self._facts = _SeatStore(claimed, using=self._store.using, worker_id=self.worker_id, stop=stop)
        return self._facts

    def snapshot(self) -> dict[str, Any]:
        return self._store.snapshot(self.run_id) if self._facts is None else self._facts.snapshot(self.look)

    def ended(self, claimed: ClaimedRun, outcome: Outcome, verdict: Verdict) -> None:
        using = self._store.using
        signals.run_changed.send_robust(sender=None, using=using, run_ids=[self.run_id])
        signals.run_ended.send_robust(sender=None, using=using, claimed=claimed, outcome=outcome, status=verdict.status)

    def take_out(self) -> PortableRun:
        return transfers.take_out(self.run_id, using=self._store.using)

    def leave(self) -> None:
        try:
            if self._ahead is not None:
                give_back(self._session, self._ahead)
            elif self.worker_id:
                workers.leave(self._session, self.worker_id)
        except Exception as error:
            # Whoever leaves has something to tell already; the lease ends by itself.
            logger.warning("A stream of run %s could not let go of it: %s", self.run_id, error)
        finally:
            self._ahead = None
            self.forget()

    def abandon(self) -> None:
        held = self._ahead or self._claimed
        if not self.worker_id or held is None:
            return
        self.abandoned[self.worker_id] = held
        if self._pulse is not None:
            self._pulse.end_for(held, partial(self.abandoned.pop, self.worker_id, None))
        self.here.discard(self.worker_id)
        self.worker_id, self._pulse = "", None

    def forget(self) -> None:
        """Be no worker any more, and tell nobody."""
        if self._pulse is not None:
            self._pulse.end()
        self.here.discard(self.worker_id)
        self.worker_id, self._pulse = "", None


class _SeatStore(InlineStore):
    """Remembers how the run stands, so that a partial costs no more than its commit."""

    def __init__(self, claimed: ClaimedRun, *, using: str, worker_id: str, stop: Callable[[ControlFlow], None]) -> None:
        super().__init__(claimed, using=using, worker_id=worker_id)
        self._stop = stop
        self._glance: Glance | None = None

    def flush(self) -> Verdict:
        if not all(isinstance(write, Append) for write in self._kept):
            self._glance = None
        verdict = super().flush()
        if self._glance is not None:
            self._glance = replace(self._glance, sequence=verdict.last_sequence)
        if verdict.cancel_requested:
            self._stop(RunCancelled())
        return verdict

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        self._glance = None
        return super().atomic(claimed, perform)

    def snapshot(self, look: Callable[[], Glance]) -> dict[str, Any]:
        """Make what was handed over durable, and return what can be seen of the run."""
        if self._kept:
            self.flush()
        if self._glance is None:
            self._glance = look()
        return self._glance.as_snapshot()
