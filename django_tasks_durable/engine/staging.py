"""A body within its middleware, handed out one partial at a time.

Middleware are functions, and nothing can be yielded out of the middle of a function: so they have a thread of their own, or
an asyncio task, which goes on only while whoever asked for the next partial stands by.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import copy_context
from typing import Any

from django_tasks_durable.authoring.middleware import GetOutcome
from django_tasks_durable.store.lending import borrowed, lent

from .effects import Broke, Ended, Partial
from .slice import Slice
from .wrapping import around_body

GO_ON, LEAVE = object(), object()
Turn = Partial | Ended | Broke


def staged(
    slice: Slice, chain: GetOutcome, partials: Callable[[], Generator[Any, None, Any]]
) -> Generator[Any, None, Any]:
    """Hand out the partials of a body one by one; return what the middleware around it return."""
    asked: queue.SimpleQueue[object] = queue.SimpleQueue()
    told: queue.SimpleQueue[Turn] = queue.SimpleQueue()

    def perform() -> Any:
        body = partials()
        while True:
            try:
                partial = next(body)
            except StopIteration as end:
                return end.value
            told.put(Partial(partial))
            if asked.get() is LEAVE:
                body.close()
                raise GeneratorExit

    def work() -> None:
        with borrowed(connections):
            try:
                turn: Turn = Ended(chain(around_body(slice, perform)))
            except BaseException as error:
                turn = Broke(error)
        told.put(turn)

    connections = lent()
    threading.Thread(target=copy_context().run, args=(work,), name="dtd-middleware", daemon=True).start()
    while True:
        try:
            turn = told.get()
        except BaseException:  # an interrupt from the keyboard, while this thread stood by
            asked.put(LEAVE)
            raise
        if not isinstance(turn, Partial):
            return _end(turn)
        try:
            yield turn.value
        except GeneratorExit:
            asked.put(LEAVE)
            told.get()
            raise
        asked.put(GO_ON)


async def astaged(
    slice: Slice,
    chain: GetOutcome,
    partials: Callable[[Callable[[Any], None]], AsyncGenerator[Any, None]],
    ended: Callable[[Any], None],
) -> AsyncGenerator[Any, None]:
    """See staged(). An async generator cannot return a value, so ``ended`` is called with it."""
    asked: asyncio.Queue[object] = asyncio.Queue()
    told: asyncio.Queue[Turn] = asyncio.Queue()

    async def perform() -> Any:
        values: list[Any] = []
        body = partials(values.append)
        async for partial in body:
            told.put_nowait(Partial(partial))
            if await asked.get() is LEAVE:
                await body.aclose()
                raise GeneratorExit
        return values[0]

    async def work() -> None:
        try:
            turn: Turn = Ended(await chain(around_body(slice, perform)))
        except BaseException as error:
            turn = Broke(error)
        told.put_nowait(turn)

    stage = asyncio.create_task(work())
    try:
        while isinstance(turn := await told.get(), Partial):
            try:
                yield turn.value
            except GeneratorExit:
                asked.put_nowait(LEAVE)
                await stage
                raise
            asked.put_nowait(GO_ON)
    except asyncio.CancelledError:
        stage.cancel()
        await stage
        raise
    ended(_end(turn))


def _end(turn: Ended | Broke) -> Any:
    if isinstance(turn, Broke):
        raise turn.error
    return turn.value
