"""A run streamed in this process, slice by slice, from the checkpoints that a store in memory holds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from typing import Any, cast

from django_tasks_durable.authoring.streaming import StreamItem
from django_tasks_durable.authoring.tasks import DurableTask, get_task, options_of
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import AmbiguousResume, Interrupted, RunNotFound, StepFailed, TaskCancelled
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, Outcome, Released
from django_tasks_durable.store.memory import MemoryStore
from django_tasks_durable.store.memory_run import MemoryRun

from . import attempt, outcomes, unwinding
from .context import DurableContext
from .control import AttemptControl
from .drive import aflow, flow
from .running import prepare, root
from .slice import Slice
from .subtasks import cancel_subtasks, track_subtasks

Task = DurableTask[..., Any]


def memory_store(store: Any) -> MemoryStore:
    """Return the store that a run is streamed from, a new one for None. Raise TypeError for another kind."""
    if store is None:
        return MemoryStore()
    if not isinstance(store, MemoryStore):
        raise TypeError(f"store={store!r}: give a MemoryStore.")
    return store


def resumed(task: Task, run_id: str, answer: Any, token: str | None, store: Any) -> Course:
    """Give a run the answer that it waits for and return its way on."""
    found = memory_store(store).find(run_id)
    if found.task_path != task.module_path:
        raise RunNotFound(run_id)
    store.resume(_asker(store, found, token).id, answer, token=token)
    return Course(task, store, run=found)


def _asker(store: MemoryStore, run: MemoryRun, token: str | None) -> MemoryRun:
    """Choose whom an answer is for: the run, or one of those that it has started and that ask in its stream."""
    family = store.family(run.id)
    if token is not None:
        return next((each for each in family if any(wait.token == token for wait in each.waits.values())), run)
    asking = [each for each in family if each.open_waits]
    if len(asking) > 1:
        raise AmbiguousResume(run.name, [wait.token for each in asking for wait in each.open_waits])
    return asking[0] if asking else run


class Course:
    """The way of one run through this process, slice by slice."""

    def __init__(
        self,
        task: Task,
        store: MemoryStore,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        run: MemoryRun | None = None,
    ) -> None:
        self.task = task
        self.store = store
        self._args = args
        self._kwargs = kwargs or {}
        self._name = name
        self._run = run
        self.interrupted: Interrupted | None = None
        self.slice: Slice | None = None

    @property
    def run(self) -> MemoryRun:
        """The run, created when it is first asked for."""
        if self._run is None:
            limit = get_options(self.task.backend).max_payload_bytes
            options = options_of(self.task)
            run_id = self.store.create(
                self.task.module_path,
                codec.encode(list(self._args), where="args", limit=limit),
                codec.encode(dict(self._kwargs), where="kwargs", limit=limit),
                name=self._name or options.keys.run_id,
                keys=options.keys,
                options=options.snapshot(),
                backend=self.task.backend,
                queue_name=self.task.queue_name,
                priority=self.task.priority,
                max_attempts=options.max_attempts or get_options(self.task.backend).max_attempts,
            )
            self._run = self.store.find(run_id)
        return self._run

    def claim(self) -> ClaimedRun | None:
        """Take the run if it is due. One whose stream was left behind unfinished is taken over."""
        run = self.run
        if run.status in (RunStatus.CLAIMED, RunStatus.RUNNING):
            self.store.lose(run.id)
        return self.store.claim(run.id)

    def begin(self, claimed: ClaimedRun) -> Slice:
        """Start a slice."""
        self.slice = Slice(claimed, self.store, AttemptControl(), DurableContext)
        return self.slice

    def seconds_left(self) -> float | None:
        """Return the seconds until the run is due again by itself; None when it is not to be waited for here."""
        run = self.run
        if run.due_at is None or run.status not in (RunStatus.READY, RunStatus.WAITING):
            return None
        left = max((run.due_at - self.store.now()).total_seconds(), 0.0)
        # A question is handed to whoever looks, and only one that nobody can answer any more is gone past.
        return left if run.status is RunStatus.READY or not left else None

    def next_child(self) -> MemoryRun | None:
        """Choose who is to go on while the run waits: of all below it, whoever is due first; None when nobody can."""
        if self.run.status is not RunStatus.WAITING:
            return None
        able = [run for run in self.store.family(self.run.id)[1:] if run.status is not RunStatus.WAITING]
        return min(able, key=lambda run: run.due_at or run.enqueued_at, default=None)

    def child_course(self, run: MemoryRun) -> Course:
        """Return the way of a child."""
        return Course(cast(Task, get_task(run.task_path)), self.store, run=run)

    def item(self, partial: Any) -> StreamItem:
        """Make the item of a partial result."""
        return StreamItem(partial, self.store.snapshot(self.run.id), None)

    def questions(self) -> Iterator[StreamItem]:
        """Make the items of the questions that the run, or what it has started, now waits with."""
        snapshot = self.store.snapshot(self.run.id)
        for wait in (wait for each in self.store.family(self.run.id) for wait in each.open_waits):
            payload = codec.decode(wait.request)
            self.interrupted = self.interrupted or Interrupted(payload, wait.token)
            yield StreamItem(None, snapshot, payload, "interrupt", wait.token)

    def result(self) -> Any:
        """Return what the run returned. Raise what it raised, or Interrupted."""
        run = self.run
        if run.status is RunStatus.SUCCESSFUL:
            return codec.decode(run.result or "null")
        if run.status is RunStatus.FAILED:
            if self.slice is not None and self.slice.error is not None:
                raise self.slice.error
            raise _told(run)
        if run.status is RunStatus.CANCELLED:
            raise TaskCancelled(f"The run {run.name!r} was cancelled.")
        if self.interrupted is not None:
            raise self.interrupted
        raise RuntimeError(f"The run {run.name!r} is {run.status.lower()}: its stream was left before its end.")


def _told(run: MemoryRun) -> Exception:
    last = json.loads(run.errors)[-1]
    return StepFailed(last["message"], last["exception_class_path"])


def _rest(seconds: float) -> None:
    # In process there is nobody else who could advance a clock that a test has stopped.
    if clock.frozen_at() is not None:
        clock.advance(seconds)
    elif seconds:
        time.sleep(seconds)


async def _arest(seconds: float) -> None:
    if clock.frozen_at() is not None or not seconds:
        _rest(seconds)
    else:
        await asyncio.sleep(seconds)


def _further(course: Course) -> None:
    """Bring a child one slice further; what it yields stays in the store."""
    _rest(course.seconds_left() or 0.0)
    claimed = course.claim()
    if claimed is not None:
        _settle(attempt.execute(claimed, course.store, AttemptControl()))


async def _afurther(course: Course) -> None:
    """See _further()."""
    await _arest(course.seconds_left() or 0.0)
    claimed = course.claim()
    if claimed is not None:
        _settle(await attempt.aexecute(claimed, course.store, AttemptControl()))


class Stream:
    """What a run yields in this process. See authoring.streaming.RunStream."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._items = self._all()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> StreamItem:
        return next(self._items)

    def close(self) -> None:
        """See RunStream.close()."""
        self._items.close()

    def result(self) -> Any:
        """See RunStream.result()."""
        for _ in self:
            pass
        return self._course.result()

    def _all(self) -> Generator[StreamItem, None, Any]:
        course = self._course
        while True:
            if (left := self._wait()) is not None:
                _rest(left)
                claimed = course.claim()
                if claimed is not None:
                    yield from self._slice(claimed)
            elif (child := course.next_child()) is not None:
                _further(course.child_course(child))
            else:
                break
        if course.run.status is RunStatus.WAITING:
            yield from course.questions()
            return None
        return course.result()

    def _wait(self) -> float | None:
        if self._course.run.status in (RunStatus.CLAIMED, RunStatus.RUNNING):
            return 0.0
        return self._course.seconds_left()

    def _slice(self, claimed: ClaimedRun) -> Generator[StreamItem, None, None]:
        slice = self._course.begin(claimed)
        outcome: Outcome | None = None
        try:
            call = prepare(slice)
            attempt.announce(slice)
            undoing = unwinding.resumed(slice)
            if undoing is None:
                value = yield from self._items_of(flow(slice, root(slice, call)))
                outcome = outcomes.of_value(slice, value)
        except GeneratorExit:
            attempt.conclude(slice, Released(lease=claimed.lease))
            raise
        except BaseException as error:
            outcome = outcomes.of_error(slice, error)
            undoing = unwinding.begun(slice, outcome, error)
        _settle(attempt.conclude(slice, outcome, undoing))

    def _items_of(self, partials: Generator[Any, None, Any]) -> Generator[StreamItem, None, Any]:
        while True:
            try:
                partial = next(partials)
            except StopIteration as end:
                return end.value
            yield self._course.item(partial)


class AsyncStream:
    """See Stream."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._items = self._all()

    def __aiter__(self) -> AsyncIterator[StreamItem]:
        return self

    async def __anext__(self) -> StreamItem:
        return await anext(self._items)

    async def aclose(self) -> None:
        """See RunStream.close()."""
        await self._items.aclose()

    async def result(self) -> Any:
        """See RunStream.result()."""
        async for _ in self:
            pass
        return self._course.result()

    async def _all(self) -> AsyncGenerator[StreamItem, None]:
        course = self._course
        while True:
            left = course.seconds_left()
            if course.run.status in (RunStatus.CLAIMED, RunStatus.RUNNING) or left is not None:
                await _arest(left or 0.0)
                claimed = course.claim()
                if claimed is not None:
                    async for item in self._slice(claimed):
                        yield item
            elif (child := course.next_child()) is not None:
                await _afurther(course.child_course(child))
            else:
                break
        if course.run.status is RunStatus.WAITING:
            for item in course.questions():
                yield item
        else:
            course.result()

    async def _slice(self, claimed: ClaimedRun) -> AsyncGenerator[StreamItem, None]:
        slice = self._course.begin(claimed)
        values: list[Any] = []
        outcome: Outcome | None = None
        try:
            call = prepare(slice)
            await attempt.aannounce(slice)
            undoing = unwinding.resumed(slice)
            if undoing is None:
                with track_subtasks(slice):
                    async for partial in aflow(slice, root(slice, call), values.append):
                        yield self._course.item(partial)
                outcome = outcomes.of_value(slice, values[0])
        except GeneratorExit:
            await cancel_subtasks(slice)
            await attempt.aconclude(slice, Released(lease=claimed.lease))
            raise
        except BaseException as error:
            outcome = outcomes.of_error(slice, error)
            undoing = unwinding.begun(slice, outcome, error)
        await cancel_subtasks(slice)
        _settle(await attempt.aconclude(slice, outcome, undoing))


def _settle(ending: attempt.Ending | None) -> None:
    if ending is not None:
        ending[1].result()
