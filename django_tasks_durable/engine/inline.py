"""Primitives without a run, done at once and remembered by nobody, as unit tests and Django's ImmediateBackend get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import Interrupted
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import AtomicBody, ChildRecord, ClaimedRun, History, Verdict, Write
from django_tasks_durable.store import user_transactions

from .control import AttemptControl
from .frame import Frame, Pending, Strand
from .slice import Slice

if TYPE_CHECKING:
    from .context import DurableContext

T = TypeVar("T")
RUNNING = Verdict(status=RunStatus.RUNNING)


class ForgetfulStore:
    """A RunStore that keeps nothing. Its atomic steps are transactions, so that a test sees them roll back."""

    is_blocking = True

    def __init__(self, using: str) -> None:
        self.using = using

    def history(self, claimed: ClaimedRun) -> History:
        """See RunStore.history()."""
        return History()

    def submit(self, write: Write) -> None:
        """See RunStore.submit()."""

    def commit(self, write: Write) -> Future[Verdict]:
        """See RunStore.commit()."""
        done: Future[Verdict] = Future()
        done.set_result(RUNNING)
        return done

    def keep(self, write: Write) -> Verdict:
        """See RunStore.keep()."""
        return self.commit(write).result()

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[T]) -> T:
        """See RunStore.atomic()."""
        return user_transactions.atomically(self.using, perform)[0]


class InlineSlice(Slice):
    """A slice that never suspends: its clock jumps over sleeps, and a question without a default raises Interrupted."""

    is_inline = True

    def __init__(
        self, make_context: Callable[[Frame], DurableContext], *, run_id: UUID | None = None, backend: str = "default"
    ) -> None:
        super().__init__(
            _nobodys_run(run_id or new_id(), backend),
            ForgetfulStore(get_options(backend).database),
            AttemptControl(),
            make_context,
        )
        self._ahead = timedelta(0)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """See Slice.metadata. What was not enqueued has that of its task."""
        if self.claimed.metadata == "{}" and self.task is not None:
            return MappingProxyType(dict(options_of(self.task).metadata))
        return super().metadata

    def now(self) -> datetime:
        """See Slice.now()."""
        return super().now() + self._ahead

    def pause(self, seconds: float) -> None:
        """Wait for nothing."""
        self._ahead += timedelta(seconds=seconds)

    def child(self, run_id: UUID) -> ChildRecord | None:
        """See Slice.child(). A child was run to its end when it was started."""
        done = self.done_at_once.get(run_id)
        return None if done is None else done[0]

    def streamed(self, path: str, run_id: UUID, after: int) -> Sequence[tuple[int, str]]:
        """See Slice.streamed()."""
        done = self.done_at_once.get(run_id)
        return [] if done is None else [each for each in done[1] if each[0] > after]

    def suspend(self, strand: Strand, *pending: Pending) -> None:
        """Let the awaited instant be now. Raise Interrupted for a question that has no default."""
        for each in pending:
            if each.is_question and not each.has_default:
                raise Interrupted(codec.decode(each.request), each.token)
            if each.wake_at is not None:
                self._ahead = max(self._ahead, each.wake_at - super().now())


def _nobodys_run(run_id: UUID, backend: str) -> ClaimedRun:
    now = clock.host_now()
    return ClaimedRun(
        lease=Lease(run_id=run_id, token=1),
        task_path="",
        backend=backend,
        queue_name="default",
        priority=0,
        args="[]",
        kwargs="{}",
        options="{}",
        attempts=0,
        max_attempts=1,
        crashes=0,
        inbox=0,
        enqueued_at=now,
        run_after=None,
        started_at=now,
        now_at=now,
        claimed_monotonic=clock.monotonic(),
        worker_ids="[]",
        errors="[]",
    )
