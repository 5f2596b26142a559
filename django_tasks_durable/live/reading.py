"""Threads that read for an event loop, so that sockets wait neither for the database nor for each other."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 2


class Readers:
    """A few threads that call functions which look at the database, each with connections of its own.

    They begin with the first call and end with ``close()``; a call after that begins them anew.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._count = threads
        self._threads: list[threading.Thread] = []
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function on one of the threads. A connection that was lost meanwhile costs a second try."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                try:
                    value = function(*args, **kwargs)
                except (OperationalError, InterfaceError):
                    connections.close_all()
                    value = function(*args, **kwargs)
            except BaseException as error:
                connections.close_all()
                _give(loop, answer, answer.set_exception, error)
            else:
                _give(loop, answer, answer.set_result, value)

        self._start()
        self._calls.put(call)
        return await answer

    def close(self) -> None:
        """Let the threads end, once they have done what was asked of them."""
        for _ in self._threads:
            self._calls.put(None)
        self._threads = []
        self._calls = queue.SimpleQueue()

    def _start(self) -> None:
        while len(self._threads) < self._count:
            thread = threading.Thread(target=_serve, args=(self._calls,), name="dtd-live-read", daemon=True)
            self._threads.append(thread)
            thread.start()


def _serve(calls: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    try:
        while (call := calls.get()) is not None:
            call()
    finally:
        connections.close_all()


def _give(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], give: Callable[[Any], None], value: Any
) -> None:
    def settle() -> None:
        if not answer.done():
            give(value)

    # Who asked may have gone, and its loop with it.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)
