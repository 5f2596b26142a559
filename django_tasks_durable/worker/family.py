"""What a worker does for parents and children once it is durable that one of them has ended, yielded or begun."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from django_tasks_durable import signals
from django_tasks_durable.primitives.status import FINISHED, RETRIABLE, CheckpointKind, StepKind
from django_tasks_durable.primitives.writes import Append, Outcome, Spawn, Verdict, Write
from django_tasks_durable.store import children, vendors

if TYPE_CHECKING:
    from .held import HeldRun
    from .loop import Worker


class Family:
    """Collects whose parent is to be told and whose children are to be ended, for the maintenance thread to do.

    The writer only notes it: no tick waits for the row of a parent or a child. What is lost with this process, every worker
    finds again when it sweeps.
    """

    def __init__(self, worker: Worker, noted: Callable[[], None]) -> None:
        self._worker = worker
        self._noted = noted
        self._lock = threading.Lock()
        self._parents: set[UUID] = set()
        self._given_up: set[UUID] = set()
        self._queues: set[str] = set()
        self._is_at_work = False
        self.is_busy = False

    @property
    def has_work(self) -> bool:
        """Whether somebody is still to be told, or being told."""
        with self._lock:
            return self._is_at_work or bool(self._parents or self._given_up)

    # --- what the writer's thread notes

    def committed(self, held: HeldRun, writes: Iterable[Write]) -> None:
        """Hear what a run's attempt has made durable: a partial may be what its parent waits for, a child wants a worker."""
        for write in writes:
            if isinstance(write, Spawn):
                self._note(queue=write.child.queue_name)
            elif isinstance(write, Append) and held.claimed.parent_id and write.line.kind is StepKind.PARTIAL:
                self._note(parent=held.claimed.parent_id)

    def settled(self, runs: Iterable[tuple[HeldRun, Outcome, Verdict]]) -> None:
        """Hear how runs have ended."""
        for held, _, verdict in runs:
            if verdict.status in FINISHED and held.claimed.parent_id:
                self._note(parent=held.claimed.parent_id)
            if verdict.status in RETRIABLE and _has_children(held):
                self._note(given_up=held.claimed.run_id)

    def _note(self, *, parent: UUID | None = None, given_up: UUID | None = None, queue: str | None = None) -> None:
        with self._lock:
            if parent is not None:
                self._parents.add(parent)
            if given_up is not None:
                self._given_up.add(given_up)
            if queue is not None:
                self._queues.add(queue)
        self._noted()

    # --- what the maintenance thread does

    def look_for_forgotten(self, session: vendors.Session) -> None:
        """Take up what a process that died did not come to."""
        found = children.forgotten(session)
        with self._lock:
            self._parents.update(found.to_wake)
            self._given_up.update(found.given_up)

    def turn(self, session: vendors.Session) -> list[UUID]:
        """Do what was noted; return the runs that were changed. What could not be done is kept for the next turn."""
        with self._lock:
            parents, given_up, queues = self._parents, self._given_up, self._queues
            self._parents, self._given_up, self._queues = set(), set(), set()
            self._is_at_work = True
        try:
            changed = children.cancel_with_parents(session, given_up) if given_up else []
            given_up = set()
            woken = children.wake_parents(session, parents) if parents else None
            parents = set(woken.busy) if woken is not None else set()
            self.is_busy = bool(parents)
            if woken is not None:
                changed += woken.queues
                queues |= set(woken.queues.values())
            if queues:
                self._call_workers(queues)
            return changed
        finally:
            with self._lock:
                self._parents |= parents
                self._given_up |= given_up
                self._is_at_work = False

    def _call_workers(self, queues: set[str]) -> None:
        self._worker.look_again()
        for queue_name in queues:
            signals.work_available.send_robust(sender=None, using=self._worker.using, queue_name=queue_name)


def _has_children(held: HeldRun) -> bool:
    return held.has_children or any(record.kind is CheckpointKind.SPAWN for record in held.history_read.checkpoints)
