"""Tasks in this process, without a worker: called inline, or streamed from a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring import driver
from django_tasks_durable.authoring.tasks import DurableTask
from django_tasks_durable.compat import TaskContext

from . import unwinding
from .bodies import Body
from .context import DurableContext
from .drive import arun, run
from .effects import Act, Advance, Ended
from .frame import Frame
from .inline import InlineSlice
from .streams import AsyncStream, Course, Stream, memory_store, resumed

Task = DurableTask[..., Any]


def install() -> None:
    """Make this module the driver of all tasks."""
    driver.install(_Driver())


class _Driver:
    """See authoring.driver.Driver."""

    def call(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        slice, body = _inline(task, args, kwargs)
        try:
            return run(slice, _drained(body))
        except Exception as error:
            if slice.is_inline:
                run(slice, unwinding.inline(slice, error))
            raise
        finally:
            while slice.bodies:
                slice.bodies.pop().close()

    async def acall(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        slice, body = _inline(task, args, kwargs)
        try:
            return await arun(slice, _drained(body))
        except Exception as error:
            if slice.is_inline:
                await arun(slice, unwinding.inline(slice, error))
            raise
        finally:
            while slice.bodies:
                await slice.bodies.pop().aclose()

    def stream(
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], run_id: str | None, store: Any
    ) -> Stream:
        return Stream(Course(task, memory_store(store), args, kwargs, run_id))

    def astream(
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], run_id: str | None, store: Any
    ) -> AsyncStream:
        return AsyncStream(Course(task, memory_store(store), args, kwargs, run_id))

    def resume(self, task: Task, run_id: str, answer: Any, token: str | None, store: Any) -> Stream:
        return Stream(resumed(task, run_id, answer, token, store))

    def aresume(self, task: Task, run_id: str, answer: Any, token: str | None, store: Any) -> AsyncStream:
        return AsyncStream(resumed(task, run_id, answer, token, store))


# --- inline: nothing is remembered


def _inline(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[InlineSlice, Body]:
    args = list(args)
    given = args.pop(0) if task.takes_context and args and isinstance(args[0], TaskContext) else None
    if isinstance(given, DurableContext):
        # The caller's own context: what it remembers is the caller's.
        return given._frame.slice, Body(given._frame, task.func, [given, *args], dict(kwargs))  # type: ignore[return-value]
    task_result = given.task_result if given is not None else None

    def make_context(frame: Frame) -> DurableContext:
        return DurableContext(frame, task_result)

    slice = InlineSlice(make_context, run_id=_as_uuid(task_result), backend=task.backend)
    slice.task = task
    given_args = [slice.root.context, *args] if task.takes_context else args
    return slice, Body(slice.root, task.func, given_args, dict(kwargs))


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
