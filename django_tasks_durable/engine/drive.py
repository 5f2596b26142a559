"""The only pair of a synchronous and an asynchronous driver: both perform the effects that acts ask for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar, assert_never

from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation

from django_tasks_durable.exceptions import StepTimeout
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.store import user_transactions

from .effects import Act, Advance, Atomic, Broke, Call, Durable, Effect, Emit, Ended, Pause, Together
from .frame import Limit
from .own_loop import on_thread
from .slice import Slice

T = TypeVar("T")
BRANCHES_AT_ONCE = 8


def run(slice: Slice, act: Act[T]) -> T:
    """Drive an act to its end on this thread; what it emits goes nowhere."""
    _expect_no_loop(slice, act)
    try:
        effect = next(act)
        while True:
            try:
                answer = perform(slice, effect)
            except BaseException as error:
                effect = act.throw(error)
            else:
                effect = act.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


async def arun(slice: Slice, act: Act[T]) -> T:
    """See run()."""
    try:
        effect = next(act)
        while True:
            try:
                answer = await aperform(slice, effect)
            except BaseException as error:
                effect = act.throw(error)
            else:
                effect = act.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


def flow(slice: Slice, act: Act[T]) -> Generator[Any, None, T]:
    """Drive an act on this thread, one emitted value at a time."""
    _expect_no_loop(slice, act)
    try:
        effect = next(act)
        while True:
            try:
                if isinstance(effect, Emit):
                    yield effect.value
                    answer = None
                else:
                    answer = perform(slice, effect)
            except GeneratorExit:
                act.close()
                raise
            except BaseException as error:
                effect = act.throw(error)
            else:
                effect = act.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


async def aflow(slice: Slice, act: Act[T], ended: Callable[[T], None]) -> AsyncGenerator[Any, None]:
    """See flow(). An async generator cannot return a value, so ``ended`` is called with it."""
    try:
        effect = next(act)
        while True:
            try:
                if isinstance(effect, Emit):
                    yield effect.value
                    answer = None
                else:
                    answer = await aperform(slice, effect)
            except GeneratorExit:
                act.close()
                raise
            except BaseException as error:
                effect = act.throw(error)
            else:
                effect = act.send(answer)
    except StopIteration as end:
        ended(end.value)


def perform(slice: Slice, effect: Effect) -> Any:
    """Do what an act asks for, on this thread."""
    match effect:
        case Durable():
            verdict = slice.keep(effect.write)
            crash_point("after_checkpoint")
            return verdict
        case Call():
            value = effect.function(*effect.args, **effect.kwargs)
            return async_to_sync(_awaited)(value, effect.limit) if inspect.isawaitable(value) else value
        case Advance():
            return effect.body.advance(effect.thrown)
        case Pause():
            slice.pause(effect.seconds)
        case Atomic():
            value = slice.store.atomic(slice.claimed, effect.perform)
            crash_point("after_checkpoint")
            return value
        case Together():
            return _together(slice, effect.acts)
        case Emit():
            pass
        case _:
            assert_never(effect)
    return None


async def aperform(slice: Slice, effect: Effect) -> Any:
    """See perform().

    Synchronous code runs on asgiref's thread: there Django's own asynchronous ORM runs too, so that a step sees the
    connection, and inside a TestCase the transaction, of the code around it. An atomic step has to: Django has no
    asynchronous ``atomic()``, and a transaction lives on one thread's connection.
    """
    match effect:
        case Durable():
            if is_blocking(slice):
                verdict = await on_thread(slice.keep, effect.write)
            else:
                verdict = await asyncio.wrap_future(slice.commit(effect.write))
            crash_point("after_checkpoint")
            return verdict
        case Call():
            return await _acall(effect)
        case Advance():
            return await effect.body.aadvance(effect.thrown)
        case Pause():
            await _apause(slice, effect.seconds)
        case Atomic():
            value = await on_thread(slice.store.atomic, slice.claimed, effect.perform)
            crash_point("after_checkpoint")
            return value
        case Together():
            return await _atogether(slice, effect.acts)
        case Emit():
            pass
        case _:
            assert_never(effect)
    return None


def _expect_no_loop(slice: Slice, act: Act[Any]) -> None:
    if not slice.is_inline and asyncio._get_running_loop() is not None:
        act.close()
        raise SynchronousOnlyOperation(
            "This would block the event loop. In a coroutine, await the twin whose name begins with 'a'."
        )


def is_blocking(slice: Slice) -> bool:
    """Tell whether the store works on the calling thread's own connection, so that it must be asked on that thread."""
    return bool(getattr(slice.store, "is_blocking", False))


async def _acall(call: Call) -> Any:
    if inspect.iscoroutinefunction(call.function):
        return await _awaited(call.function(*call.args, **call.kwargs), call.limit)
    value = await on_thread(call.function, *call.args, **call.kwargs)
    return await _awaited(value, call.limit) if inspect.isawaitable(value) else value


async def _apause(slice: Slice, seconds: float) -> None:
    if clock.frozen_at() is None:
        await asyncio.sleep(seconds)


async def _awaited(awaitable: Awaitable[Any], limit: Limit | None) -> Any:
    if limit is None:
        return await awaitable
    async with asyncio.timeout(limit.left) as timer:
        try:
            return await awaitable
        except asyncio.CancelledError as error:
            if timer.expired():
                raise StepTimeout(limit.path, limit.seconds) from error
            raise


def _together(slice: Slice, acts: Sequence[Act[Any]]) -> list[Ended | Broke]:
    if is_blocking(slice) or len(acts) < 2:
        return [_settled(slice, act) for act in acts]
    with ThreadPoolExecutor(min(len(acts), BRANCHES_AT_ONCE), thread_name_prefix="dtd-branch") as pool:
        futures = [pool.submit(copy_context().run, _on_branch_thread, slice, act) for act in acts]
        return [future.result() for future in futures]


def _on_branch_thread(slice: Slice, act: Act[Any]) -> Ended | Broke:
    try:
        return _settled(slice, act)
    finally:
        user_transactions.leave_thread()


def _settled(slice: Slice, act: Act[Any]) -> Ended | Broke:
    try:
        return Ended(run(slice, act))
    except BaseException as error:
        return Broke(error)


async def _atogether(slice: Slice, acts: Sequence[Act[Any]]) -> list[Ended | Broke]:
    return list(await asyncio.gather(*(_asettled(slice, act) for act in acts)))


async def _asettled(slice: Slice, act: Act[Any]) -> Ended | Broke:
    try:
        return Ended(await arun(slice, act))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return Broke(error)
