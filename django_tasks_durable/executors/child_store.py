"""Where an attempt in a child process leaves its facts: with the worker, which writes them behind the run's lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.engine import attempt
from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.exceptions import ControlFlow, RunCancelled, ShuttingDown, TaskTimeout, UnknownTask
from django_tasks_durable.primitives.undone import MARK
from django_tasks_durable.primitives.writes import (
    OUTCOMES,
    AtomicBody,
    ClaimedRun,
    History,
    SaveCheckpoint,
    Verdict,
    Write,
)
from django_tasks_durable.store.atomic import perform_atomic

from . import wire
from .base import announce_start

T = TypeVar("T")


class ChildStore:
    """The RunStore of one attempt in a child process, and what the worker has to say to that attempt.

    An atomic step commits here, in the transaction of the code around it, with the lease in every statement of ours.
    """

    def __init__(self, frame: wire.Frame, say: Callable[..., None], interrupt: Callable[[], None]) -> None:
        self.claimed = wire.made(ClaimedRun, frame["claimed"])
        self.control = AttemptControl()
        #: What is to be raised on the main thread, once.
        self.pending: BaseException | None = None
        self.is_interruptible = False
        self.was_interrupted = False
        self.cpu_seconds: int | None = frame["cpu"]
        self._using: str = frame["using"]
        self._history: History | None = wire.made(History, frame["history"])
        self._say = say
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._asked: dict[int, tuple[type, Future[Any]]] = {}
        self._number = 0
        self._has_gone_on = False
        self._has_ended = False
        self._is_undoing = any(record.path == MARK for record in self._history.checkpoints)

    # --- the attempt

    def carry(self, run_async: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """Run the attempt to the hand-over of its outcome."""
        announce_start(self.claimed)
        try:
            if self._is_async():
                run_async(attempt.aexecute(self.claimed, self, self.control))
            else:
                self.is_interruptible = not self._is_undoing
                attempt.execute(self.claimed, self, self.control)
        except (ControlFlow, TaskTimeout) as error:
            # It came while the engine was about to tell the end itself.
            self.is_interruptible = False
            if not self._has_ended:
                attempt.break_off(self.claimed, self, self.control, error)

    def _is_async(self) -> bool:
        try:
            return attempt.is_async(get_task(self.claimed.task_path))
        except UnknownTask:
            return False

    # --- what the worker says, on the thread that hears

    def answered(self, frame: wire.Frame) -> None:
        """Take the answer to what was asked."""
        with self._lock:
            kind, future = self._asked.pop(frame["number"])
        if refused := frame.get("refused"):
            future.set_exception(wire.made_refusal(refused, self.claimed.lease))
        else:
            future.set_result(None if frame["value"] is None else wire.made(kind, frame["value"]))

    def stop(self, frame: wire.Frame) -> None:
        """Stop the attempt: at its next primitive, and where its code is now, if that can be interrupted."""
        reasons = {RunCancelled.__name__: RunCancelled(frame["said"]), ShuttingDown.__name__: ShuttingDown()}
        reason = reasons.get(frame["reason"])
        if reason is not None:
            self.control.stop(reason)
        self.pending = reason or TaskTimeout(frame["seconds"])
        if self.is_interruptible:
            self._interrupt()

    def raise_pending(self) -> None:
        """Raise what the worker wants, on the main thread, unless it is too late for that."""
        error, self.pending = self.pending, None
        if error is not None and self.is_interruptible:
            self.is_interruptible, self.was_interrupted = False, True
            raise error

    # --- see RunStore

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history(). What came with the run is what there was at its claim."""
        if self._number == 0 and not self._has_gone_on and self._history is not None:
            return self._history
        found: History = self._ask(History, say="history").result()
        return found

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""
        self._has_gone_on |= isinstance(write, SaveCheckpoint)
        if isinstance(write, SaveCheckpoint) and write.checkpoint.path == MARK:
            self.is_interruptible = False
        self._say(say="write", write=wire.told_write(write))

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        if isinstance(write, OUTCOMES):
            self.is_interruptible, self._has_ended = False, True
            self._say(say="write", write=wire.told_write(write))
            return Future()
        if isinstance(write, SaveCheckpoint) and write.checkpoint.path == MARK:
            self.is_interruptible = False
        return self._ask(Verdict, say="write", write=wire.told_write(write))

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic(). What was handed over before is durable first, so that the order holds."""
        self._ask(Verdict, say="flush").result()
        value, verdict = perform_atomic(self._using, claimed, claimed.worker_id, perform)
        self._say(say="committed", verdict=wire.told(verdict))
        if verdict.cancel_requested:
            self.control.stop(RunCancelled())
        return value

    def _ask(self, kind: type, **frame: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._asked[number] = kind, future
        self._say(number=number, **frame)
        return future
