"""A run in no database, for whoever carries attempts to be tried with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from django_tasks_durable.compat import Task
from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import (
    AtomicBody,
    ClaimedRun,
    History,
    Outcome,
    SaveCheckpoint,
    Verdict,
    Write,
)

T = TypeVar("T")
PATIENCE = 60.0


class CarriedRun:
    """A run to be carried, and the place where its attempt leaves its facts: a list. Nothing of it is in a database."""

    def __init__(self, task: Task[..., Any], *args: Any, timeout: float | None = None, attempts: int = 1) -> None:
        self.claimed = _claimed(task, args, timeout, attempts)
        self.control = AttemptControl()
        self.is_wanted = True
        self.began = threading.Event()
        self.has_ended = threading.Event()
        self.ending: tuple[Outcome, Future[Verdict]] | None = None
        self.writes: list[Write] = []
        self._lock = threading.Lock()

    # --- see Carried

    @property
    def store(self) -> CarriedRun:
        """See Carried.store."""
        return self

    def begin(self) -> bool:
        """See Carried.begin()."""
        self.began.set()
        return self.is_wanted

    def ended(self, ending: tuple[Outcome, Future[Verdict]] | None) -> None:
        """See Carried.ended()."""
        assert not self.has_ended.is_set(), "a run ends once"
        self.ending = ending
        self.has_ended.set()

    def flushed(self) -> Future[Any]:
        """See Carried.flushed()."""
        return _done(None)

    def heard(self, verdict: Verdict) -> None:
        """See Carried.heard()."""

    # --- see RunStore

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""
        with self._lock:
            return History(checkpoints=[each.checkpoint for each in self.writes if isinstance(each, SaveCheckpoint)])

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        with self._lock:
            self.writes.append(write)

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        self.submit(write)
        return _done(Verdict(status=RunStatus.RUNNING))

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""
        value, facts = perform()
        for fact in facts:
            self.submit(fact)
        return value

    # --- what a test asks

    @property
    def outcome(self) -> Outcome | None:
        """How the attempt ended, once it has; None when it may not say so."""
        assert self.has_ended.wait(PATIENCE), f"{self.claimed.task_path} does not end"
        return None if self.ending is None else self.ending[0]

    def wait_for(self, is_there: Callable[[Write], bool]) -> None:
        """Wait for a fact."""
        end = clock.monotonic() + PATIENCE
        while True:
            with self._lock:
                if any(map(is_there, self.writes)):
                    return
            assert clock.monotonic() < end, f"{self.claimed.task_path} leaves no such fact: {self.writes}"
            time.sleep(0.01)


def _done(value: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(value)
    return future


def _claimed(task: Task[..., Any], args: tuple[Any, ...], timeout: float | None, attempts: int) -> ClaimedRun:
    now = clock.host_now()
    return ClaimedRun(
        lease=Lease(run_id=new_id(), token=1),
        task_path=task.module_path,
        backend=task.backend,
        queue_name="default",
        priority=0,
        args=codec.encode(list(args)),
        kwargs="{}",
        options="{}" if timeout is None else codec.encode({"timeout": timeout}),
        attempts=0,
        max_attempts=attempts,
        crashes=0,
        inbox=0,
        enqueued_at=now,
        run_after=None,
        started_at=None,
        now_at=now,
        claimed_monotonic=clock.monotonic(),
        worker_ids="[]",
        errors="[]",
    )
