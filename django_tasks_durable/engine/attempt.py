"""One attempt of a run: from its claim to the hand-over of its outcome."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from types import GeneratorType
from typing import Any

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.compat import Task
from django_tasks_durable.exceptions import (
    ControlFlow,
    Drift,
    NotSerializable,
    PayloadTooLarge,
    SuspensionSwallowed,
    TaskTimeout,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.writes import Append, ClaimedRun, Line, Outcome, RunStore, Started, Verdict

from . import outcomes
from .bodies import CURRENT, Body
from .canceller import Canceller
from .context import DurableContext
from .control import AttemptControl
from .drive import arun, is_blocking, run
from .effects import Act, Advance, Emit, Ended
from .own_loop import on_thread
from .slice import Slice
from .subtasks import cancel_subtasks, track_subtasks

__all__ = ["AttemptControl", "aexecute", "execute", "is_async"]

Ending = tuple[Outcome, Future[Verdict]]


@dataclass(frozen=True, slots=True)
class _Call:
    """What the body of a run is, and what it is called with."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]


def execute(claimed: ClaimedRun, store: RunStore, control: AttemptControl) -> Ending | None:
    """Run one attempt of a synchronous task on this thread, from its claim to the hand-over of its outcome.

    Return the outcome and the future of its commit, which is not waited for; None when the lease is lost. Whatever the
    task raises is an outcome; only a KeyboardInterrupt on the main thread is raised on, after the run was given back.
    """
    slice = Slice(claimed, store, control, DurableContext)
    try:
        call = prepare(slice)
        announce(slice)
        value = _perform(slice, call)
        outcome: Outcome | None = outcomes.of_value(slice, value)
    except BaseException as error:
        outcome = outcomes.of_error(slice, error)
    return conclude(slice, outcome)


async def aexecute(claimed: ClaimedRun, store: RunStore, control: AttemptControl) -> Ending | None:
    """See execute(). Runs coroutines and async generators on this event loop."""
    slice = Slice(claimed, store, control, DurableContext)
    stop = Canceller(slice)
    try:
        call = prepare(slice)
        await aannounce(slice)
        with stop, track_subtasks(slice):
            value = await arun(slice, root(slice, call))
        outcome: Outcome | None = outcomes.of_value(slice, value)
    except BaseException as error:
        outcome = outcomes.of_error(slice, error)
    await stop.absorb()
    await cancel_subtasks(slice)
    return await aconclude(slice, outcome)


@lru_cache(maxsize=1024)
def _is_async_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def is_async(task: Task[..., Any]) -> bool:
    """Tell whether a task is to be run by aexecute() rather than execute()."""
    return _is_async_function(task.func)


# --- the steps of the pipeline


def prepare(slice: Slice) -> _Call:
    """Find the task and its arguments."""
    claimed = slice.claimed
    task = slice.task = get_task(claimed.task_path)
    args = codec.decode(claimed.args) if claimed.args != "[]" else []
    kwargs = codec.decode(claimed.kwargs) if claimed.kwargs != "{}" else {}
    if claimed.options != "{}":
        slice.start_timeout(json.loads(claimed.options).get("timeout"))
    if task.takes_context:
        args = [slice.root.context, *args]
    return _Call(task.func, args, kwargs)


def announce(slice: Slice) -> None:
    """Say that the body begins; after a crash durably, so that it is known what killed the worker."""
    write = Started(lease=slice.claimed.lease)
    if slice.claimed.crashes:
        slice.store.keep(write)
    else:
        slice.store.submit(write)
    crash_point("before_body")


async def aannounce(slice: Slice) -> None:
    """See announce()."""
    if is_blocking(slice):
        await on_thread(announce, slice)
        if not slice.claimed.is_fresh:
            await on_thread(getattr, slice, "replay")
    elif slice.claimed.crashes:
        await asyncio.wrap_future(slice.store.commit(Started(lease=slice.claimed.lease)))
        crash_point("before_body")
    else:
        announce(slice)


def _perform(slice: Slice, call: _Call) -> Any:
    """Run the body. A function, the common case, is called straight away."""
    if _is_async_function(call.function):
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


def root(slice: Slice, call: _Call, *running: Any) -> Act[Any]:
    """Run the body of a run; emit the partials that nobody has seen yet, and return its value."""
    body = Body(slice.root, call.function, call.args, call.kwargs, *running)
    thrown: BaseException | None = slice.control.reason
    if thrown is not None:
        slice.check()
    while True:
        turn = yield Advance(body, thrown)
        thrown = None
        if isinstance(turn, Ended):
            return turn.value
        suspended = slice.strand.suspended()
        if suspended is not None:
            raise SuspensionSwallowed(suspended.path)
        try:
            is_news, value = tell_partial(slice, turn.value)
            if is_news:
                yield Emit(value)
            slice.check()
        except (NotSerializable, PayloadTooLarge, ControlFlow, Drift, TaskTimeout) as error:
            # Raised where the body yielded, so that it can clean up there.
            thrown = error


def tell_partial(slice: Slice, raw: Any) -> tuple[bool, Any]:
    """Write a partial into the timeline, unless an earlier slice has; return whether it is news, and its value."""
    slice.partials += 1
    if slice.partials <= slice.replay.partials.get("", 0):
        return False, None
    text, value = codec.round_trip(raw, where="partial", limit=slice.limit)
    slice.store.submit(Append(lease=slice.claimed.lease, line=Line(kind=StepKind.PARTIAL, data=text)))
    return True, value


def conclude(slice: Slice, outcome: Outcome | None) -> Ending | None:
    """Close what the body left open and hand over the outcome."""
    slice.is_over = True
    while slice.bodies:
        slice.bodies.pop().close()
    try:
        crash_point("before_outcome")
    except Exception as error:
        outcome = outcomes.of_error(slice, error)
    ending = None if outcome is None else (outcome, slice.store.commit(outcome))
    if slice.interrupted is not None:
        raise slice.interrupted
    return ending


async def aconclude(slice: Slice, outcome: Outcome | None) -> Ending | None:
    """See conclude()."""
    slice.is_over = True
    while slice.bodies:
        await slice.bodies.pop().aclose()
    if is_blocking(slice):
        return await on_thread(conclude, slice, outcome)
    return conclude(slice, outcome)
