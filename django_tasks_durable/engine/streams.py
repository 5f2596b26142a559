"""A run streamed in this process, one item at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from typing import Any, TypeVar

from django_tasks_durable.authoring.middleware import ASYNC_CHAINS, CHAINS
from django_tasks_durable.authoring.streaming import StreamItem
from django_tasks_durable.exceptions import AlreadyRunning
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Outcome, Released

from . import attempt, outcomes, unwinding
from .course import Course
from .drive import aflow, flow
from .own_loop import on_thread
from .running import BodyCall, prepare, root
from .slice import Slice
from .staging import astaged, staged
from .subtasks import cancel_subtasks, track_subtasks
from .unwinding import Unwinding

T = TypeVar("T")


# How long to wait before another look at what somebody else runs.
LOOK_SECONDS = 0.1


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
    """Bring a child one slice further, unless a worker does; what it yields stays in the store."""
    try:
        _rest(course.seconds_left() or 0.0)
        taken = course.take()
        if taken is not None:
            course.settle(taken[0], attempt.execute(*taken))
    except AlreadyRunning:
        _rest(LOOK_SECONDS)
    finally:
        course.leave()


class Stream:
    """What a run yields in this process. See authoring.streaming.RunStream."""

    # The generator must not refer to its stream: what is dropped has to go at once, and not whenever cycles are collected.
    def __init__(self, course: Course) -> None:
        self._course = course
        self._items = _items(course)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> StreamItem:
        return next(self._items)

    def __del__(self) -> None:
        self._course.abandon()

    def close(self) -> None:
        """See RunStream.close()."""
        self._course.asks_to_the_end = True
        self._items.close()
        self._course.leave()

    def result(self) -> Any:
        """See RunStream.result()."""
        for _ in self:
            pass
        return self._course.result()

    def advance(self) -> None:
        """Go through one slice, if the run is due."""
        try:
            for _ in _slice(self._course):
                pass
        finally:
            self._course.leave()


def _items(course: Course) -> Generator[StreamItem, None, Any]:
    try:
        while True:
            if (left := course.seconds_left()) is not None:
                _rest(left)
                yield from _slice(course)
            elif (child := course.next_child()) is not None:
                _further(child)
            else:
                break
        if course.look().status is RunStatus.WAITING:
            yield from course.questions()
            return None
        return course.result()
    finally:
        course.leave()


def _slice(course: Course) -> Generator[StreamItem, None, None]:
    slice = course.begin()
    if slice is None:
        return
    claimed = slice.claimed
    outcome: Outcome | None = None
    try:
        call = prepare(slice)
        attempt.announce(slice)
        undoing = unwinding.resumed(slice)
        if undoing is None:
            value = yield from _items_of(course, _partials(slice, call))
            outcome = outcomes.of_value(slice, value)
    except GeneratorExit:
        if course.may_ask():
            course.settle(claimed, attempt.conclude(slice, Released(lease=claimed.lease)))
        else:
            attempt.conclude(slice, None)
        raise
    except BaseException as error:
        outcome = outcomes.of_error(slice, error)
        undoing = unwinding.begun(slice, outcome, error)
    course.settle(claimed, attempt.conclude(slice, outcome, undoing))


def _items_of(course: Course, partials: Generator[Any, None, Any]) -> Generator[StreamItem, None, Any]:
    while True:
        try:
            partial = next(partials)
        except StopIteration as end:
            return end.value
        yield course.item(partial)


def _partials(slice: Slice, call: BodyCall) -> Generator[Any, None, Any]:
    """Run the body, within its middleware if there are any, one partial at a time."""
    chain = CHAINS[slice.claimed.backend]
    if chain is None:
        return flow(slice, root(slice, call))
    return staged(slice, chain, lambda: flow(slice, root(slice, call)))


def _apartials(slice: Slice, call: BodyCall, ended: Callable[[Any], None]) -> AsyncGenerator[Any, None]:
    """See _partials()."""
    chain = ASYNC_CHAINS[slice.claimed.backend]
    if chain is None:
        return aflow(slice, root(slice, call), ended)
    return astaged(slice, chain, lambda ended: aflow(slice, root(slice, call), ended), ended)


class AsyncStream:
    """See Stream."""

    def __init__(self, course: Course) -> None:
        self._course = course
        # What was dropped is closed by the event loop, when it comes to it.
        course.asks_to_the_end = True
        self._items = self._all()

    def __aiter__(self) -> AsyncIterator[StreamItem]:
        return self

    async def __anext__(self) -> StreamItem:
        return await anext(self._items)

    async def aclose(self) -> None:
        """See RunStream.close()."""
        await self._items.aclose()
        await self.ask(self._course.leave)

    async def result(self) -> Any:
        """See RunStream.result()."""
        async for _ in self:
            pass
        return await self.ask(self._course.result)

    async def advance(self) -> None:
        """See Stream.advance()."""
        try:
            async for _ in self._slice():
                pass
        finally:
            await self.ask(self._course.leave)

    async def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Call what may ask the store, where its connection lives."""
        return await on_thread(function, *args) if self._course.is_blocking else function(*args)

    async def _all(self) -> AsyncGenerator[StreamItem, None]:
        course = self._course
        try:
            while True:
                if (left := await self.ask(course.seconds_left)) is not None:
                    await _arest(left)
                    async with aclosing(self._slice()) as items:
                        async for item in items:
                            yield item
                elif (child := await self.ask(course.next_child)) is not None:
                    await self._further(child)
                else:
                    break
            if (await self.ask(course.look)).status is RunStatus.WAITING:
                for item in await self.ask(lambda: list(course.questions())):
                    yield item
            else:
                await self.ask(course.result)
        finally:
            await self.ask(course.leave)

    async def _slice(self) -> AsyncGenerator[StreamItem, None]:
        slice = await self.ask(self._course.begin)
        if slice is None:
            return
        lease = slice.claimed.lease
        values: list[Any] = []
        outcome: Outcome | None = None
        try:
            call = prepare(slice)
            outcome, undoing = await attempt.abegin(slice)
            if outcome is None and undoing is None:
                track_subtasks()
                async with aclosing(_apartials(slice, call, values.append)) as partials:
                    async for partial in partials:
                        yield await self.ask(self._course.item, partial)
                outcome = outcomes.of_value(slice, values[0])
        except GeneratorExit:
            await self._conclude(slice, Released(lease=lease))
            raise
        except BaseException as error:
            outcome = outcomes.of_error(slice, error)
            undoing = unwinding.begun(slice, outcome, error)
        await self._conclude(slice, outcome, undoing)

    async def _further(self, course: Course) -> None:
        """See _further()."""
        try:
            left = await self.ask(course.seconds_left)
            await _arest(left or 0.0)
            taken = await self.ask(course.take)
            if taken is not None:
                await self.ask(course.settle, taken[0], await attempt.aexecute(*taken))
        except AlreadyRunning:
            await _arest(LOOK_SECONDS)
        finally:
            await self.ask(course.leave)

    async def _conclude(self, slice: Slice, outcome: Outcome | None, undoing: Unwinding | None = None) -> None:
        await cancel_subtasks(slice)
        ending = await attempt.aconclude(slice, outcome, undoing)
        await self.ask(self._course.settle, slice.claimed, ending)
