"""One run in the hands of a child process: what it says becomes facts of the run, and its end an outcome."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from django_tasks_durable.authoring.options import timeout_of
from django_tasks_durable.conf import Options
from django_tasks_durable.engine import attempt
from django_tasks_durable.exceptions import (
    ControlFlow,
    CpuTimeExceeded,
    ExecutorUnfit,
    LeaseLost,
    ProcessDied,
    ShuttingDown,
    TaskTimeout,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.undone import MARK
from django_tasks_durable.primitives.writes import (
    OUTCOMES,
    Append,
    History,
    Line,
    Lost,
    Outcome,
    SaveCheckpoint,
    Verdict,
    Write,
)

from . import wire
from .base import Carried
from .child_process import ChildProcess, how_it_ended
from .output import CapturedStream

logger = logging.getLogger("django_tasks_durable.executors")
# What a worker that stops has left, after it has told its attempts to stop.
SHUTDOWN_SECONDS = 0.4


class Delivery:
    """Carries one run through one child. Everything here is done on the loop that minds the children.

    The parent alone writes to the database, but for atomic steps: those commit in the child, on the connection of the code
    around them, behind the same lease.
    """

    def __init__(self, carried: Carried, options: Options) -> None:
        self.carried = carried
        self.claimed = carried.claimed
        self.options = options
        #: Whether the child may carry another run.
        self.left_clean = False
        self._ending: tuple[Outcome, Future[Verdict]] | None = None
        self._reason: BaseException | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._is_undoing = False
        self._is_broken = False
        self._has_told = False

    @property
    def is_unwanted(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self.carried.control.reason is not None

    async def carry(self, child: ChildProcess) -> None:
        """Let a child carry the run, and tell its end."""
        self._child, self._loop = child, asyncio.get_running_loop()
        self._ended: asyncio.Future[wire.Frame] = self._loop.create_future()
        for stream in child.streams:
            stream.begin()
        child.listener, child.carried = self._hear, child.carried + 1
        on_stop = partial(self._soon, self._stop)
        try:
            self._hand_over()
            self.carried.control.add_callback(on_stop)
            ends: list[asyncio.Future[Any]] = [self._ended, child.exited]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.carried.control.remove_callback(on_stop)
            self._disarm()
            child.listener = None
        if self._ended.done():
            self._conclude(self._ended.result())
        else:
            await self._conclude_dead(child.exited.result())

    def _hand_over(self) -> None:
        history = self.carried.store.history(self.claimed)
        self._is_undoing = any(record.path == MARK for record in history.checkpoints)
        self._child.say(
            do="carry",
            claimed=wire.told(self.claimed),
            history=wire.told(history),
            using=self.options.database,
            cpu=self.options.child_cpu_seconds,
        )
        seconds = timeout_of(self.claimed.options)
        if seconds is not None and not self._is_undoing:
            self._arm(seconds, self._interrupt, TaskTimeout(seconds))

    # --- what ends it from outside

    def _stop(self) -> None:
        """Pass on that the attempt is to stop; kill at once what may write nothing more."""
        reason = self.carried.control.reason
        if isinstance(reason, LeaseLost):
            self._kill(reason)
        elif reason is not None:
            self._interrupt(reason)

    def _interrupt(self, reason: BaseException) -> None:
        if self._is_undoing and not isinstance(reason, ShuttingDown):
            return  # what has begun to be undone is undone to the end
        self._child.say(
            do="stop", reason=type(reason).__name__, said=str(reason), seconds=getattr(reason, "seconds", 0)
        )
        grace = self.options.child_grace_seconds
        self._arm(min(grace, SHUTDOWN_SECONDS) if isinstance(reason, ShuttingDown) else grace, self._kill, reason)

    def _kill(self, reason: BaseException) -> None:
        if self._is_undoing and not isinstance(reason, ShuttingDown | LeaseLost):
            return
        self._reason = self._reason or reason
        self._child.kill()

    def _arm(self, seconds: float, function: Callable[[BaseException], None], reason: BaseException) -> None:
        self._timers.append(self._loop.call_later(seconds, function, reason))

    def _disarm(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _soon(self, function: Callable[..., object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # the loop is closed, and the child gone with it

    # --- what the child says

    def _hear(self, frame: wire.Frame) -> None:
        try:
            self._take(frame)
        except Exception:
            logger.exception("Run %s: its child says what makes no sense, and is killed", self.claimed.run_id)
            self._is_broken = True
            self._child.kill()

    def _take(self, frame: wire.Frame) -> None:
        number: int = frame.get("number", 0)
        match frame["say"]:
            case "write":
                self._write(wire.made_write(frame["write"]), number)
            case "flush":
                self._child.answer(number, self.carried.flushed())
            case "history":
                self._child.answer(number, self._history())
            case "committed":
                self.carried.heard(wire.made(Verdict, frame["verdict"]))
            case "ended":
                self._ended.set_result(frame)

    def _write(self, write: Write, number: int) -> None:
        if write.lease != self.claimed.lease:
            raise ValueError(f"A child that carries run {self.claimed.run_id} wrote for run {write.lease.run_id}.")
        if isinstance(write, OUTCOMES):
            self._tell_output()
            self._ending = write, self.carried.store.commit(write)
        elif number:
            self._is_undoing |= isinstance(write, SaveCheckpoint) and write.checkpoint.path == MARK
            self._child.answer(number, self.carried.store.commit(write))
        else:
            self.carried.store.submit(write)

    def _history(self) -> Future[History]:
        done: Future[History] = Future()

        def read() -> None:
            try:
                done.set_result(self.carried.store.history(self.claimed))
            except BaseException as error:
                done.set_exception(error)

        self._loop.run_in_executor(None, read)
        return done

    # --- its end

    def _conclude(self, frame: wire.Frame) -> None:
        self._child.megabytes = float(frame.get("megabytes", 0.0))
        self.left_clean = bool(frame.get("clean"))
        if broken := frame.get("broken"):
            logger.error("Run %s ended in a way that nobody expected:\n%s", self.claimed.run_id, broken)
        self._tell_end(self._ending)

    async def _conclude_dead(self, code: int) -> None:
        """Make the outcome of a run whose process is gone: why it was killed, or that it crashed."""
        if self._ending is not None or self._is_broken:
            self._tell_end(self._ending)
            return
        said = "\n".join(stream.text for stream in self._child.streams if stream.size)
        self._tell_output()
        if self._reason is None and code == -signal.SIGXCPU:
            self._reason = CpuTimeExceeded(self.options.child_cpu_seconds or 0)
        if self._reason is None:
            self._tell_end(self._lost(ProcessDied(code, how_it_ended(code)), said))
            return
        broken_off = partial(attempt.break_off, self.claimed, self.carried.store, self.carried.control, self._reason)
        self._tell_end(await self._loop.run_in_executor(None, broken_off))

    def _lost(self, error: Exception, said: str) -> tuple[Outcome, Future[Verdict]]:
        logger.error("%s, run %s: %s", self.claimed.task_path, self.claimed.run_id, error)
        record = codec.error_record(error)
        outcome = Lost(lease=self.claimed.lease, error=replace(record, traceback=said or record.traceback))
        return outcome, self.carried.store.commit(outcome)

    async def never_began(self, error: ExecutorUnfit) -> None:
        """Tell that there was no child to carry the run: given back when it is unwanted, else lost once more."""
        reason = self.carried.control.reason
        if isinstance(reason, ControlFlow):
            broken_off = partial(attempt.break_off, self.claimed, self.carried.store, self.carried.control, reason)
            self._tell_end(await asyncio.get_running_loop().run_in_executor(None, broken_off))
        else:
            self._tell_end(self._lost(error, ""))

    def abandon(self) -> None:
        """Tell that this delivery itself has failed."""
        self._tell_end(self._ending)

    def _tell_end(self, ending: tuple[Outcome, Future[Verdict]] | None) -> None:
        if not self._has_told:
            self._has_told = True
            self.carried.ended(ending)

    def _tell_output(self) -> None:
        """Keep what the attempt said on its standard streams as lines of the run's timeline."""
        for stream in self._child.streams:
            stream.read()
            if stream.size:
                self.carried.store.submit(Append(lease=self.claimed.lease, line=_output_line(stream)))
            stream.begin()


def _output_line(stream: CapturedStream) -> Line:
    return Line(
        kind=StepKind.LOG,
        message=f"{stream.name}: {stream.size:,} bytes",
        data=codec.encode({"stream": stream.name, "bytes": stream.size, "text": stream.text}),
    )
