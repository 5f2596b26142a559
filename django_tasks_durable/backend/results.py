"""What Django calls a TaskResult: a run, told in Django's words.

Made from a snapshot of the row, from what an enqueue left, or from what a worker holds; none of them asks the database.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.compat import (
    TASK_REFRESH_ATTRS,
    Task,
    TaskError,
    TaskResult,
    TaskResultStatus,
    restore,
)
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import NotSerializable, TaskCancelled, UnknownTask, Unreadable
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.keys import Disposition
from django_tasks_durable.primitives.status import RunStatus, State, derive_state
from django_tasks_durable.primitives.writes import Cancelled, ClaimedRun, Failed, Outcome, Succeeded, Suspended

from . import following, messages
from .following import Looking, Streamed

if TYPE_CHECKING:
    from django_tasks_durable.snapshots.parts import WaitSnapshot
    from django_tasks_durable.snapshots.shapes import RunSnapshot, RunSummary

CANCELLED_PATH = f"{TaskCancelled.__module__}.{TaskCancelled.__qualname__}"
# Django's contract calls a value that cannot be stored a TypeError; ours is one, with the place in it.
DJANGO_PATHS = {f"{NotSerializable.__module__}.{NotSerializable.__qualname__}": "builtins.TypeError"}


if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
    TaskResultOf = TaskResult
else:
    # Django's own cannot be subscripted when the program runs.
    P, R = "P", "R"
    TaskResultOf = {(P, R): TaskResult}


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTaskResult(TaskResultOf[P, R]):  # type: ignore[misc]  # not frozen in the stubs only
    """The result of a run that can be acted upon. ``state`` says more than the four statuses of Django.

    ``disposition`` says what the enqueue did: it created a run, reused one that was there, or superseded ``superseded_ids``.
    """

    state: State
    disposition: Disposition = Disposition.CREATED
    superseded_ids: tuple[str, ...] = ()

    @property
    def using(self) -> str:
        """The alias of the database that holds the run."""
        return get_options(self.backend).database

    @property
    def run_id(self) -> UUID:
        """The id as a UUID."""
        return UUID(self.id)

    def refresh(self) -> None:
        """Read the run again."""
        self._take(self.task.get_backend().get_result(self.id))

    async def arefresh(self) -> None:
        """See refresh()."""
        self._take(await self.task.get_backend().aget_result(self.id))

    def _take(self, fresh: TaskResult[..., Any]) -> None:
        for name in (*TASK_REFRESH_ATTRS, "state"):
            object.__setattr__(self, name, getattr(fresh, name))

    def snapshot(self) -> RunSnapshot:
        """Return the whole visible truth of the run as it stands. Raise RunNotFound when it is gone."""
        from django_tasks_durable.snapshots import read  # imports models, see backend.py

        return read.one(self.run_id, using=self.using)

    async def asnapshot(self) -> RunSnapshot:
        """See snapshot()."""
        return await sync_to_async(self.snapshot, thread_sensitive=True)()

    def children(self) -> list[RunSummary]:
        """Return what the run has started with ``context.spawn()``, the first hundred, in the order of their start."""
        from django_tasks_durable.snapshots import read  # imports models, see backend.py

        return read.children(self.run_id, using=self.using)

    async def achildren(self) -> list[RunSummary]:
        """See children()."""
        return await sync_to_async(self.children, thread_sensitive=True)()

    def export(self, **options: Any) -> dict[str, Any]:
        """Return the run as a portable snapshot. The options are those of export_snapshot()."""
        from django_tasks_durable.engine.portable import export_snapshot  # no worker exports what it runs

        return export_snapshot(self.run_id, using=self.using, **options)

    async def aexport(self, **options: Any) -> dict[str, Any]:
        """See export()."""
        return await sync_to_async(self.export, thread_sensitive=True)(**options)

    def waits(self, *, pending: bool = True) -> list[WaitSnapshot]:
        """Return the run's questions as they stand, each with its token: those that are open, or all."""
        from django_tasks_durable.snapshots import waits  # imports models, see backend.py

        return waits.waits(self.run_id, pending=pending, using=self.using)

    async def awaits(self, *, pending: bool = True) -> list[WaitSnapshot]:
        """See waits()."""
        return await sync_to_async(self.waits, thread_sensitive=True)(pending=pending)

    def resume(self, value: Any, *, token: str | None = None, by: str = "") -> State:
        """Answer the run's open question and return its state; with several questions open, the token says which.

        The first answer stands and the same one again changes nothing. Raise NotWaiting, AmbiguousResume or
        AlreadyResolved.
        """
        return self._act("resume", value, token=token, by=by)

    async def aresume(self, value: Any, *, token: str | None = None, by: str = "") -> State:
        """See resume()."""
        return await sync_to_async(self.resume, thread_sensitive=True)(value, token=token, by=by)

    def resolve(self, token: str, value: Any, *, by: str = "") -> State:
        """Answer the question of this token. See resume()."""
        return self.resume(value, token=token, by=by)

    async def aresolve(self, token: str, value: Any, *, by: str = "") -> State:
        """See resume()."""
        return await self.aresume(value, token=token, by=by)

    def send(self, name: str, payload: Any = None, *, by: str = "") -> State:
        """Send a message to the run and return its state. Raise TakesNoMessages when it is over."""
        messages.send(self.run_id, name, payload, by=by, backend=self.backend)
        self.refresh()
        return self.state

    async def asend(self, name: str, payload: Any = None, *, by: str = "") -> State:
        """See send()."""
        return await sync_to_async(self.send, thread_sensitive=True)(name, payload, by=by)

    def cancel(self, reason: str = "", *, by: str = "") -> State:
        """Cancel the run and return its state: one that is running ends at its next primitive. A finished one stays."""
        return self._act("cancel", reason=reason, by=by)

    async def acancel(self, reason: str = "", *, by: str = "") -> State:
        """See cancel()."""
        return await sync_to_async(self.cancel, thread_sensitive=True)(reason, by=by)

    def retry(self, *, by: str = "") -> State:
        """Start a failed or cancelled run anew from its checkpoints and return its state. Raise InvalidTransition."""
        return self._act("retry", by=by)

    async def aretry(self, *, by: str = "") -> State:
        """See retry()."""
        return await sync_to_async(self.retry, thread_sensitive=True)(by=by)

    def fork(self, *, path: str, values: Mapping[str, Any] | None = None, by: str = "") -> DurableTaskResult:
        """Start a new run that goes on from a place in this one's history, and return its result.

        It keeps what was done before ``path``; that and all after it is done again. ``values`` gives what is kept, or
        ``path`` itself, other values. Raise UnknownPath, or InvalidTransition for a run that a worker holds.
        """
        from django_tasks_durable.store import forks  # imports models, see backend.py

        forked = forks.fork(self.run_id, path, values=values, using=self.using, by=by)
        result: Any = self.task.get_backend().get_result(str(forked))
        assert isinstance(result, DurableTaskResult), "a run of our backend has a result of ours"
        return result

    async def afork(self, *, path: str, values: Mapping[str, Any] | None = None, by: str = "") -> DurableTaskResult:
        """See fork()."""
        return await sync_to_async(self.fork, thread_sensitive=True)(path=path, values=values, by=by)

    def clear(self, path: str, *, by: str = "") -> list[str]:
        """Forget what the run did at ``path`` and after it, so that it is done again; return the paths that are gone.

        Raise UnknownPath, or InvalidTransition for a run that a worker holds or that ended well.
        """
        from django_tasks_durable.store import forks  # imports models, see backend.py

        gone = forks.clear(self.run_id, path, using=self.using, by=by)
        self.refresh()
        return gone

    async def aclear(self, path: str, *, by: str = "") -> list[str]:
        """See clear()."""
        return await sync_to_async(self.clear, thread_sensitive=True)(path, by=by)

    def _act(self, verb: str, *args: Any, **kwargs: Any) -> State:
        from django_tasks_durable.store import control  # imports models, see backend.py

        act: Callable[..., Any] = getattr(control, verb)
        act(self.run_id, *args, using=self.using, **kwargs)
        self.refresh()
        return self.state

    def wait(self, timeout: float | None = None) -> DurableTaskResult:
        """Wait until the run has ended and return this result, refreshed. Raise TimeoutError after ``timeout`` seconds.

        Raise TransactionManagementError inside a transaction, which would keep the end from being seen.
        """
        look = Looking(self.id, timeout)
        while True:
            self.refresh()
            if self.is_finished:
                return self
            self._refuse_in_transaction()
            time.sleep(look.pause(self.state))

    async def finished(self, timeout: float | None = None) -> DurableTaskResult:
        """See wait(), whose twin cannot be called ``await``."""
        look = Looking(self.id, timeout)
        while True:
            await self.arefresh()
            if self.is_finished:
                return self
            await asyncio.sleep(look.pause(self.state))

    def stream(self, after: int = 0, timeout: float | None = None) -> Iterator[Streamed]:
        """Yield the run's partial results as they are committed, those behind the line ``after`` of its timeline, to its end.

        Raise TimeoutError when ``timeout`` seconds pass without a new one; keep the last ``sequence`` to go on after it.
        Raise TransactionManagementError inside a transaction, which would keep new ones from being seen.
        """
        look = Looking(self.id, timeout)
        while True:
            self.refresh()
            found = following.partials(self.run_id, after, using=self.using)
            if found:
                yield from found
                after, look = found[-1].sequence, Looking(self.id, timeout)
            elif self.is_finished:
                return
            else:
                self._refuse_in_transaction()
                time.sleep(look.pause(self.state))

    async def astream(self, after: int = 0, timeout: float | None = None) -> AsyncIterator[Streamed]:
        """See stream()."""
        look = Looking(self.id, timeout)
        while True:
            await self.arefresh()
            found = await sync_to_async(following.partials, thread_sensitive=True)(self.run_id, after, using=self.using)
            for each in found:
                yield each
            if found:
                after, look = found[-1].sequence, Looking(self.id, timeout)
            elif self.is_finished:
                return
            else:
                await asyncio.sleep(look.pause(self.state))

    def _refuse_in_transaction(self) -> None:
        if connections[self.using].in_atomic_block:
            raise transaction.TransactionManagementError(
                f"Waiting for run {self.id} inside a transaction on {self.using!r} would keep its end from being seen. "
                "Wait after the commit; in a TestCase call testing.drain() first."
            )


def of_accepted(
    task: Task[..., Any],
    alias: str,
    run_id: UUID,
    enqueued_at: datetime,
    args_text: str,
    kwargs_text: str,
    superseded: Sequence[UUID] = (),
) -> DurableTaskResult:
    """Return the result of a run that was just enqueued. Its arguments are those that the task will get."""
    told = {"disposition": Disposition.SUPERSEDED, "superseded_ids": tuple(map(str, superseded))} if superseded else {}
    return _made(
        **told,
        task=task if task.backend == alias else restore(task, backend=alias),
        id=str(run_id),
        status=TaskResultStatus.READY,
        state=State.QUEUED,
        enqueued_at=enqueued_at,
        args=[] if args_text == "[]" else codec.decode(args_text),
        kwargs={} if kwargs_text == "{}" else codec.decode(kwargs_text),
        backend=alias,
    )


def of_reused(snapshot: RunSnapshot) -> DurableTaskResult:
    """Return the result of a run that an enqueue found."""
    result = of_snapshot(snapshot)
    object.__setattr__(result, "disposition", Disposition.REUSED)
    return result


def of_call(
    task: Task[..., Any], alias: str, run_id: UUID, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> DurableTaskResult:
    """Return the result of one of many runs that were just enqueued together."""
    return _made(
        task=task if task.backend == alias else restore(task, backend=alias),
        id=str(run_id),
        status=TaskResultStatus.READY,
        state=State.QUEUED,
        enqueued_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=alias,
    )


def of_snapshot(snapshot: RunSnapshot) -> DurableTaskResult:
    """Return the result of a run as a snapshot shows it."""
    return _made(
        task=task_of(
            snapshot.task_path,
            priority=snapshot.priority,
            queue_name=snapshot.queue_name,
            run_after=snapshot.run_after,
            backend=snapshot.backend,
        ),
        id=str(snapshot.id),
        status=django_status(snapshot.status),
        state=snapshot.state,
        enqueued_at=snapshot.enqueued_at,
        started_at=snapshot.started_at,
        last_attempted_at=snapshot.last_attempted_at,
        finished_at=snapshot.finished_at,
        args=_payload(snapshot.args_text),
        kwargs=_payload(snapshot.kwargs_text),
        backend=snapshot.backend,
        errors=_errors(
            [(error.exception_class_path, error.traceback) for error in snapshot.errors],
            cancelled=snapshot.cancel_reason if snapshot.status is RunStatus.CANCELLED else None,
        ),
        worker_ids=list(snapshot.worker_ids),
        _return_value=_value(snapshot.status, snapshot.result_text),
    )


def of_claimed(
    claimed: ClaimedRun, outcome: Outcome | None = None, status: RunStatus | None = None
) -> DurableTaskResult:
    """Return the result of a run that a worker holds, or has ended with an outcome, without asking the database.

    ``status`` is what the run's row says after the outcome; the outcome's own without it.
    """
    status = status or _status_after(outcome)
    now = claimed.now_at + timedelta(seconds=max(0.0, clock.monotonic() - claimed.claimed_monotonic))
    before = json.loads(claimed.worker_ids)
    errors = [(error["exception_class_path"], error["traceback"]) for error in json.loads(claimed.errors)]
    if isinstance(outcome, Failed):
        errors.append((outcome.error.exception_class_path, outcome.error.traceback))
    is_finished = status in _DJANGO_FINISHED
    counts_worker = status in {RunStatus.RUNNING, RunStatus.SUCCESSFUL} or isinstance(outcome, Failed)
    reason = outcome.reason if isinstance(outcome, Cancelled) else ""
    return _made(
        task=task_of(
            claimed.task_path,
            priority=claimed.priority,
            queue_name=claimed.queue_name,
            run_after=claimed.run_after,
            backend=claimed.backend,
        ),
        id=str(claimed.run_id),
        status=django_status(status),
        state=derive_state(status, "", is_due=True),
        enqueued_at=claimed.enqueued_at,
        started_at=claimed.started_at or now,
        last_attempted_at=now if outcome is None else claimed.now_at,
        finished_at=now if is_finished else None,
        args=_payload(claimed.args),
        kwargs=_payload(claimed.kwargs),
        backend=claimed.backend,
        errors=_errors(errors, cancelled=reason if status is RunStatus.CANCELLED else None),
        worker_ids=[*before, claimed.worker_id] if counts_worker else before,
        _return_value=_value(status, outcome.result if isinstance(outcome, Succeeded) else None),
    )


def task_of(path: str, **values: Any) -> Task[..., Any]:
    """Return the task of a path with the values of one run, not validated again: the settings may have changed since.

    A task that is not registered here gets a stand-in, so that its runs can be looked at.
    """
    try:
        task = get_task(path)
    except UnknownTask:
        task = _stand_in(path)
    if all(getattr(task, name) == value for name, value in values.items()):
        return task
    return restore(task, **values)


def django_status(status: RunStatus) -> TaskResultStatus:
    """Tell a status in Django's four words."""
    match status:
        case RunStatus.READY | RunStatus.CLAIMED | RunStatus.WAITING:
            return TaskResultStatus.READY  # in Django's words "ready to be executed again"
        case RunStatus.RUNNING:
            return TaskResultStatus.RUNNING
        case RunStatus.SUCCESSFUL:
            return TaskResultStatus.SUCCESSFUL
        case RunStatus.FAILED | RunStatus.CANCELLED:
            return TaskResultStatus.FAILED
        case _:
            assert_never(status)


_DJANGO_FINISHED = frozenset({RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED})
_UNSTARTED: Mapping[str, Any] = {
    "started_at": None,
    "last_attempted_at": None,
    "finished_at": None,
    "_return_value": None,
    "disposition": Disposition.CREATED,
    "superseded_ids": (),
}


def _made(**values: Any) -> DurableTaskResult:
    # Not through __init__, which would squeeze datetimes, tuples and the like into what plain JSON has.
    result = object.__new__(DurableTaskResult)
    for name, value in _UNSTARTED.items():
        if name not in values:
            object.__setattr__(result, name, value)
    for name in ("errors", "worker_ids"):
        if name not in values:
            object.__setattr__(result, name, [])
    for name, value in values.items():
        object.__setattr__(result, name, value)
    return result


def _status_after(outcome: Outcome | None) -> RunStatus:
    match outcome:
        case None:
            return RunStatus.RUNNING
        case Succeeded():
            return RunStatus.SUCCESSFUL
        case Failed(retry_at=None):
            return RunStatus.FAILED
        case Cancelled():
            return RunStatus.CANCELLED
        case Suspended(parked=True):
            return RunStatus.WAITING
        case _:
            return RunStatus.READY


def _payload(text: str) -> Any:
    """Return stored arguments as the task gets them, or for reading when that cannot be done here."""
    if text in {"[]", "{}"}:
        return [] if text == "[]" else {}
    try:
        return codec.decode(text)
    except Unreadable:
        return codec.readable(text)


def _value(status: RunStatus, text: str | None) -> Any:
    return None if text is None or status is not RunStatus.SUCCESSFUL else _payload(text)


def _errors(told: Sequence[tuple[str, str]], *, cancelled: str | None) -> list[TaskError]:
    errors = [
        TaskError(exception_class_path=DJANGO_PATHS.get(path, path), traceback=traceback) for path, traceback in told
    ]
    if cancelled is not None:
        said = f"{CANCELLED_PATH}: {cancelled}" if cancelled else CANCELLED_PATH
        errors.append(TaskError(exception_class_path=CANCELLED_PATH, traceback=f"{said}\n"))
    return errors


def _stand_in(path: str) -> Task[..., Any]:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise UnknownTask(path)

    missing.__module__, _, missing.__qualname__ = path.rpartition(".")
    missing.__name__ = missing.__qualname__
    task = object.__new__(Task)
    for name, value in {
        "func": missing,
        "priority": 0,
        "backend": "default",
        "queue_name": "default",
        "run_after": None,
        "takes_context": False,
    }.items():
        object.__setattr__(task, name, value)
    return task
