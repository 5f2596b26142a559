"""What any worker does for all: sweep the dead, wake the overdue, keep the queue's head clear, count, delete what is old."""

from __future__ import annotations

import heapq
import logging
import random
import threading
from typing import TYPE_CHECKING
from uuid import UUID

from django_tasks_durable import signals
from django_tasks_durable.executors.thread import check_connections
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import (
    keys,
    maintenance,
    retention,
    rollups,
    slots,
    stalls,
    user_transactions,
    vendors,
    workers,
)

from .family import Family
from .scheduler import Scheduler
from .untold import Untold

if TYPE_CHECKING:
    from .loop import Worker

logger = logging.getLogger("django_tasks_durable.worker")
DEADLINE_SECONDS = 5.0
BUSY_SECONDS = 0.02
PRUNE_SECONDS = 60.0
PRUNING_SECONDS = 0.5
ROLL_SECONDS = 30.0
ROLLING_SECONDS = 0.3
FORGET_SECONDS = 3600.0
SWEEPS_OF_A_BATCH = 3


class Maintenance:
    """Runs the chores, jittered; nobody is elected and every chore may run anywhere at once."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.sweep_seconds = worker.options.sweep_seconds
        self._regular = min(DEADLINE_SECONDS, self.sweep_seconds)
        self._stop = threading.Event()
        self._noted = threading.Event()
        # One that leaves when nothing is due sweeps first: nobody else may come who would.
        self._next_sweep = 0.0 if worker.settings.batch else clock.monotonic() + 0.8 * self._regular
        self.has_swept = False
        self._failures = 0
        self._next_prune = 0.0
        self._pruned_to: UUID | None = None
        self._next_expiry = 0.0
        self._next_roll = 0.0
        self._next_forget = 0.0
        self._deadlines: list[float] = []
        self.family = Family(worker, self._noted.set)
        self.untold = Untold()
        # The first look at the schedules is at once: it keeps those of the code in step. None: with whatever turn comes next.
        self._next_tick: float | None = 0.0
        self._looked_at = 0.0
        self.scheduler = Scheduler(worker.using, is_on=worker.settings.scheduler)

    def note_deadline(self, moment: float) -> None:
        """Look at that moment of the monotonic clock: a run that this worker parked is overdue then."""
        heapq.heappush(self._deadlines, moment)
        self._noted.set()

    def stop(self) -> None:
        """Do no more."""
        self._stop.set()
        self._noted.set()

    def run(self) -> None:
        """Do the chores until stopped."""
        session = vendors.private_session(self.worker.using)
        while not self._stop.is_set():
            self._noted.wait(self._until_next())
            self._noted.clear()
            try:
                self.turn(session)
            except Exception as error:
                logger.warning("Maintenance failed and will be tried again: %s", error)
                session.close()
                self._failed_first(self.worker.settings.batch)
                self._stop.wait(1.0)
        self._leave(session)

    def _failed_first(self, is_batch: bool) -> None:
        """A batch waits for its first sweep: soon again, but not for ever."""
        if is_batch and not self.has_swept:
            self._failures += 1
            self._next_sweep = 0.0
            self.has_swept = self._failures >= SWEEPS_OF_A_BATCH

    def _leave(self, session: vendors.Session) -> None:
        try:
            self.family.turn(session)
        except Exception as error:
            logger.warning("Parents and children of what ended last are left to other workers: %s", error)
        try:
            self.untold.write(session)
        except Exception as error:
            logger.warning("The charts miss some runs that ended last: %s", error)
        session.close()
        user_transactions.leave_thread()

    def _until_next(self) -> float:
        now = clock.monotonic()
        if self.family.is_busy:
            return BUSY_SECONDS
        while self._deadlines and self._deadlines[0] <= now:
            heapq.heappop(self._deadlines)
        exact = [*([] if self._next_tick is None else [self._next_tick]), *self._deadlines[:1]]
        return max(0.0, min([self._regular * random.uniform(0.8, 1.2), *(end - now + 0.005 for end in exact)]))

    def turn(self, session: vendors.Session) -> None:
        """Wake what is overdue; sweep, prune and tick when it is time."""
        changed = self.family.turn(session)
        changed += maintenance.wake_overdue(session)
        now = clock.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + self.sweep_seconds * random.uniform(0.8, 1.0)
            if maintenance.is_anything_astray(session, self.worker.wanted()):
                changed += self._sweep(session)
            changed += self._mark_stalled(session)
            if changed:
                self.worker.look_again()
            self.has_swept = True
        if now >= self._next_expiry:
            self._forget(session, now)
        if now >= self._next_roll:
            self._roll(session, now)
        if now >= self._next_prune:
            self._prune(session, now)
        if changed:
            self.worker.writer.wake()
            if signals.run_changed.receivers:
                signals.run_changed.send_robust(sender=None, using=self.worker.using, run_ids=changed)
                check_connections()  # those that receivers opened in this thread
        if now >= (self._looked_at + 0.75 * self._regular if self._next_tick is None else self._next_tick):
            self._looked_at = now
            wait = self.scheduler.turn(session)
            # A tick that is further away than the next turn needs no timer of its own, which would only add a turn.
            is_near = wait is not None and wait <= self._regular * 1.2
            self._next_tick = clock.monotonic() + wait if wait is not None and is_near else None

    def _sweep(self, session: vendors.Session) -> list[UUID]:
        """Put in order what is astray, and return the runs that were changed."""
        for worker_id in workers.declare_dead(session):
            logger.warning("Worker %s has fallen silent and is declared dead", worker_id)
        swept = workers.sweep(session)
        if swept:
            logger.warning("%s run(s) of dead workers are taken back", len(swept))
        self.family.look_for_forgotten(session)
        if unknown := maintenance.push_unknown_heads(session, self.worker.wanted()):
            logger.warning(
                "%s due run(s) are of tasks that this worker does not know, or pinned to another version of their code; they stay "
                "queued for a worker that has it (manage.py tasks doctor names them)",
                unknown,
            )
        return swept + self.family.turn(session)

    def _forget(self, session: vendors.Session, now: float) -> None:
        """Let go of rows that nobody asks any more: whoever uses such a name again is served whether they are there or not."""
        found = keys.forget_expired(session)
        slots.forget_idle(session)
        self._next_expiry = now + (self.sweep_seconds if found else PRUNE_SECONDS * random.uniform(0.8, 1.2))

    def _mark_stalled(self, session: vendors.Session) -> list[UUID]:
        usual = self.worker.options.stalled_seconds
        if usual is None and not stalls.are_asked_for(self.worker.wanted().task_paths):
            return []
        marked = stalls.mark(session, usual)
        if marked:
            logger.warning("%s run(s) give no sign of going on: %s", len(marked), ", ".join(map(str, marked[:5])))
        return marked

    def _roll(self, session: vendors.Session, now: float) -> None:
        """Count for the charts what has happened since, for a third of a second; the next turn goes on there."""
        self.untold.write(session)
        while (is_behind := rollups.roll(session)) and clock.monotonic() < now + ROLLING_SECONDS:
            pass
        self._next_roll = now if is_behind else now + ROLL_SECONDS * random.uniform(0.8, 1.2)
        if now >= self._next_forget:
            rollups.forget(session)
            self._next_forget = now + FORGET_SECONDS

    def _prune(self, session: vendors.Session, now: float) -> None:
        """Delete what has been kept long enough, bite by bite for half a second; the next turn goes on there."""
        policy = self.worker.options.retention
        if policy.keeps_everything and not retention.is_limited_by(self.worker.wanted().task_paths):
            self._next_prune = now + PRUNE_SECONDS
            return
        pruned = retention.prune(session, policy, after=self._pruned_to)
        while pruned.cursor is not None and clock.monotonic() < now + PRUNING_SECONDS:
            pruned += retention.prune(session, policy, after=pruned.cursor)
        if pruned.cursor is None:
            pruned += retention.prune_surplus(session, policy)
        self._pruned_to = pruned.cursor
        self._next_prune = now if pruned.cursor else now + PRUNE_SECONDS * random.uniform(0.8, 1.2)
        if pruned.deleted_tasks or pruned.compacted_tasks:
            logger.info("Retention deleted %s run(s) and %s line(s)", pruned.deleted_tasks, pruned.deleted_steps)
