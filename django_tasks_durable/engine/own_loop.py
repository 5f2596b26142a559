"""An event loop for one asynchronous body that synchronous code drives, turn by turn."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

T = TypeVar("T")
_ANSWERED = object()

#: The loop of its own that carries the current code; None where code runs on anybody else's loop.
_CURRENT: ContextVar[OwnLoop | None] = ContextVar("durable_own_loop", default=None)


class OwnLoop:
    """A loop on a thread of its own, while the thread that drives it stands by for what must run there.

    Django's connections, and the transaction of a test, belong to the driving thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dtd-own-loop", daemon=True)
        self._thread.start()
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, turn: Coroutine[Any, Any, T]) -> T:
        """Let a coroutine run to its end, doing here what it asks of this thread."""
        token = _CURRENT.set(self)
        try:
            done = asyncio.run_coroutine_threadsafe(turn, self._loop)
        finally:
            _CURRENT.reset(token)
        done.add_done_callback(lambda _: self._work.put(_ANSWERED))
        try:
            while (work := self._work.get()) is not _ANSWERED:
                work()
        except BaseException:  # an interrupt from the keyboard, while this thread stood by
            done.cancel()
            raise
        return done.result()

    async def on_driving_thread(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a function on the thread that drives this loop."""
        future: Future[T] = Future()
        context = copy_context()
        # Asynchronous code that the function calls for its part has another thread to come back to.
        context.run(_CURRENT.set, None)

        def work() -> None:
            try:
                future.set_result(context.run(function, *args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._work.put(work)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let what is left on the loop end, and the thread with it."""
        self.run(_wind_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _wind_up() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


async def on_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a synchronous function where Django's connections of the surrounding code live."""
    own = _CURRENT.get()
    if own is not None:
        return await own.on_driving_thread(function, *args, **kwargs)
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)
