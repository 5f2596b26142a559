"""The one thread of a worker that writes: a tick carries all that waits, and the next claim, in one transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID

from django_tasks_durable.exceptions import LeaseLost, PersistenceFailed
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.writes import (
    ClaimedRun,
    Failed,
    History,
    Outcome,
    SaveCheckpoint,
    Verdict,
    Write,
)
from django_tasks_durable.store import claims, history, vendors, workers
from django_tasks_durable.store import commit as commits

from .desk import Batch, Desk, fulfil, refuse
from .held import HeldRun

logger = logging.getLogger("django_tasks_durable.worker")

LAZY_SECONDS = 0.02
BUSY_SECONDS = 0.01


class Writer(Desk):
    """The desk with a thread behind it, which commits what was handed in, together, behind each run's fence.

    A tick starts when the last one came back and somebody waits; what nobody waits for rides along, or goes after 20 ms.
    The callbacks are called on the writer's thread: ``appetite()`` says how much to claim, ``take(runs)`` receives what was
    claimed, ``settled(pairs)`` hears of committed outcomes, ``moved(list_runs)`` of all else that was committed.
    """

    def __init__(
        self,
        using: str,
        worker_id: str,
        *,
        is_direct: bool | None,
        appetite: Callable[[], list[tuple[claims.Wanted, int]]],
        take: Callable[[list[tuple[ClaimedRun, History]]], None],
        settled: Callable[[list[tuple[HeldRun, Outcome, Verdict]]], None],
        moved: Callable[[Callable[[], list[UUID]]], None],
        slot_freed: Callable[[HeldRun], None],
        begun: Callable[[HeldRun], None],
        never_began: Callable[[HeldRun], None],
        declared_dead: Callable[[str], None],
        looked: Callable[[bool], None],
        found_none: Callable[[claims.Wanted, float], None],
        kin: Callable[[HeldRun, list[Write]], None],
        paused: Callable[[frozenset[str]], None],
    ) -> None:
        super().__init__(slot_freed=slot_freed, begun=begun, never_began=never_began)
        self.using = using
        self.worker_id = worker_id
        self._is_direct = is_direct
        self.is_stopping = False
        self.last_error: BaseException | None = None
        self._appetite = appetite
        self._take = take
        self._settled = settled
        self._moved = moved
        self._declared_dead = declared_dead
        self._looked = looked
        self._found_none = found_none
        self._kin = kin
        self._paused = paused
        self._session: vendors.Session | None = None
        self._busy_until = 0.0
        self._doubtful = Batch([])
        self._claims_open = True
        self._claims_doubtful = False
        self._claiming = threading.Lock()

    def claim_no_more(self, seconds: float = 1.0) -> None:
        """End claiming, and wait so long for a claim that is under way: what it brings is held when this returns."""
        self._claims_open = False
        if self._claiming.acquire(timeout=seconds):
            self._claiming.release()

    # --- the thread

    def run(self) -> None:
        """Tick until stopped and empty."""
        backoff = 0.1
        while not (self.is_stopping and not self.has_work()):
            self._wait()
            try:
                self.turn()
                backoff = 0.1
            except Exception as error:
                self._recover(error, backoff)
                backoff = min(backoff * 2, 5.0)
        self.close()

    def cut(self) -> None:
        """Shut the connection's socket down under a statement that may hang, from another thread."""
        session = self._session
        if session is not None:
            session.cut()

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _wait(self) -> None:
        with self._news:
            while not self._urgent and not self._claim_wanted and not self.is_stopping:
                if self._dirty:
                    self._news.wait(LAZY_SECONDS)
                    break
                self._news.wait(self._until_look())
            busy = self._busy_until - clock.monotonic()
            if busy > 0:
                self._news.wait(busy)

    def turn(self) -> bool:
        """Make one tick: commit what waits, claim what there is room for. Return whether anything was done."""
        with self._claiming:
            return self._turn()

    def _turn(self) -> bool:
        if self._doubtful.runs or self._claims_doubtful:
            self._settle_doubts(self._connect())
        batch = self._gather()
        wanted = self._appetite_now()
        if not batch.runs and not wanted:
            return False
        return self._tick(batch, wanted)

    def commit_alone(self) -> None:
        """Commit what the only run in hand has handed in on the calling thread, unless a tick is under way.

        The two hand-overs between threads would cost a lone run nearly as much as its commit. What fails here was put back,
        and fails again on the writer's thread, which knows what to do.
        """
        if len(self.held) == 1 and self._claiming.acquire(blocking=False):
            try:
                if not (self._doubtful.runs or self._claims_doubtful or self.last_error):
                    self._tick(self._gather(), [])
            except Exception as error:
                logger.debug("A run could not commit by itself: %r", error)
            finally:
                self._claiming.release()
        with self._news:
            if self._urgent:
                self._news.notify()

    def _tick(self, batch: Batch, wanted: list[tuple[claims.Wanted, int]]) -> bool:
        asked = bool(wanted)
        session = self._connect()
        try:
            answers, claimed = self._transact(session, batch, wanted)
        except Exception as error:
            self._put_back(batch)
            if session.is_transient(error):
                return True
            if session.brand.is_disconnect(error):
                self._doubtful = batch
                self._claims_doubtful |= asked
            elif batch.runs and not isinstance(error, claims.WorkerDeclaredDead):
                self._commit_apart(session, error)
                return True
            raise
        self._answers_again()
        self._deliver(batch, answers)
        self._moved(lambda: _moved_by(batch, answers, claimed))
        if any(held.outcome for held, _, _ in batch.runs):
            crash_point("after_outcome")
        if asked:
            self._looked(bool(claimed))
        if claimed:
            crash_point("after_claim")
            # Until they are in hand, a failure would leave them to a worker that lives and knows nothing of them.
            self._claims_doubtful = True
            self._take(self._with_history(session, claimed))
            self._claims_doubtful = False
        return bool(batch.runs or claimed)

    def _answers_again(self) -> None:
        if self.last_error is not None:
            logger.info("The database %r answers again", self.using)
            self.last_error = None

    def _connect(self) -> vendors.Session:
        if self._session is None:
            self._session = vendors.private_session(self.using, is_direct=self._is_direct)
        return self._session

    def _appetite_now(self) -> list[tuple[claims.Wanted, int]]:
        with self.lock:
            if not self._claim_wanted or not self._claims_open:
                return []
            self._claim_wanted = False
        return self._appetite()

    def _transact(
        self, session: vendors.Session, batch: Batch, wanted: list[tuple[claims.Wanted, int]]
    ) -> tuple[dict[UUID, commits.Answer], list[ClaimedRun]]:
        deltas = batch.deltas(self.worker_id)
        heads = claims.ready_heads(session, wanted[0][0]) if wanted else claims.Heads(())
        if heads.paused:
            self._paused(heads.paused)
        asks = (
            [(share, limit, claims.look(session, share, heads, limit=limit)) for share, limit in wanted]
            if heads
            else []
        )
        if not heads:
            if not deltas:
                return {}, []
            if commits.is_one_statement(session, deltas):
                crash_point("before_checkpoint")
                return commits.commit(session, deltas), []
        with session.transaction():
            crash_point("before_checkpoint")
            answers = commits.commit(session, deltas) if deltas else {}
            claimed = [
                run for share, limit, offers in asks for run in self._claim(session, share, limit, heads, offers)
            ]
        return answers, claimed

    def _claim(
        self,
        session: vendors.Session,
        wanted: claims.Wanted,
        limit: int,
        heads: claims.Heads,
        offers: list[claims.Offer],
    ) -> list[ClaimedRun]:
        begun = clock.monotonic()
        claimed = claims.claim(session, wanted, limit=limit, heads=heads, offers=offers)
        if not claimed:
            self._found_none(wanted, clock.monotonic() - begun)
        if len(claimed) == limit:
            with self.lock:
                self._claim_wanted = True
        return claimed

    def _with_history(self, session: vendors.Session, claimed: list[ClaimedRun]) -> list[tuple[ClaimedRun, History]]:
        fresh = History()
        return [(run, fresh if run.is_fresh else history.read(session, run)) for run in claimed]

    def _deliver(self, batch: Batch, answers: dict[UUID, commits.Answer]) -> None:
        settled: list[tuple[HeldRun, Outcome, Verdict]] = []
        for held, writes, futures in batch.runs:
            held.in_flight = False
            answer = answers[held.claimed.run_id]
            if isinstance(answer, commits.Busy):
                self._requeue(held, writes, futures)
                self._busy_until = clock.monotonic() + BUSY_SECONDS
                continue
            if isinstance(answer, LeaseLost):
                with self.lock:
                    self._lose(held)
                held.control.stop(answer)
                for future in futures:
                    refuse(future, answer)
                continue
            held.last_sequence = answer.last_sequence
            if held.has_kin:
                self._kin(held, writes)
            if held.outcome is not None and writes and writes[-1] is held.outcome:
                with self.lock:
                    self._drop(held)
                settled.append((held, held.outcome, answer))
            self.heard(held, answer)
            for future in futures:
                fulfil(future, answer)
        if settled:
            self._settled(settled)

    def _commit_apart(self, session: vendors.Session, error: BaseException) -> None:
        """One bad fact must not hold up the others: commit each run's change alone, and fail the one that cannot be stored."""
        logger.warning("%s could not commit its runs together (%s); each is committed by itself", self.worker_id, error)
        for held, writes, futures in self._gather().runs:
            single = Batch([(held, writes, futures)])
            try:
                answers, _ = self._transact(session, single, [])
            except Exception as failure:
                if session.is_transient(failure) or session.brand.is_disconnect(failure):
                    self._put_back(single)
                    continue
                logger.error(
                    "Run %s: the database refused what it wanted stored, so it fails: %s", held.claimed.run_id, failure
                )
                refused = PersistenceFailed(failure)
                for future in futures:
                    refuse(future, refused)
                if not futures and any(isinstance(write, SaveCheckpoint) for write in writes):
                    held.refused = refused
                if held.outcome is not None:
                    self._abandon_unstorable(held, refused)
            else:
                self._deliver(single, answers)

    def _abandon_unstorable(self, held: HeldRun, error: PersistenceFailed) -> None:
        """An outcome that cannot be stored must not leave the run RUNNING: fail it with a plain error instead."""
        held.outcome = None
        self.hand_in(held, Failed(lease=held.claimed.lease, error=codec.error_record(error)), Future())

    def _recover(self, error: BaseException, backoff: float) -> None:
        """The database went away: say so once, then try again until it is back. Nothing that was handed in is lost."""
        if isinstance(error, claims.WorkerDeclaredDead):
            self._declared_dead(str(error))
            return
        if self.last_error is None:
            logger.error(
                "The database %r does not answer (%s: %s); trying again", self.using, type(error).__name__, error
            )
        self.last_error = error
        with self._claiming:
            self.close()
        with self._news:
            self._news.wait(backoff)
            self._claim_wanted = True

    def _settle_doubts(self, session: vendors.Session) -> None:
        """After a commit whose answer never came, take out of the queue what is in the store already.

        A claim may have been in it too: what the store says is ours, but is not in our hands, is given back.
        """
        known = {held.claimed.run_id: held.last_sequence for held, _, _ in self._doubtful.runs}
        stored = commits.committed(session, self._doubtful.deltas(self.worker_id), known)
        for held, writes, futures in self._doubtful.runs:
            if (verdict := stored.get(held.claimed.run_id)) is not None:
                self._forget_stored(held, writes, futures, verdict)
        self._doubtful = Batch([])
        if self._claims_doubtful:
            with self.lock:
                held_ids = set(self.held)
            workers.give_back_orphans(session, self.worker_id, held_ids)
            self._claims_doubtful = False

    def _forget_stored(
        self, held: HeldRun, stored: list[Write], futures: list[Future[Verdict]], verdict: Verdict
    ) -> None:
        held.last_sequence = verdict.last_sequence
        if held.has_kin:
            self._kin(held, stored)
        with self.lock:
            held.writes = held.writes[len(stored) :]
            held.futures = held.futures[len(futures) :]
            if not held.writes and not held.futures:
                self._dirty.pop(held.claimed.run_id, None)
            has_ended = held.outcome is not None and stored[-1] is held.outcome
            if has_ended:
                self._drop(held)
        for future in futures:
            fulfil(future, verdict)
        self.heard(held, verdict)
        if has_ended and held.outcome is not None:
            self._settled([(held, held.outcome, verdict)])


def _moved_by(batch: Batch, answers: dict[UUID, commits.Answer], claimed: list[ClaimedRun]) -> list[UUID]:
    """List the runs that a commit moved on: what it claimed, and what it wrote of runs that go on."""
    written = (held.claimed.run_id for held, _, _ in batch.runs if held.outcome is None)
    return [*(run_id for run_id in written if isinstance(answers[run_id], Verdict)), *(run.run_id for run in claimed)]
