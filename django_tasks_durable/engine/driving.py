"""Tasks in this process, without a worker: called inline, or streamed from a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

from django_tasks_durable.authoring.driver import Answer, Driver, Place
from django_tasks_durable.authoring.middleware import ASYNC_CHAINS, CHAINS
from django_tasks_durable.authoring.streaming import SliceResult
from django_tasks_durable.authoring.tasks import DurableTask
from django_tasks_durable.authoring.workflow_tasks import workflow_of
from django_tasks_durable.compat import TaskContext
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.standing import Standing, StateChange
from django_tasks_durable.primitives.writes import ClaimedRun
from django_tasks_durable.store.admission import admitted

from . import courses, unwinding
from .bodies import CURRENT, Body
from .context import DurableContext
from .course import in_memory
from .drive import arun, run
from .effects import Act, Advance, Ended
from .frame import Frame
from .inline import InlineSlice
from .own_loop import on_thread
from .slice import Slice
from .streams import AsyncStream, Stream
from .workflows import course
from .wrapping import around_body

Task = DurableTask[..., Any]
T = TypeVar("T")


class WorkflowStore(Protocol):
    """The workflows that a database holds. See store.workflows."""

    def look(self, run_id: UUID, *, using: str) -> Standing:
        """Read where a workflow stands."""

    def changing(self, run_id: UUID, *, using: str, by: str = "") -> AbstractContextManager[StateChange]:
        """Lock a run and hand out the change to fill."""


_database: WorkflowStore | None = None


def register_database(store: WorkflowStore) -> None:
    """Let what imports models, as this floor must not, find workflows in databases."""
    global _database
    _database = store


def _workflows() -> WorkflowStore:
    assert _database is not None, "the app registers it when it is ready"
    return _database


def in_process() -> Driver:
    """Return the driver of all tasks."""
    return _Driver()


class _Driver:
    """See authoring.driver.Driver."""

    def call(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        slice, act = _inline(task, args, kwargs)
        if not _is_outermost(slice) or (chain := CHAINS[task.backend]) is None:
            return _performed(slice, act)
        slice.claimed = _enqueued(slice, task, args, kwargs)
        return chain(around_body(slice, lambda: _performed(slice, act)))

    async def acall(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        slice, act = _inline(task, args, kwargs)
        if not _is_outermost(slice) or (chain := ASYNC_CHAINS[task.backend]) is None:
            return await _aperformed(slice, act)
        slice.claimed = await on_thread(_enqueued, slice, task, args, kwargs)
        return await chain(around_body(slice, lambda: _aperformed(slice, act)))

    def stream(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place) -> Stream:
        return Stream(courses.of_call(task, args, kwargs, place))

    def astream(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place) -> AsyncStream:
        return AsyncStream(courses.of_call(task, args, kwargs, place))

    def invoke_with_state(
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> courses.OutcomeAndState:
        try:
            course = courses.of_call(task, args, kwargs, place)
        except Exception as error:
            return courses.refused(error)
        try:
            Stream(course).result()
        except Exception as error:
            return courses.outcome(course, error)
        return courses.outcome(course)

    async def ainvoke_with_state(
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> courses.OutcomeAndState:
        try:
            stream = AsyncStream(course := courses.of_call(task, args, kwargs, place))
        except Exception as error:
            return courses.refused(error)
        try:
            await stream.result()
        except Exception as error:
            return await stream.ask(courses.outcome, course, error)
        return await stream.ask(courses.outcome, course)

    def resume(self, task: Task, answer: Answer) -> Stream:
        return Stream(courses.of_answer(task, answer))

    def aresume(self, task: Task, answer: Answer) -> AsyncStream:
        return AsyncStream(courses.of_answer(task, answer, is_asynchronous=True))

    def advance(self, task: Task, run_id: str, store: Any) -> SliceResult:
        course = courses.of_run(task, run_id, store)
        Stream(course).advance()
        return courses.after_slice(course)

    async def aadvance(self, task: Task, run_id: str, store: Any) -> SliceResult:
        stream = AsyncStream(course := courses.of_run(task, run_id, store))
        await stream.advance()
        return await stream.ask(courses.after_slice, course)

    def look(self, task: Task, run_id: UUID | str, store: Any) -> Standing:
        if (kept := in_memory(store)) is not None:
            return _of_task(task, kept.standing(kept.find(run_id).id), run_id)
        return _of_task(task, _workflows().look(_expect_id(run_id), using=get_options(task.backend).database), run_id)

    @contextmanager
    def changing(self, task: Task, run_id: UUID | str, store: Any, by: str) -> Iterator[StateChange]:
        if (kept := in_memory(store)) is not None:
            opened: AbstractContextManager[StateChange] = kept.changing(kept.find(run_id).id)
        else:
            opened = _workflows().changing(_expect_id(run_id), using=get_options(task.backend).database, by=by)
        with opened as change:
            _of_task(task, change.standing, run_id)
            yield change


def _expect_id(run_id: UUID | str) -> UUID:
    try:
        return run_id if isinstance(run_id, UUID) else UUID(run_id)
    except ValueError:
        raise RunNotFound(run_id) from None


def _of_task(task: Task, standing: Standing, run_id: UUID | str) -> Standing:
    if standing.task_path != task.module_path:
        raise RunNotFound(run_id)
    return standing


# --- inline: nothing is remembered


def _inline(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[InlineSlice, Act[Any]]:
    args = list(args)
    given = args.pop(0) if task.takes_context and args and isinstance(args[0], TaskContext) else None
    if isinstance(given, DurableContext):
        # The caller's own context: what it remembers is the caller's.
        return given._frame.slice, _drained(Body(given._frame, task.func, [given, *args], dict(kwargs)))  # type: ignore[return-value]
    task_result = given.task_result if given is not None else None

    def make_context(frame: Frame) -> DurableContext:
        return DurableContext(frame, task_result)

    slice = InlineSlice(make_context, run_id=_as_uuid(task_result), backend=task.backend)
    slice.task = task
    given_args = [slice.root.context, *args] if task.takes_context else args
    if (workflow := workflow_of(task)) is not None:
        return slice, course(slice, workflow, kwargs)
    return slice, _drained(Body(slice.root, task.func, given_args, dict(kwargs)))


def _is_outermost(slice: Slice) -> bool:
    """Whether no body has made this call: middleware stand around a whole attempt, and around nothing inside it."""
    return slice.is_inline and CURRENT.get() is None


def _enqueued(slice: Slice, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ClaimedRun:
    """Let the middleware see what in a queue would be enqueued; return the run with their metadata."""

    def insert(metadata: Mapping[str, Any]) -> ClaimedRun:
        return replace(slice.claimed, metadata=codec.encode(dict(metadata), where="metadata"))

    return admitted(task, ((args, kwargs),), insert, lambda claimed: (claimed.run_id,), backend_alias=task.backend)


def _performed(slice: Slice, act: Act[T]) -> T:
    """Run a body inline; undo what it did if it fails."""
    try:
        return run(slice, act)
    except Exception as error:
        if slice.is_inline:
            run(slice, unwinding.inline(slice, error))
        raise
    finally:
        while slice.bodies:
            slice.bodies.pop().close()


async def _aperformed(slice: Slice, act: Act[T]) -> T:
    """See _performed()."""
    try:
        return await arun(slice, act)
    except Exception as error:
        if slice.is_inline:
            await arun(slice, unwinding.inline(slice, error))
        raise
    finally:
        while slice.bodies:
            await slice.bodies.pop().aclose()


def _as_uuid(task_result: Any) -> UUID | None:
    try:
        return UUID(str(task_result.id))
    except (AttributeError, ValueError):
        return None


def _drained(body: Body) -> Act[Any]:
    while True:
        turn = yield Advance(body)
        if isinstance(turn, Ended):
            return turn.value
