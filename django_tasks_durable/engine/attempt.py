"""One attempt of a run: from its claim to the hand-over of its outcome."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, partial
from types import GeneratorType
from typing import Any

from django_tasks_durable.authoring.middleware import ASYNC_CHAINS, CHAINS
from django_tasks_durable.authoring.options import compensates_on_cancel
from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.compat import Task
from django_tasks_durable.exceptions import LeaseLost, RunCancelled
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.writes import ClaimedRun, Outcome, Released, RunStore, Started, Verdict

from . import outcomes, unwinding, versions
from .bodies import CURRENT
from .canceller import Canceller
from .context import DurableContext
from .control import AttemptControl
from .drive import arun, is_blocking, run
from .own_loop import on_thread
from .replay import Replay
from .running import BodyCall, prepare, root
from .slice import Slice
from .subtasks import cancel_subtasks, track_subtasks
from .unwinding import Unwinding
from .wrapping import around_body, aundone_within, undone_within

__all__ = ["AttemptControl", "aexecute", "execute", "is_async"]

Ending = tuple[Outcome, Future[Verdict]]


def execute(claimed: ClaimedRun, store: RunStore, control: AttemptControl) -> Ending | None:
    """Run one attempt of a synchronous task on this thread, from its claim to the hand-over of its outcome.

    Return the outcome and the future of its commit, which is not waited for; None when the lease is lost. Whatever the
    task raises is an outcome; only a KeyboardInterrupt on the main thread is raised on, after the run was given back.
    """
    slice = Slice(claimed, store, control, DurableContext)
    outcome: Outcome | None = None
    try:
        call = prepare(slice)
        outcome, undoing = begin(slice)
        if outcome is None and undoing is None:
            chain = CHAINS[claimed.backend]
            value = (
                _perform(slice, call) if chain is None else chain(around_body(slice, partial(_perform, slice, call)))
            )
            outcome = outcomes.of_value(slice, value)
    except BaseException as error:
        outcome = outcomes.of_error(slice, error)
        undoing = unwinding.begun(slice, outcome, error)
    return conclude(slice, outcome, undoing)


async def aexecute(claimed: ClaimedRun, store: RunStore, control: AttemptControl) -> Ending | None:
    """See execute(). Runs coroutines and async generators on this event loop."""
    slice = Slice(claimed, store, control, DurableContext)
    stop = Canceller(slice)
    outcome: Outcome | None = None
    try:
        call = prepare(slice)
        outcome, undoing = await abegin(slice)
        if outcome is None and undoing is None:
            track_subtasks()
            with stop:
                chain = ASYNC_CHAINS[claimed.backend]
                if chain is None:
                    value = await _aperform(slice, call)
                else:
                    value = await chain(around_body(slice, lambda: _aperform(slice, call)))
            outcome = outcomes.of_value(slice, value)
    except BaseException as error:
        outcome = outcomes.of_error(slice, error)
        undoing = unwinding.begun(slice, outcome, error)
    await stop.absorb()
    await cancel_subtasks(slice)
    return await aconclude(slice, outcome, undoing)


_is_coroutine_function = lru_cache(maxsize=1024)(inspect.iscoroutinefunction)


@lru_cache(maxsize=1024)
def _is_async_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def is_async(task: Task[..., Any]) -> bool:
    """Tell whether a task is to be run by aexecute() rather than execute()."""
    return _is_async_function(task.func)


def break_off(claimed: ClaimedRun, store: RunStore, control: AttemptControl, error: BaseException) -> Ending | None:
    """End an attempt whose body can no longer do it, since its process was killed or left half-way for ``error``.

    What the attempt has done is undone, where that is asked for, by the next slice.
    """
    slice = Slice(claimed, store, control, DurableContext)
    slice.task = registered().get(claimed.task_path)
    try:
        history = store.history(claimed)
    except LeaseLost:
        return None
    slice.start_over(Replay(history))
    outcome = outcomes.of_error(slice, error)
    if (mark := unwinding.left_to_another(slice, outcome, error, history)) is not None:
        store.submit(mark)
        outcome = Released(lease=claimed.lease)
    return _hand_over(slice, outcome)


# --- the steps of the pipeline


def begin(slice: Slice) -> tuple[Outcome | None, Unwinding | None]:
    """Make ready for the body. Return what is to be done in its place: an outcome, or the unwinding that began before."""
    outcome = None if versions.are_one(slice) else run(slice, versions.led(slice))
    if outcome is not None:
        return outcome, None
    announce(slice)
    return None, unwinding.resumed(slice)


async def abegin(slice: Slice) -> tuple[Outcome | None, Unwinding | None]:
    """See begin()."""
    outcome = None if versions.are_one(slice) else await arun(slice, versions.led(slice))
    if outcome is not None:
        return outcome, None
    await aannounce(slice)
    return None, unwinding.resumed(slice)


def announce(slice: Slice) -> None:
    """Say that the body begins; after a crash durably, so that it is known what killed the worker."""
    write = Started(lease=slice.claimed.lease)
    if _must_be_heard(slice):
        _hear(slice, slice.store.keep(write))
    else:
        slice.store.submit(write)
    crash_point("before_body")


def _must_be_heard(slice: Slice) -> bool:
    """Tell whether the body must not begin before it is known how the run stands."""
    claimed = slice.claimed
    return claimed.crashes > 0 or (not claimed.is_fresh and compensates_on_cancel(claimed.options))


def _hear(slice: Slice, verdict: Verdict) -> None:
    if verdict.cancel_requested:
        slice.control.stop(RunCancelled())


async def aannounce(slice: Slice) -> None:
    """See announce()."""
    if is_blocking(slice):
        await on_thread(announce, slice)
        if not slice.claimed.is_fresh:
            await on_thread(getattr, slice, "replay")
    elif _must_be_heard(slice):
        _hear(slice, await asyncio.wrap_future(slice.store.commit(Started(lease=slice.claimed.lease))))
        crash_point("before_body")
    else:
        announce(slice)


def _perform(slice: Slice, call: BodyCall) -> Any:
    """Run the body. A function, the common case, is called straight away."""
    if call.workflow is not None or _is_async_function(call.function):
        return run(slice, root(slice, call))
    slice.check()
    token = CURRENT.set(slice.root)
    try:
        value = call.function(*call.args, **call.kwargs)
    finally:
        CURRENT.reset(token)
    if isinstance(value, GeneratorType) or inspect.isawaitable(value):
        return run(slice, root(slice, call, value))
    return value


async def _aperform(slice: Slice, call: BodyCall) -> Any:
    """See _perform(). A coroutine, the common case, is awaited straight away."""
    if call.workflow is not None or not _is_coroutine_function(call.function):
        return await arun(slice, root(slice, call))
    slice.check()
    token = CURRENT.set(slice.root)
    try:
        return await call.function(*call.args, **call.kwargs)
    finally:
        CURRENT.reset(token)


def _undo(undoing: Unwinding) -> Outcome | None:
    """Run the compensations of a run that has come to a bad end."""
    token = CURRENT.set(undoing.slice.root)
    try:
        chain = CHAINS[undoing.slice.claimed.backend]
        if chain is None:
            return run(undoing.slice, undoing.act())
        return undone_within(undoing.slice, chain, lambda: run(undoing.slice, undoing.act()))
    except BaseException as error:
        return outcomes.of_error(undoing.slice, error)
    finally:
        CURRENT.reset(token)
        _close(undoing.slice)


async def _aundo(undoing: Unwinding) -> Outcome | None:
    """See _undo()."""
    stop = Canceller(undoing.slice)
    token = CURRENT.set(undoing.slice.root)
    try:
        track_subtasks()
        with stop:
            chain = ASYNC_CHAINS[undoing.slice.claimed.backend]
            if chain is None:
                return await arun(undoing.slice, undoing.act())
            return await aundone_within(undoing.slice, chain, lambda: arun(undoing.slice, undoing.act()))
    except BaseException as error:
        return outcomes.of_error(undoing.slice, error)
    finally:
        CURRENT.reset(token)
        await stop.absorb()
        await cancel_subtasks(undoing.slice)
        await _aclose(undoing.slice)


def _close(slice: Slice) -> None:
    """Close what the body left open."""
    slice.is_over = True
    while slice.bodies:
        slice.bodies.pop().close()


async def _aclose(slice: Slice) -> None:
    """See _close()."""
    slice.is_over = True
    while slice.bodies:
        await slice.bodies.pop().aclose()


def conclude(slice: Slice, outcome: Outcome | None, undoing: Unwinding | None = None) -> Ending | None:
    """Close what the body left open, undo what is to be undone, and hand over the outcome."""
    _close(slice)
    if undoing is not None:
        outcome = _undo(undoing)
    return _hand_over(slice, outcome)


def _hand_over(slice: Slice, outcome: Outcome | None) -> Ending | None:
    try:
        crash_point("before_outcome")
    except Exception as error:
        outcome = outcomes.of_error(slice, error)
    ending = None if outcome is None else (outcome, slice.store.commit(outcome))
    if slice.interrupted is not None:
        raise slice.interrupted
    return ending


async def aconclude(slice: Slice, outcome: Outcome | None, undoing: Unwinding | None = None) -> Ending | None:
    """See conclude()."""
    await _aclose(slice)
    if undoing is not None:
        outcome = await _aundo(undoing)
    if is_blocking(slice):
        return await on_thread(_hand_over, slice, outcome)
    return _hand_over(slice, outcome)
