"""A task's function at work, whichever of the four kinds it is, one partial at a time."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from asgiref.sync import async_to_sync

from django_tasks_durable.authoring.tasks import BoundTask
from django_tasks_durable.compat import Task

from .effects import Ended, Partial
from .frame import Frame
from .own_loop import OwnLoop, on_thread

logger = logging.getLogger("django_tasks_durable.engine")

#: The frame of the body that is at work on this thread or in this asyncio task.
CURRENT: ContextVar[Frame | None] = ContextVar("durable_frame", default=None)
_UNBEGUN = object()


class Body:
    """A function, generator, coroutine or async generator at work in a frame.

    ``advance()`` lets it go on to its next partial or its end, with the frame as the current one meanwhile.
    """

    __slots__ = ("_args", "_function", "_kwargs", "_loop", "_running", "frame")

    def __init__(
        self,
        frame: Frame,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        running: Any = _UNBEGUN,
    ) -> None:
        self.frame = frame
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._running = running
        self._loop: OwnLoop | None = None

    def advance(self, thrown: BaseException | None = None) -> Partial | Ended:
        """Go on, on this thread, by raising ``thrown`` inside if it is given."""
        self.frame.slice.enter_thread()
        token = CURRENT.set(self.frame)
        try:
            self._begin()
            running = self._running
            if isinstance(running, Generator):
                return self._next(running, thrown)
            if isinstance(running, AsyncGenerator):
                return self._step_of_loop(running, thrown)
            if inspect.isawaitable(running):
                return self._end(async_to_sync(_awaited)(running))
            return self._end(running)
        finally:
            CURRENT.reset(token)

    async def aadvance(self, thrown: BaseException | None = None) -> Partial | Ended:
        """See advance(). What is not asynchronous runs on asgiref's thread, where Django's connections live."""
        if not self._is_asynchronous():
            return await on_thread(self.advance, thrown)
        token = CURRENT.set(self.frame)
        try:
            self._begin()
            running = self._running
            if isinstance(running, AsyncGenerator):
                return await self._anext(running, thrown)
            return self._end(await running)
        finally:
            CURRENT.reset(token)

    def close(self) -> None:
        """Close a generator that was left at a yield. What its cleaning up raises is logged: the outcome is decided."""
        running, self._running = self._running, None
        try:
            if isinstance(running, Generator):
                self._within(running.close)
            elif isinstance(running, AsyncGenerator) and self._loop is not None:
                self._loop.run(running.aclose())
        except BaseException as error:
            logger.warning("A body of run %s raised while it was closed: %r", self._run_id(), type(error))
        finally:
            self._leave_loop()

    async def aclose(self) -> None:
        """See close()."""
        running = self._running
        if not isinstance(running, AsyncGenerator) or self._loop is not None:
            await on_thread(self.close)
            return
        self._running = None
        try:
            await running.aclose()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            logger.warning("A body of run %s raised while it was closed: %r", self._run_id(), type(error))

    def _run_id(self) -> object:
        return self.frame.slice.claimed.run_id

    def _within(self, function: Callable[[], Any]) -> None:
        token = CURRENT.set(self.frame)
        try:
            function()
        finally:
            CURRENT.reset(token)

    def _is_asynchronous(self) -> bool:
        if self._running is _UNBEGUN:
            return inspect.iscoroutinefunction(self._function) or inspect.isasyncgenfunction(self._function)
        return isinstance(self._running, AsyncGenerator) or inspect.isawaitable(self._running)

    def _begin(self) -> None:
        if self._running is not _UNBEGUN:
            return
        self._running = self._function(*self._args, **self._kwargs)
        if isinstance(self._running, Generator | AsyncGenerator):
            self.frame.slice.bodies.append(self)

    def _next(self, running: Generator[Any, Any, Any], thrown: BaseException | None) -> Partial | Ended:
        try:
            return Partial(next(running) if thrown is None else running.throw(thrown))
        except StopIteration as end:
            return self._end(end.value)

    def _step_of_loop(self, running: AsyncGenerator[Any, Any], thrown: BaseException | None) -> Partial | Ended:
        """Drive an async generator from synchronous code, on one event loop of its own to its end."""
        if self._loop is None:
            # Read here, where a store that works on this thread's connection can be asked.
            self.frame.slice.replay  # noqa: B018
            self._loop = OwnLoop()
        turn = self._loop.run(self._anext(running, thrown))
        if isinstance(turn, Ended):
            self._leave_loop()
        return turn

    def _leave_loop(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    async def _anext(self, running: AsyncGenerator[Any, Any], thrown: BaseException | None) -> Partial | Ended:
        try:
            return Partial(await (anext(running) if thrown is None else running.athrow(thrown)))
        except StopAsyncIteration:
            finished = self.frame.finished
            return self._end(finished[0] if finished else None)

    def _end(self, value: Any) -> Ended:
        self._running = None
        if self in self.frame.slice.bodies:
            self.frame.slice.bodies.remove(self)
        return Ended(value)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def body_of(frame: Frame, callee: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Body:
    """Make the body of a task, of a task with its arguments, or of a plain function, in this frame."""
    if isinstance(callee, BoundTask):
        return body_of(frame, callee.task, callee.args, callee.kwargs)
    if isinstance(callee, Task):
        given = (frame.context, *args) if callee.takes_context else args
        return Body(frame, callee.func, given, kwargs or {})
    if not callable(callee):
        raise TypeError(f"{callee!r} cannot be called: give a task, task.bind(...) or a function.")
    given = (frame.context, *args) if _asks_for_context(callee) else args
    return Body(frame, callee, given, kwargs or {})


def name_of(callee: Any) -> str:
    """Return the name under which a callee is known in paths."""
    if isinstance(callee, BoundTask):
        return name_of(callee.task)
    if isinstance(callee, Task):
        return callee.name
    found = getattr(callee, "func", callee)
    return str(getattr(found, "__name__", type(found).__name__))


def _asks_for_context(function: Callable[..., Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and first.name == "context"
