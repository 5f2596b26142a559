"""The asyncio tasks that a body starts: none of them outlives its attempt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator
from typing import Any

from .bodies import CURRENT
from .slice import Slice

logger = logging.getLogger("django_tasks_durable.engine")

PATIENCE_SECONDS = 10.0


class ExitInTask(RuntimeError):
    """A task of the body raised SystemExit or KeyboardInterrupt, which would have ended the event loop."""


def track_subtasks() -> None:
    """Note, from now on, every asyncio task that is created on behalf of a slice on this loop."""
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    if not isinstance(factory, _Factory):
        loop.set_task_factory(_Factory(factory))  # type: ignore[arg-type]


async def cancel_subtasks(slice: Slice) -> None:
    """Cancel what the body started and wait until it has ended."""
    while open_tasks := {task for task in slice.subtasks if not task.done()}:
        for task in open_tasks:
            task.cancel()
        _, stubborn = await asyncio.wait(open_tasks, timeout=PATIENCE_SECONDS)
        if stubborn:
            logger.error(
                "Run %s: %d asyncio tasks do not let themselves be cancelled", slice.claimed.run_id, len(stubborn)
            )
            return


class _Factory:
    """A task factory around the loop's own, which notes tasks that were created inside a body."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
        frame = CURRENT.get()
        if frame is None or frame.slice.is_over:
            return self._make(loop, coroutine, options)
        subtasks = frame.slice.subtasks
        task = self._make(loop, _Contained(coroutine), options)
        subtasks.add(task)
        task.add_done_callback(subtasks.discard)
        return task

    def _make(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], options: dict[str, Any]
    ) -> Any:
        if self._inner is not None:
            return self._inner(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that turns an exit into an ordinary error.

    No coroutine function, for one that is cancelled before its first step would leave the coroutine inside unawaited.
    """

    __slots__ = ("_inner",)

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        try:
            return self._inner.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _as_error(error) from error

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        try:
            return self._inner.throw(kind) if value is None else self._inner.throw(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _as_error(error) from error

    def close(self) -> None:
        self._inner.close()


def _as_error(error: BaseException) -> ExitInTask:
    return ExitInTask(f"A task of the body raised {type(error).__name__}.")
