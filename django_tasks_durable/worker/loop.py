"""One worker: it claims, hands over, renews, sweeps and stops."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django_tasks_durable import signals
from django_tasks_durable.authoring.pins import pins
from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.conf import Options
from django_tasks_durable.exceptions import ShuttingDown
from django_tasks_durable.executors.base import EVENT_LOOP, PROCESS, Executor, executor_of, factory_of
from django_tasks_durable.executors.confines import processors, resident_megabytes
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.ids import new_worker_id
from django_tasks_durable.primitives.writes import ClaimedRun, History, Lost, Outcome, Suspended, Verdict, Write
from django_tasks_durable.store import claims, vendors, workers
from django_tasks_durable.store.lanes import Turns

from .desk import RUNS_PER_TICK
from .heartbeat import Heartbeat
from .held import HeldRun
from .maintenance import Maintenance
from .news import News
from .room import HELD_SECONDS, Room
from .wake import wakers
from .writer import Writer

logger = logging.getLogger("django_tasks_durable.worker")
LOOK_SECONDS = 0.1
# Who is due sooner than this is looked for at that very moment.
NOTED_SECONDS = 30.0
# Where runs without limits leave no slot free, one with limits is taken this often: it never waits for long in front of a slot.
LIMITED_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How one worker is to run. ``queues`` None means all; seconds are monotonic time."""

    queues: Sequence[str] | None = None
    excluded_queues: Sequence[str] = ()
    concurrency: int = 4
    async_concurrency: int = 200
    process_concurrency: int | None = None
    executor: str = "thread"
    poll_seconds: float = 1.0
    shutdown_seconds: float = 30.0
    batch: bool = False
    max_tasks: int | None = None
    max_memory_mb: int | None = None
    name: str | None = None
    scheduler: bool = True
    health_file: Path | None = None


class Worker:
    """Claims from one database and carries what it claimed, until ``stop()``."""

    def __init__(self, options: Options, settings: WorkerSettings) -> None:
        self.options = options
        self.settings = settings
        self.using = options.database
        self.worker_id = new_worker_id(settings.name)
        self.finished_runs = 0
        self._stop_asked = threading.Event()
        self._abort_asked = threading.Event()
        self._changed = threading.Event()
        self._rebirth = threading.Lock()
        self._receiver_uid = f"worker {self.worker_id}"
        self._kinds = {path: executor_of(task, settings.executor) for path, task in registered().items()}
        self._paths = {
            name: [path for path, kind in self._kinds.items() if kind == name]
            for name in sorted({*self._kinds.values()})
        }
        self._pins = pins()
        self._rooms = {name: Room(self._slots(name), options.prefetch) for name in self._paths}
        self._turns = {kind: Turns() for kind in self._rooms}
        self._factories = {name: factory_of(name) for name in self._paths}
        self._executors: dict[str, Executor] = {}
        self._news = News(self.using)
        self._writer = self._new_writer()
        self._heartbeat = Heartbeat(self)
        self._maintenance = Maintenance(self)
        self._wakers = wakers(self.using, options, self._writer)
        self._wake_at: list[float] = []
        self._next_poll = 0.0
        self._next_crashed = 0.0
        self._next_limited = 0.0
        self._idle_claims = 0
        self._asked_for_all = True

    # --- outside

    def stop(self) -> None:
        """Stop claiming, let what runs end within the shutdown time, give the rest back."""
        self._stop_asked.set()
        self._changed.set()

    def abort(self) -> None:
        """Give everything back at once."""
        self._abort_asked.set()
        self.stop()

    @property
    def deaf_because(self) -> str:
        """Why this worker polls although the database should wake it; empty while it hears."""
        return next((waker.deaf_because for waker in self._wakers if waker.deaf_because), "")

    @property
    def writer(self) -> Writer:
        """The worker's one writing thread."""
        return self._writer

    def look_again(self) -> None:
        """Claim once more before counting as idle: something has become due."""
        self._idle_claims = 0
        self._writer.wake()

    def wanted(self) -> claims.Wanted:
        """Say what this worker claims: whose it is, the tasks it knows, the queues it serves."""
        return self._wanted(list(self._kinds), 1, Turns(), takes_crashed=True)

    def run(self) -> None:
        """Register, work until asked to stop (or idle, with ``batch``), and leave.

        Raise ExecutorUnfit when an executor cannot carry the tasks that name it.
        """
        for name, factory in self._factories.items():
            self._executors[name] = factory(self._slots(name), self.options)
            self._executors[name].start()
        if not self._register(self.worker_id):
            return
        threads = [
            threading.Thread(target=target, name=f"dtd-{name}", daemon=True)
            for name, target in (
                ("writer", self._writer.run),
                ("heartbeat", self._heartbeat.run),
                ("maintenance", self._maintenance.run),
                ("news", self._news.run),
            )
        ]
        self._threads = threads
        for thread in threads:
            thread.start()
        for waker in self._wakers:
            waker.start()
        signals.work_available.connect(self._hear_work, weak=False, dispatch_uid=self._receiver_uid)
        try:
            self._mind()
        finally:
            self._shut_down(threads)

    # --- the main thread

    def _mind(self) -> None:
        """Look after time: polls, prefetched runs that wait too long, silent connections, the end of the batch."""
        while not self._stop_asked.is_set():
            self._changed.wait(self._until_next_look())
            self._changed.clear()
            self._poll()
            self._look_over_held()
            self._heartbeat.look_after()
            if dead := [thread.name for thread in self._threads if not thread.is_alive()]:
                raise RuntimeError(f"The worker's thread {', '.join(dead)} has died, so this worker cannot go on.")
            if self._is_done():
                return

    def _until_next_look(self) -> float:
        return LOOK_SECONDS if self.settings.batch or self._writer.held else min(self.settings.poll_seconds, 1.0)

    def _poll(self) -> None:
        now = clock.monotonic()
        with self._writer.lock:
            is_due = any(moment <= now for moment in self._wake_at)
            self._wake_at = [moment for moment in self._wake_at if moment > now]
        if is_due or now >= self._next_poll:
            # A jitter of a tenth keeps many workers from asking at the same moment.
            self._next_poll = now + self.settings.poll_seconds * random.uniform(0.9, 1.1)
            self._writer.wake()

    def _look_over_held(self) -> None:
        """Give back prefetched runs that have waited too long, and mark those that nothing can stop."""
        now = clock.monotonic()
        self._give_back(lambda held: now - held.taken_at > HELD_SECONDS)
        with self._writer.lock:
            overdue = [held for held in self._writer.held.values() if held.is_overdue(now)]
        for held in overdue:
            if not self._executors[held.executor].can_kill:
                held.mark_overdue()

    def _give_back(self, is_unwanted: Callable[[HeldRun], bool]) -> None:
        """Give back those of the prefetched runs."""
        with self._writer.lock:
            unwanted = [held for held in self._writer.held.values() if held.is_waiting and is_unwanted(held)]
            for held in unwanted:
                self._rooms[held.executor].gave_back()
            self._writer.give_back(unwanted)

    def _is_done(self) -> bool:
        if self.settings.max_tasks is not None and self.finished_runs >= self.settings.max_tasks:
            logger.info("%s has run %s tasks and stops", self.worker_id, self.finished_runs)
            return True
        if self._has_outgrown():
            return True
        if not self.settings.batch:
            return False
        if self._writer.held or self._maintenance.family.has_work or not self._maintenance.has_swept:
            self._idle_claims = 0
            return False
        # A look may have begun before the last run ended or was woken, the one after it has not. A worker that knows no task
        # never claims, so it would never learn that nothing is due.
        if self._kinds and self._idle_claims < 2:
            self._writer.wake()
            return False
        return True

    def _has_outgrown(self) -> bool:
        limit = self.settings.max_memory_mb
        if limit is None or (held := resident_megabytes()) < limit:
            return False
        logger.info("%s holds %.0f MB of memory, its limit is %s MB, and stops", self.worker_id, held, limit)
        return True

    def _slots(self, name: str) -> int:
        """Return how many runs an executor carries at once."""
        if name == EVENT_LOOP:
            return self.settings.async_concurrency
        if name == PROCESS:
            return self.settings.process_concurrency or processors()
        return self.settings.concurrency

    # --- what the writer's thread calls

    def _appetite(self) -> list[tuple[claims.Wanted, int]]:
        """Say what to claim now. Sync and async tasks have rooms of their own, so a full one does not block the other."""
        if self._stop_asked.is_set():
            return []
        asked = []
        with self._writer.lock:
            for kind, paths in self._paths.items():
                room = self._rooms[kind]
                limit, takes_crashed = self._share(room)
                if limit <= 0:
                    continue
                if room.is_resting:
                    self._writer.look_at(room.rests_until)
                    continue
                limited = min(limit, self._limited_share(room))
                asked.append((self._wanted(paths, limited, self._turns[kind], takes_crashed=takes_crashed), limit))
        self._asked_for_all = len(asked) == len(self._paths) and all(
            wanted.takes_crashed and wanted.takes_limited for wanted, _ in asked
        )
        return asked

    def _found_none(self, wanted: claims.Wanted, seconds: float) -> None:
        self._rooms[self._kinds[wanted.task_paths[0]]].found_none(seconds)

    def _share(self, room: Room) -> tuple[int, bool]:
        """Return how many runs to claim for a room, and whether runs that were lost with a worker before may be among them.

        Those are taken for free slots, or one a second when there never is one, so that nothing innocent waits beside them.
        """
        limit = min(room.appetite(), RUNS_PER_TICK)
        if self.settings.max_tasks is not None:
            limit = min(limit, self.settings.max_tasks - self.finished_runs - len(self._writer.held))
        if limit <= room.free_slots:
            return limit, True
        if self.settings.batch and self._idle_claims:
            return max(1, room.free_slots), True  # the next look is to find whoever there is
        now = clock.monotonic()
        if now >= self._next_crashed:
            self._next_crashed = now + 1.0
            return max(1, room.free_slots), True
        return limit, False

    def _limited_share(self, room: Room) -> int:
        """Return how many runs with limits to claim: for free slots, or now and then for the next when there never is one."""
        now = clock.monotonic()
        if room.free_slots or now < self._next_limited:
            return room.free_slots
        self._next_limited = now + LIMITED_SECONDS
        return 1

    def _wanted(self, paths: Sequence[str], limited: int, turns: Turns, *, takes_crashed: bool) -> claims.Wanted:
        return claims.Wanted(
            worker_id=self.worker_id,
            task_paths=paths,
            pins={path: pin for path, pin in self._pins.items() if path in paths},
            queues=self.settings.queues,
            excluded_queues=self.settings.excluded_queues,
            takes_crashed=takes_crashed,
            takes_limited=limited,
            concurrency=self.options.global_concurrency,
            queue_limits=self.options.queue_limits,
            turns=turns,
        )

    def _take(self, claimed: list[tuple[ClaimedRun, History]]) -> None:
        held = [
            HeldRun(run, self._writer, executor=self._kinds[run.task_path], history=history) for run, history in claimed
        ]
        with self._writer.lock:
            for run in held:
                self._writer.hold(run)
                self._rooms[run.executor].took(1)
        for name, executor in self._executors.items():
            if batch := [run for run in held if run.executor == name]:
                executor.hand_over(batch)

    def _begun(self, held: HeldRun) -> None:
        self._rooms[held.executor].began()

    def _never_began(self, held: HeldRun) -> None:
        self._rooms[held.executor].gave_back()

    def _slot_freed(self, held: HeldRun) -> None:
        with self._writer.lock:
            room = self._rooms[held.executor]
            room.ended()
            hungry = room.appetite() > 0
        if hungry:
            self._writer.wake()

    def _settled(self, runs: list[tuple[HeldRun, Outcome, Verdict]]) -> None:
        self.finished_runs += len(runs)
        self._idle_claims = 0
        if self.settings.batch and not self._writer.held:
            self._writer.wake()
        if any(held.claimed.is_limited for held, _, _ in runs):
            # Others may wait for just these places.
            for turns in self._turns.values():
                turns.wake()
            self._writer.wake()
        now = clock.monotonic()
        for held, outcome, _ in runs:
            due = getattr(outcome, "wake_at", None) or getattr(outcome, "retry_at", None)
            if isinstance(outcome, Lost):
                self._writer.wake()  # it is due again at once
            if due is None:
                continue
            elapsed = now - held.claimed.claimed_monotonic
            moment = now + max(0.0, (due - held.claimed.now_at).total_seconds() - elapsed) + 0.001
            if moment - now > NOTED_SECONDS:
                continue  # found in time by the regular look; a run that sleeps for a month costs no memory here
            if isinstance(outcome, Suspended) and outcome.parked:
                self._maintenance.note_deadline(moment)
            else:
                with self._writer.lock:
                    self._wake_at.append(moment)
        if self._wake_at or not self._writer.held or self.settings.max_tasks is not None:
            self._changed.set()
        self._maintenance.family.settled(runs)
        self._maintenance.untold.settled(runs)
        self._news.settled(runs)

    def _kin(self, held: HeldRun, writes: Sequence[Write]) -> None:
        self._maintenance.family.committed(held, writes)

    def _heard_of_pauses(self, queue_names: frozenset[str]) -> None:
        self._give_back(lambda held: held.claimed.queue_name in queue_names)

    def _looked(self, found: bool) -> None:
        for turns in self._turns.values():
            if (look_at := turns.look_at) is not None:
                turns.look_at = None
                self._asked_for_all = False
                self._writer.look_at(look_at)
        # A look that left somebody out, because there was no room for him or he was put off, has not shown that nobody is due.
        self._idle_claims = 0 if found or not self._asked_for_all else self._idle_claims + 1
        if self.settings.batch:
            self._changed.set()

    def _hear_work(self, sender: object, using: str, queue_name: str, **_: object) -> None:
        if using == self.using and self.wanted().serves(queue_name):
            self._writer.wake()

    def declared_dead(self, dead_id: str) -> None:
        """Somebody swept this worker: drop all it holds and register as a new one."""
        with self._rebirth:
            if dead_id != self.worker_id:
                return
            logger.warning("%s counts as dead; it drops what it holds and starts anew", dead_id)
            self._writer.lose_all()
            # It is in the table before it is used: a claim in between would find it missing, that is, dead.
            self._register(born := new_worker_id(self.settings.name))
            self.worker_id = self._writer.worker_id = born
        self._writer.wake()

    # --- coming and going

    def _new_writer(self) -> Writer:
        return Writer(
            self.using,
            self.worker_id,
            is_direct=self.options.direct,
            appetite=self._appetite,
            take=self._take,
            settled=self._settled,
            moved=self._news.moved,
            slot_freed=self._slot_freed,
            begun=self._begun,
            never_began=self._never_began,
            declared_dead=self.declared_dead,
            looked=self._looked,
            found_none=self._found_none,
            kin=self._kin,
            paused=self._heard_of_pauses,
        )

    def _register(self, worker_id: str) -> bool:
        """Enter a worker, waiting for the database as long as it takes; False when asked to stop meanwhile."""
        delay = 0.2
        while not self._stop_asked.is_set():
            session, asked_at = vendors.private_session(self.using), clock.monotonic()
            try:
                workers.register(
                    session,
                    worker_id,
                    queues=self.settings.queues,
                    concurrency=self.settings.concurrency,
                    lease_seconds=self.options.lease_seconds,
                )
                self._heartbeat.registered(asked_at)
                return True
            except Exception as error:
                if not (session.brand.is_disconnect(error) or session.is_transient(error)):
                    raise
                logger.error("The database %r does not answer (%s); trying again in %.1f s", self.using, error, delay)
                self._changed.wait(delay)
                delay = min(delay * 2, 5.0)
            finally:
                session.close()
        return False

    def _shut_down(self, threads: list[threading.Thread]) -> None:
        """Let what runs end, then give the rest back, write everything and leave."""
        self._stop_asked.set()
        signals.work_available.disconnect(dispatch_uid=self._receiver_uid)
        self._writer.claim_no_more()
        for executor in self._executors.values():
            executor.stop()
        with self._writer.lock:
            self._writer.give_back([held for held in self._writer.held.values() if held.is_waiting])
        self._wait_for_held(self.settings.shutdown_seconds)
        if self._writer.held:
            self._writer.stop_all(ShuttingDown())
            self._wait_for_held(0.7, even_if_aborted=True)
            self._writer.release_all()
            self._wait_for_held(0.5, even_if_aborted=True)
        self._writer.is_stopping = True
        self._writer.wake()
        self._heartbeat.stop()
        self._maintenance.stop()
        for waker in self._wakers:
            waker.stop()
        threads[0].join(timeout=0.5)
        self._news.stop()
        threads[-1].join(timeout=0.3)
        self._leave()

    def _wait_for_held(self, seconds: float, *, even_if_aborted: bool = False) -> None:
        end = clock.monotonic() + seconds
        while self._writer.held and clock.monotonic() < end and (even_if_aborted or not self._abort_asked.is_set()):
            self._changed.clear()
            self._changed.wait(0.02)
            self._heartbeat.look_after()

    def _leave(self) -> None:
        session = vendors.private_session(self.using)
        try:
            workers.leave(session, self.worker_id)
        except Exception as error:
            logger.warning("%s could not sign off (%s); it will be declared dead", self.worker_id, error)
        finally:
            session.close()
