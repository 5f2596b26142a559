"""A pure model: the store of streams in process, with the workers, leases and limits of a queue in plain Python around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.exceptions import InvalidTransition, LeaseLost
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import LEASED, CheckpointKind, Level, RunStatus, StepKind
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, History, Line, Verdict
from django_tasks_durable.store.memory import MemoryStore
from django_tasks_durable.store.memory_run import MemoryRun

from . import programs
from .ground import (
    DELIVERIES,
    FEW,
    FEW_KEY,
    LEASE_SECONDS,
    Called,
    DeclaredDead,
    Ended,
    Handed,
    Heard,
    Question,
    Standing,
    TimelineLine,
)

T = TypeVar("T")


class Shelf(MemoryStore):
    """A MemoryStore whose runs lie open, and on which a run that takes its workers along is given up."""

    @property
    def runs(self) -> dict[UUID, MemoryRun]:
        """All runs, the oldest first."""
        return self._runs

    def bury(self, run: MemoryRun) -> None:
        """End a run that was lost too often."""
        run.status, run.error_code, run.due_at, run.finished_at = RunStatus.FAILED, "CRASHED", None, self.now()
        run.lines.append(Line(kind=StepKind.FAILED, level=Level.ERROR, message="The worker died too often"))
        self._tell_family(run)


class OnMemory:
    """See Ground. It has no schedules, and its operators cannot have a run go on that has ended, or hurry it."""

    def __init__(self, random: Random) -> None:
        self.shelf = Shelf()
        self.beats: dict[str, datetime] = {}
        self.dead: set[str] = set()
        self.holders: dict[UUID, str] = {}
        self.few: set[UUID] = set()
        self.lost: Counter[UUID] = Counter()
        self.moves = 0

    # --- producers and operators

    def accept(self, task: Any, program: Any) -> Called:
        self.moves += 1
        options = options_of(task)
        before = {run.id: run.status for run in self.shelf.runs.values()}
        run_id = self.shelf.create(
            task.module_path,
            codec.encode([program]),
            options=options.snapshot(),
            max_attempts=options.max_attempts or 1,
            run_after=task.run_after,
            keys=options.keys,
        )
        if run_id in before:
            return Called(run_id, is_new=False)
        if options.concurrency_key == FEW_KEY:
            self.few.add(run_id)
        changed = tuple(each for each, status in before.items() if self.shelf.runs[each].status is not status)
        return Called(run_id, is_new=True, superseded=changed)

    def questions(self, *, open_only: bool) -> list[Question]:
        return [
            Question(run.id, wait.path, wait.token, wait.answer, wait.deadline)
            for run in self.shelf.runs.values()
            for wait in run.waits.values()
            if wait.kind == "interrupt"
            and not (open_only and (wait.answer is not None or run.status is not RunStatus.WAITING))
        ]

    def resume(self, run_id: UUID, value: Any, token: str) -> None:
        self.moves += 1
        self.shelf.resume(run_id, value, token=token)

    def send(self, run_id: UUID, name: str, payload: Any) -> None:
        self.moves += 1
        self.shelf.send(run_id, name, payload)

    def cancel(self, run_id: UUID) -> RunStatus:
        self.moves += 1
        return self.shelf.cancel(run_id)

    def retry(self, run_id: UUID) -> None:
        raise InvalidTransition(str(run_id), "retry", self.status(run_id).lower())

    def hurry(self, run_id: UUID) -> None:
        raise InvalidTransition(str(run_id), "hurry", self.status(run_id).lower())

    # --- workers

    def enter(self, name: str) -> None:
        self.beats[name] = self.shelf.now()

    def leave(self, name: str) -> None:
        self.dead.add(name)

    def claim(self, name: str, paths: Sequence[str], limit: int) -> list[ClaimedRun]:
        if name in self.dead:
            raise DeclaredDead
        self.moves += 1
        found: list[ClaimedRun] = []
        for run in sorted(self.shelf.runs.values(), key=lambda run: (run.due_at or self.shelf.now(), run.id)):
            if len(found) == limit:
                break
            if run.task_path not in paths or (run.id in self.few and self.held_of_few() >= FEW):
                continue
            if (claimed := self.shelf.claim(run.id)) is not None:
                self.holders[run.id] = name
                found.append(claimed)
        return found

    def commit(self, batch: Sequence[Handed]) -> dict[UUID, Verdict | LeaseLost]:
        self.moves += 1
        return {claimed.run_id: self._write(claimed, writes) for claimed, _, writes in batch}

    def _write(self, claimed: ClaimedRun, writes: Sequence[Any]) -> Verdict | LeaseLost:
        run = self.shelf.runs[claimed.run_id]
        if self.is_stale(claimed):
            verdict: Verdict | LeaseLost = LeaseLost(run.id, claimed.lease.token)
        else:
            verdict = Verdict(status=run.status, cancel_requested=run.cancel_requested, last_sequence=len(run.lines))
        before = len(run.checkpoints), run.attempts
        for write in writes:
            try:
                verdict = self.shelf.keep(write)
            except LeaseLost as error:
                return error
        if (len(run.checkpoints), run.attempts) != before:
            self.lost.pop(run.id, None)
        return verdict

    def beat(self, name: str, with_keys: Sequence[UUID]) -> Heard:
        if name in self.dead:
            return Heard(alive=False, cancelled=())
        self.beats[name] = self.shelf.now()
        asked = [run for run in self._held_by({name}) if run.cancel_requested]
        return Heard(alive=True, cancelled=[(run.id, run.token) for run in asked])

    def _held_by(self, names: set[str]) -> list[MemoryRun]:
        return [run for run in self.shelf.runs.values() if run.status in LEASED and self.holders.get(run.id) in names]

    def sweep(self) -> str:
        silent = self.shelf.now() - timedelta(seconds=LEASE_SECONDS)
        self.dead |= {name for name, heard in self.beats.items() if heard < silent}
        swept = self._held_by(self.dead)
        for run in swept:
            self.moves += 1
            self.lost[run.id] += run.status is RunStatus.RUNNING
            self.shelf.lose(run.id)
            if run.cancel_requested:
                self.shelf.cancel(run.id)
            elif self.lost[run.id] >= DELIVERIES:
                self.shelf.bury(run)
        return f"{[str(run.id) for run in swept]}" if swept else ""

    def keep_house(self) -> None:
        """Nothing: a claim finds what is overdue, and a commit looks after the family."""

    def look_at_schedules(self) -> list[int]:
        return []

    def fire(self, schedule: int) -> bool:
        raise AssertionError("there are no schedules")

    # --- attempts

    @contextmanager
    def on_thread(self) -> Iterator[None]:
        yield

    def history(self, claimed: ClaimedRun) -> History:
        return self.shelf.history(claimed)

    def atomic(self, claimed: ClaimedRun, worker_id: str, perform: AtomicBody[T]) -> T:
        self.moves += 1
        before = len(self.shelf.runs[claimed.run_id].checkpoints)
        value = self.shelf.atomic(claimed, perform)
        if len(self.shelf.runs[claimed.run_id].checkpoints) != before:
            self.lost.pop(claimed.run_id, None)
        return value

    # --- looks

    def now(self) -> datetime:
        return self.shelf.now()

    def due_next(self) -> list[datetime]:
        asleep = [run.due_at for run in self.shelf.runs.values() if run.status in (RunStatus.READY, RunStatus.WAITING)]
        later = [moment for moment in asleep if moment is not None and moment > self.now()]
        return [min(later)] if later else []

    def changes(self) -> Hashable:
        return self.moves

    def standings(self) -> dict[UUID, Standing]:
        return {
            run.id: Standing(
                run.status, run.token, len(run.lines), len(run.lines), run.attempts, run.crashes, run.error_code, run.result
            )
            for run in self.shelf.runs.values()
        }  # fmt: skip

    def held_of_few(self) -> int:
        return sum(self.shelf.runs[run_id].status in LEASED for run_id in self.few)

    def checkpoints(self) -> dict[tuple[UUID, str], tuple[Any, ...]]:
        return {
            (run.id, record.path): (record.value, record.failed)
            for run in self.shelf.runs.values()
            for record in run.checkpoints.values()
        }

    def status(self, run_id: UUID) -> RunStatus:
        return self.shelf.runs[run_id].status

    def is_stale(self, claimed: ClaimedRun) -> bool:
        run = self.shelf.runs[claimed.run_id]
        return run.token != claimed.lease.token or run.status not in LEASED

    def is_dead(self, name: str) -> bool:
        return name in self.dead

    def traces(self, run_id: UUID) -> Any:
        return self.shelf.copy(run_id)

    def endings(self) -> list[Ended]:
        return [_ended(run) for run in self.shelf.runs.values()]

    def timeline(self, run_id: UUID) -> list[TimelineLine]:
        lines = self.shelf.runs[run_id].lines
        return [TimelineLine(at, line.kind, line.message, line.data) for at, line in enumerate(lines, 1)]

    def child(self, run_id: UUID, key: str) -> Ended:
        records = self.shelf.runs[run_id].checkpoints.values()
        (born,) = [each for each in records if each.kind == CheckpointKind.SPAWN and each.path.endswith(key)]
        return _ended(self.shelf.runs[UUID(codec.decode(born.value))])

    def booked(self, run_id: UUID, key: str) -> tuple[int, bool]:
        # What a step does beside this store is not rolled back with it.
        return programs.DEEDS.times[run_id, key], False

    def names_held(self) -> int:
        return 0  # a name is free when its run has ended, because it is looked up there

    def ticks(self) -> list[tuple[datetime, UUID | None]]:
        return []


def _ended(run: MemoryRun) -> Ended:
    return Ended(
        run.id, run.status, run.task_path, run.args, run.result, run.attempts, len(run.lines), run.error_code, run.errors,
        run.parent_id,
    )  # fmt: skip
