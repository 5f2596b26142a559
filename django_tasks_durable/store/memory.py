"""Runs in this process's memory: the database's semantics without one, for streams in process and for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django_tasks_durable.authoring.keys import NO_KEYS, Keys
from django_tasks_durable.authoring.options import compensates_on_cancel
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    DeadlinePassed,
    IdempotencyConflict,
    InvalidTransition,
    LeaseLost,
    RunExists,
    RunNotFound,
    StateMoved,
    TakesNoMessages,
)
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.names import check_name
from django_tasks_durable.primitives.standing import Standing, StateChange
from django_tasks_durable.primitives.status import (
    FINISHED,
    LEASED,
    RETRIABLE,
    UNHURRIED,
    Level,
    RunStatus,
    StepKind,
    WakeReason,
)
from django_tasks_durable.primitives.writes import (
    AtomicBody,
    Awaited,
    ChildRun,
    ClaimedRun,
    History,
    Line,
    MessageRecord,
    Verdict,
    WaitRecord,
    Write,
)

from . import children
from .awaiting import interest_in
from .deltas import Delta
from .memory_keys import MemoryKeys
from .memory_run import MemoryRun, first_lines, merge
from .memory_state import MemoryChange, standing
from .seats import Glance
from .unique import Call

T = TypeVar("T")


class MemoryStore:
    """Keeps runs in memory. Implements RunStore, and what the doors do as far as a stream in process needs it."""

    is_blocking = False

    def __init__(self, worker_id: str = "memory") -> None:
        self.worker_id = worker_id
        self._runs: dict[UUID, MemoryRun] = {}
        self._names: dict[str, UUID] = {}
        self._keys = MemoryKeys()
        self._lock = threading.RLock()
        self._begun = clock.host_now(), clock.monotonic()

    # --- what producers, workers and operators do

    def now(self) -> datetime:
        """Return the instant that this store goes by."""
        at, monotonic = self._begun
        return at + timedelta(seconds=clock.monotonic() - monotonic)

    def create(
        self,
        task_path: str,
        args: str = "[]",
        kwargs: str = "{}",
        *,
        name: str | None = None,
        options: str = "{}",
        backend: str = "default",
        queue_name: str = "default",
        priority: int = 0,
        max_attempts: int = 1,
        run_after: datetime | None = None,
        metadata: str = "{}",
        keys: Keys = NO_KEYS,
        code_version: int = 1,
    ) -> UUID:
        """Put a run into the store and return its id.

        An open run of the same name, task and arguments, or one that the keys stand for, is returned instead. Raise
        IdempotencyConflict for other arguments, or DuplicateTask.
        """
        with self._lock:
            known = self._runs.get(self._names.get(name, UUID(int=0))) if name else None
            if known is not None and known.status not in FINISHED:
                if (known.task_path, known.args, known.kwargs) != (task_path, args, kwargs):
                    raise IdempotencyConflict(known.name)
                return known.id
            run_id, now = new_id(), self.now()
            if keys is not NO_KEYS:
                call = Call(task_path, args, kwargs, replace(keys, run_id=None))
                if (found := self._keys.find(call, self._runs, now)) is not None:
                    return found
                self._keys.take(call, run_id, self._runs, now)
            due_at = now + (keys.debounce or timedelta(0))
            self._names[name or str(run_id)] = run_id
            self._runs[run_id] = MemoryRun(
                id=run_id,
                name=name or str(run_id),
                task_path=task_path,
                args=args,
                kwargs=kwargs,
                options=options,
                backend=backend,
                queue_name=queue_name,
                priority=priority,
                max_attempts=max_attempts,
                code_version=code_version,
                metadata=metadata,
                enqueued_at=now,
                run_after=run_after,
                due_at=max(due_at, run_after) if run_after else due_at,
                lines=first_lines(options),
            )
            return run_id

    def find(self, name: str | UUID) -> MemoryRun:
        """Return the run of this name or id. Raise RunNotFound."""
        with self._lock:
            run_id = name if isinstance(name, UUID) else self._names.get(name)
            run = self._runs.get(run_id) if run_id is not None else None
            if run is None:
                raise RunNotFound(name)
            return run

    def copy(self, name: str | UUID) -> MemoryRun:
        """Return a run as it stands now, untouched by what becomes of it. Raise RunNotFound."""
        with self._lock:
            run = self.find(name)
            return replace(
                run,
                lines=list(run.lines),
                checkpoints=dict(run.checkpoints),
                waits=dict(run.waits),
                messages=dict(run.messages),
            )

    def family(self, run_id: UUID) -> list[MemoryRun]:
        """Return a run with all that it has started and that goes on, and what these have started, elders first."""
        with self._lock:
            found = [self.find(run_id)]
            for elder in found:
                found += [
                    run for run in self._runs.values() if run.parent_id == elder.id and run.status not in FINISHED
                ]
            return found

    def admit(self, run: MemoryRun) -> None:
        """Put a run into the store that was made elsewhere. Raise RunExists when there is one of its name or id."""
        with self._lock:
            if run.id in self._runs or run.name in self._names:
                raise RunExists(run.name)
            self._names[run.name] = run.id
            self._runs[run.id] = run

    def claim(self, run_id: UUID) -> ClaimedRun | None:
        """Take a run that is due; None when it is not."""
        with self._lock:
            run, now = self.find(run_id), self.now()
            if run.status is RunStatus.WAITING and run.due_at is not None and run.due_at <= now:
                run.status, run.wake_reason = RunStatus.READY, WakeReason.DEADLINE
            if run.status is not RunStatus.READY or (run.due_at is not None and run.due_at > now):
                return None
            run.status, run.token = RunStatus.CLAIMED, run.token + 1
            run.claimed = ClaimedRun(
                lease=Lease(run_id=run.id, token=run.token),
                task_path=run.task_path,
                backend=run.backend,
                queue_name=run.queue_name,
                priority=run.priority,
                args=run.args,
                kwargs=run.kwargs,
                options=run.options,
                attempts=run.attempts,
                max_attempts=run.max_attempts,
                crashes=run.crashes,
                inbox=run.inbox,
                enqueued_at=run.enqueued_at,
                run_after=run.run_after,
                started_at=run.started_at,
                now_at=now,
                claimed_monotonic=clock.monotonic(),
                worker_ids=run.worker_ids,
                errors=run.errors,
                last_sequence=len(run.lines),
                worker_id=self.worker_id,
                code_version=run.code_version,
                metadata=run.metadata,
                parent_id=run.parent_id,
                stage=run.stage,
            )
            return run.claimed

    def lose(self, run_id: UUID) -> None:
        """Take a run away from whoever runs it, as a sweep does whose worker is gone."""
        with self._lock:
            run = self.find(run_id)
            if run.status in LEASED:
                run.status, run.wake_reason, run.due_at = RunStatus.READY, WakeReason.STALE, self.now()
                run.token += 1
                run.crashes += 1
                run.lines.append(Line(kind=StepKind.STALE, level=Level.WARN))

    def resume(self, run_id: UUID, value: Any, *, token: str | None = None, path: str | None = None) -> RunStatus:
        """Answer an open question, the one of a token or path. The first answer stands; the same one again changes nothing.

        Raise RunNotFound, NotWaiting, AmbiguousResume, AlreadyResolved or NotSerializable.
        """
        answer = codec.encode(value, where="answer")
        with self._lock:
            run = self.find(run_id)
            wait = run.wait_for(token, path)
            if wait.answer is not None:
                if codec.opened(wait.answer) != codec.opened(answer):
                    raise AlreadyResolved(wait.token)
                return run.status
            if wait.deadline is not None and self._is_late(wait):
                raise DeadlinePassed(run.name, wait.deadline, wait.token)
            run.waits[wait.path] = replace(wait, answer=answer)
            run.lines.append(Line(kind=StepKind.RESUMED, path=wait.path))
            self._notify(run)
            if run.status is RunStatus.READY and run.wake_reason in UNHURRIED:
                run.status, run.wake_reason, run.due_at = RunStatus.READY, WakeReason.MESSAGE, self.now()
            return run.status

    def send(self, run_id: UUID, name: str, payload: Any = None) -> RunStatus:
        """Send a message to a run, which keeps it until it receives one of its name. Raise TakesNoMessages."""
        text = codec.encode(payload, where="payload")
        with self._lock:
            run = self.find(run_id)
            if run.status in FINISHED:
                raise TakesNoMessages(run.name, run.status.lower())
            run.sent += 1
            run.messages[run.sent] = MessageRecord(id=run.sent, name=check_name(name), payload=text)
            run.lines.append(Line(kind=StepKind.MESSAGE, message=name))
            self._notify(run)
            return run.status

    def broadcast(self, name: str, payload: Any = None) -> int:
        """Answer every open wait for an event and return how many there were."""
        check_name(name)
        with self._lock:
            heard = [
                (run.id, wait.token)
                for run in self._runs.values()
                for wait in run.open_waits
                if wait.event == name and run.status not in FINISHED and not self._is_late(wait)
            ]
            for run_id, token in heard:
                self.resume(run_id, payload, token=token)
            return len(heard)

    def _is_late(self, wait: WaitRecord) -> bool:
        return wait.deadline is not None and wait.deadline <= self.now()

    def _notify(self, run: MemoryRun) -> None:
        run.inbox += 1
        if run.status is RunStatus.WAITING:
            run.status, run.wake_reason, run.due_at = RunStatus.READY, WakeReason.MESSAGE, self.now()

    def cancel(self, run_id: UUID) -> RunStatus:
        """Cancel a run: at once when nobody runs it, else when its attempt next writes."""
        with self._lock:
            run = self.find(run_id)
            if run.status in FINISHED:
                return run.status
            run.cancel_requested = True
            is_undone_first = run.token > 0 and compensates_on_cancel(run.options)
            if run.status in LEASED or is_undone_first:
                run.lines.append(Line(kind=StepKind.CANCEL_REQUESTED, level=Level.WARN))
                if run.status not in LEASED:
                    run.status, run.wake_reason, run.due_at = RunStatus.READY, WakeReason.OPERATOR, self.now()
            else:
                run.status, run.finished_at, run.due_at = RunStatus.CANCELLED, self.now(), None
                run.lines.append(Line(kind=StepKind.CANCELLED, level=Level.WARN))
                self._tell_family(run)
            return run.status

    def standing(self, run_id: UUID) -> Standing:
        """Tell where a workflow stands. Raise RunNotFound."""
        with self._lock:
            return standing(self.find(run_id))

    @contextmanager
    def changing(self, run_id: UUID) -> Iterator[StateChange]:
        """Hold everything else up and hand out the change to fill. Raise InvalidTransition for a run that has ended."""
        with self._lock:
            run = self.find(run_id)
            if run.status in FINISHED:
                raise InvalidTransition(run.name, "change the state", run.status.lower())
            yield MemoryChange(run, self.now())

    def glance(self, name: str | UUID) -> Glance:
        """Return how a run stands. Raise RunNotFound."""
        with self._lock:
            run = self.find(name)
            return Glance(
                run_id=run.id,
                name=run.name,
                task_path=run.task_path,
                status=run.status,
                wake_reason=run.wake_reason,
                due_at=run.due_at,
                now=self.now(),
                result=run.result,
                errors=run.errors,
                parent_id=run.parent_id,
                sequence=len(run.lines),
                checkpoints=tuple(run.checkpoints.values()),
                waits=tuple(run.waits.values()),
            )

    def snapshot(self, name: str | UUID) -> dict[str, Any]:
        """Return what can be seen of a run, as plain values."""
        return self.glance(name).as_snapshot()

    # --- what an attempt does

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""
        with self._lock:
            run = self.find(claimed.run_id)
            stage = claimed.stage
            partials: dict[str, int] = {}
            for line in run.lines[stage.sequence :]:
                if line.kind is StepKind.PARTIAL:
                    partials[line.path] = partials.get(line.path, 0) + 1
            records = tuple(each for each in run.checkpoints.values() if each.path.startswith(stage.prefix))
            interest = interest_in(records)
            return History(
                checkpoints=records,
                waits=tuple(wait for wait in run.waits.values() if wait.path.startswith(stage.prefix)),
                messages=tuple(run.messages.values()),
                partials=partials,
                children={
                    child.id: children.as_record(child.id, child.status, child.result, child.errors)
                    for child in map(self._runs.get, interest.children)
                    if child is not None
                },
                streamed={path: self._partials(*place) for path, place in interest.streams.items()},
                inbox=run.inbox,
            )

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        try:
            self._apply(write)
        except LeaseLost:
            pass  # The next fact that somebody waits for tells.

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        done: Future[Verdict] = Future()
        try:
            done.set_result(self._apply(write))
        except (LeaseLost, Exception) as error:
            done.set_exception(error)
        return done

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic(). What ``perform`` did elsewhere cannot be rolled back; the fence holds all the same."""
        value, facts = perform()
        with self._lock:
            self._held(claimed.lease)
            for fact in facts:
                self._apply(fact)
        return value

    def _held(self, lease: Lease) -> MemoryRun:
        run = self._runs.get(lease.run_id)
        if run is None or run.token != lease.token or run.status not in LEASED:
            raise LeaseLost(lease.run_id, lease.token)
        return run

    def _apply(self, write: Write) -> Verdict:
        with self._lock:
            run = self._held(write.lease)
            assert run.claimed is not None, "a held run was claimed"
            delta = Delta(run.claimed, self.worker_id)
            delta.add(write)
            has_moved = delta.give_way(run.stage.version)
            has_news = any(map(self._has_news, delta.awaited))
            status = delta.settle(cancel_requested=run.cancel_requested, inbox=run.inbox, has_news=has_news)
            merge(run, delta, status, self.now())
            for child in delta.children:
                self._bear(run, child)
            self._tell_family(run)
            if has_moved:
                raise StateMoved(run.id, run.token)
            return Verdict(status=run.status, cancel_requested=run.cancel_requested, last_sequence=len(run.lines))

    # --- parents and children

    def _bear(self, parent: MemoryRun, child: ChildRun) -> None:
        now = self.now()
        self._names[str(child.run_id)] = child.run_id
        self._runs[child.run_id] = MemoryRun(
            id=child.run_id,
            name=str(child.run_id),
            task_path=child.task_path,
            args=child.args,
            kwargs=child.kwargs,
            options=child.options,
            backend=child.backend,
            queue_name=child.queue_name,
            priority=child.priority,
            code_version=child.code_version,
            metadata=child.metadata,
            max_attempts=child.max_attempts,
            enqueued_at=now,
            run_after=child.run_after,
            due_at=max(now, child.run_after) if child.run_after else now,
            parent_id=parent.id,
            outlives_parent=child.outlives_parent,
            lines=first_lines(child.options),
        )

    def _partials(self, run_id: UUID, after: int, most: int = 1) -> list[tuple[int, str]]:
        run = self._runs.get(run_id)
        lines = enumerate(run.lines, 1) if run is not None else ()
        found = [(number, line.data) for number, line in lines if line.kind is StepKind.PARTIAL and number > after]
        return found[:most]

    def _has_news(self, awaited: Awaited) -> bool:
        if awaited.after is not None and self._partials(awaited.children[0], awaited.after):
            return True
        return not any(child in self._runs and self._runs[child].status not in FINISHED for child in awaited.children)

    def _tell_family(self, run: MemoryRun) -> None:
        """Wake the parent that waits for news of a run, and end what it has started when it was given up."""
        parent = self._runs.get(run.parent_id) if run.parent_id else None
        if parent is not None and parent.status is RunStatus.WAITING and any(map(self._has_news, parent.awaited)):
            parent.status, parent.wake_reason, parent.due_at = RunStatus.READY, WakeReason.CHILD, self.now()
        if run.status in RETRIABLE:
            for child in self._runs.values():
                if child.parent_id == run.id and not child.outlives_parent:
                    self.cancel(child.id)
