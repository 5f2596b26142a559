"""One stretch of a run, from its claim to its outcome: what its lines of execution share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django_tasks_durable.authoring.workflow_tasks import workflow_of
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import DurableError, LeaseLost, Suspend, SuspendInAtomic, TaskTimeout
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.status import CheckpointKind, WakeReason
from django_tasks_durable.primitives.writes import (
    CheckpointRecord,
    ChildRecord,
    ClaimedRun,
    History,
    MessageRecord,
    RunStore,
    Suspended,
    Verdict,
    Write,
)
from django_tasks_durable.store import user_transactions

from .allowance import Allowance
from .control import AttemptControl
from .frame import Frame, Pending, Strand
from .replay import Decision, Place, Replay

if TYPE_CHECKING:
    from django_tasks_durable.compat import Task

    from .bodies import Body
    from .context import DurableContext
    from .unwinding import Compensation
    from .workflows import Machine

E = TypeVar("E", bound=BaseException)
W = TypeVar("W")


class Slice:
    """One stretch of a run, from its claim to its outcome: what its lines of execution share."""

    is_inline = False
    is_rehearsal = False
    enters_finished = False

    def __init__(
        self,
        claimed: ClaimedRun,
        store: RunStore,
        control: AttemptControl,
        make_context: Callable[[Frame], DurableContext],
    ) -> None:
        self.claimed = claimed
        self.store = store
        self.control = control
        self.task: Task[..., Any] | None = None
        self.timeout: float | None = None
        self.deadline: float | None = None
        self.is_over = False
        # Whether the control's reason was raised in the body; then it decides the outcome, whatever came of it.
        self.was_stopped = False
        self.has_timed_out = False
        # Whether somebody outside cancelled the asyncio task that carries the attempt.
        self.was_cancelled = False
        self.interrupted: KeyboardInterrupt | None = None
        self.subtasks: set[asyncio.Task[Any]] = set()
        # An error that no handler in the body may overrule.
        self.doom: DurableError | None = None
        self.error: BaseException | None = None
        self.failures: list[tuple[BaseException, str]] = []
        self.bodies: list[Body] = []
        self.partials = 0
        # How the steps that have finished are undone, by path, in the order in which they finished.
        self.compensations: dict[str, Compensation] = {}
        self.is_unwinding = False
        # What patched() has answered, by path.
        self.patches: dict[str, bool] = {}
        # How much each branch has handed over that may not be durable yet.
        self.owing: dict[Strand, int] = {}
        # Children that were started in this slice, how those ended that were joined in it, and without a worker, all of them.
        self.born: set[UUID] = set()
        self.ends: dict[UUID, CheckpointRecord] = {}
        self.done_at_once: dict[UUID, tuple[ChildRecord, list[tuple[int, str]]]] = {}
        # By thread: how many transactions were open before any body ran there (a test's own, for one).
        self._depths = {threading.get_ident(): user_transactions.depths()}
        self.strand = Strand()
        self.root = Frame(self, self.strand, "")
        self.make_context = make_context
        # Branches on other threads may be the first to ask for the history, or for a scope.
        self.lock = threading.RLock()
        #: What carries a class workflow; None for a function.
        self.machine: Machine | None = None
        self._replay: Replay | None = None
        self._allowance: Allowance | None = None

    @property
    def replay(self) -> Replay:
        """The run's history, read when it is first asked for; a fresh run has none."""
        if self._replay is None:
            with self.lock:
                if self._replay is None:
                    claimed = self.claimed
                    self._replay = Replay(
                        History(inbox=claimed.inbox) if claimed.is_fresh else self.store.history(claimed),
                        is_ordered=self.task is None or workflow_of(self.task) is None,
                    )
        return self._replay

    @property
    def allowance(self) -> Allowance:
        """What the run may still write."""
        if self._allowance is None:
            with self.lock:
                self._allowance = self._allowance or Allowance(self)
        return self._allowance

    def child(self, run_id: UUID) -> ChildRecord | None:
        """Tell how a child stood when this slice began; None for one that is new or gone."""
        return self.replay.children.get(run_id)

    def end_of(self, run_id: UUID) -> CheckpointRecord | None:
        """Return what an earlier join of this child left."""
        return self.ends.get(run_id) or self.replay.end_of(run_id)

    def streamed(self, path: str, run_id: UUID, after: int) -> Sequence[tuple[int, str]]:
        """Return what a child had yielded when this slice began, beyond where the stream at this path stands."""
        return self.replay.streamed.get(path, ())

    @property
    def limit(self) -> int:
        """The most bytes that a value may take."""
        return get_options(self.claimed.backend).max_payload_bytes

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""
        return self.claimed.attempts + 1

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the enqueue left with the run."""
        return MappingProxyType(dict(codec.decode(self.claimed.metadata)))

    def now(self) -> datetime:
        """Return the database's instant, as far as this process can tell without asking."""
        return self.claimed.now_at + timedelta(seconds=clock.monotonic() - self.claimed.claimed_monotonic)

    def start_timeout(self, seconds: float | None) -> None:
        """Let the attempt end when it takes longer than this."""
        if seconds is not None:
            self.timeout = seconds
            self.deadline = clock.monotonic() + seconds

    def lost(self) -> LeaseLost:
        """Make the refusal of this attempt's lease."""
        return LeaseLost(self.claimed.run_id, self.claimed.lease.token)

    def check(self) -> None:
        """Raise what ends the attempt, if anything does."""
        reason = self.control.reason
        if reason is not None:
            self.was_stopped = True
            raise reason
        if self.is_over:
            raise self.lost()
        if self.doom is not None:
            raise self.doom
        if self.deadline is not None and clock.monotonic() > self.deadline:
            self.has_timed_out = True
            raise TaskTimeout(self.timeout or 0.0)

    def enter_thread(self) -> None:
        """Note that a body is about to run on this thread, if it is the first."""
        if threading.get_ident() not in self._depths:
            self._depths[threading.get_ident()] = user_transactions.depths()

    def start_over(self, replay: Replay) -> None:
        """Take this for the history."""
        self._replay = replay

    def hear(self, strand: Strand, place: Place, kind: CheckpointKind, decision: Decision) -> None:
        """Hear what the history says about a primitive."""

    def learned(self, strand: Strand, path: str) -> None:
        """Hear that it is known how the step at this path is undone."""

    def remember(self, error: E, path: str) -> E:
        """Keep in mind that this error is the failure of a checkpoint, and return it."""
        self.failures.append((error, path))
        return error

    def failed_with(self, error: BaseException) -> tuple[str, ...]:
        """Name the failed checkpoints whose errors can be reached from this one; with it they are handled or not (rule 6)."""
        reachable: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            each = pending.pop()
            if each is None or id(each) in reachable:
                continue
            reachable.add(id(each))
            pending += [each.__cause__, each.__context__]
            if isinstance(each, BaseExceptionGroup):
                pending += each.exceptions
        return tuple(dict.fromkeys(path for failure, path in self.failures if id(failure) in reachable))

    def take(self, name: str) -> MessageRecord | None:
        """Take the oldest message of this name out of the box; None when there is none. Branches may ask at once."""
        with self.lock:
            box = self.replay.messages.get(name)
            return box.popleft() if box else None

    def put_back(self, message: MessageRecord) -> None:
        """Return a message that could not be taken after all."""
        with self.lock:
            self.replay.messages[message.name].appendleft(message)

    def keep(self, write: Write) -> Verdict:
        """Hand over a write and wait until it is durable. See commit()."""
        return self.store.keep(write) if self.machine is None else self.commit(write).result()

    def commit(self, write: Write) -> Future[Verdict]:
        """Hand over a write that somebody waits for, in one with a workflow's state."""
        if self.machine is None:
            return self.store.commit(write)
        # Of branches on several threads, whoever reads the state last must hand it over last.
        with self.lock:
            done = self.store.commit(self.machine.keep(write))
        done.add_done_callback(self._doubt)
        return done

    def _doubt(self, done: Future[Verdict]) -> None:
        if self.machine is not None and (done.cancelled() or done.exception() is not None):
            self.machine.doubt()

    def dressed(self, write: W) -> W:
        """Return a write with a workflow's state beside it, if that has changed."""
        return write if self.machine is None else self.machine.dressed(write)

    def state_text(self) -> str | None:
        """Return a workflow's state as JSON text; None for a function."""
        return None if self.machine is None else self.machine.text()

    def rewind(self, state_text: str | None) -> None:
        """Make a workflow's state what it was."""
        if self.machine is not None and state_text is not None:
            self.machine.rewind(state_text)

    def suspend(self, strand: Strand, *pending: Pending) -> None:
        """Leave the body until something happens. Raise Suspend, or SuspendInAtomic in a transaction of the user's."""
        path = pending[0].path
        if user_transactions.deeper_than(self._depths.get(threading.get_ident(), {})):
            raise SuspendInAtomic(path)
        strand.pending.extend(pending)
        strand.suspend = Suspend(path)
        raise strand.suspend

    def suspension(self) -> Suspended:
        """Return the outcome that puts the run to rest with all that it waits for."""
        pending = self.strand.pending
        timed = sorted((each for each in pending if each.wake_at is not None), key=lambda each: each.wake_at)  # type: ignore[arg-type, return-value]
        is_parked = any(each.is_question or each.awaited is not None for each in pending)
        return Suspended(
            lease=self.claimed.lease,
            parked=is_parked,
            wake_at=timed[0].wake_at if timed else None,
            reason=WakeReason.NONE if is_parked or not timed else timed[0].reason,
            inbox=self.replay.inbox,
            unwinding=self.is_unwinding,
            waits=tuple(each.wait for each in pending if each.wait is not None),
            checkpoints=tuple(each.checkpoint for each in pending if each.checkpoint is not None),
            awaited=tuple(each.awaited for each in pending if each.awaited is not None),
            forget=tuple(path for each in pending for path in each.forget),
        )

    def pause(self, seconds: float) -> None:
        """Wait on this thread, unless a test has stopped the clock: then nobody could end the wait."""
        if clock.frozen_at() is None:
            self.control.pause(seconds)
