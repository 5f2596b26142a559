"""What an executor is tried with: the same tasks, synchronous and not."""

from __future__ import annotations

import asyncio
import builtins
import time
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.authoring.tasks import DurableTask, task


@task
def steps(context: Any, count: int) -> list[int]:
    """Tell and do so many steps."""
    found = []
    for number in range(count):
        context.log(f"step {number}")
        found.append(context.step(str(number), _ten_times, number + 1))
    return found


@task
async def asteps(context: Any, count: int) -> list[int]:
    """See steps."""
    found = []
    for number in range(count):
        context.log(f"step {number}")
        found.append(await context.astep(str(number), _ten_times, number + 1))
    return found


def _ten_times(number: int) -> int:
    return 10 * number


@task
def asks(context: Any) -> Any:
    """Wait for an answer."""
    return context.interrupt({"question": "go on?"})


@task
async def aasks(context: Any) -> Any:
    """See asks."""
    return await context.ainterrupt({"question": "go on?"})


@task
def raises(name: str) -> None:
    """Raise a built-in exception."""
    raise _error(name)


@task
async def araises(name: str) -> None:
    """See raises."""
    raise _error(name)


def _error(name: str) -> BaseException:
    error: BaseException = getattr(builtins, name)("on purpose")
    return error


@task
def unstorable() -> Any:
    """Return what cannot be stored."""
    return {"rows": [1, object()]}


@task
async def aunstorable() -> Any:
    """See unstorable."""
    return {"rows": [1, object()]}


@task
def goes_on(context: Any) -> None:
    """Come to a primitive again and again."""
    context.step("begun", int)
    while True:
        time.sleep(0.01)
        context.progress(10)


@task
async def agoes_on(context: Any) -> None:
    """See goes_on."""
    await context.astep("begun", int)
    while True:
        await asyncio.sleep(0.01)
        context.progress(10)


@task
def hangs(context: Any) -> None:
    """Come to no primitive, and listen to nobody."""
    context.step("begun", int)
    _hang()


@task
async def ahangs(context: Any) -> None:
    """See hangs."""
    await context.astep("begun", int)
    _hang()


def _hang() -> None:
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass  # it is what the contract is about


@dataclass(frozen=True, slots=True)
class Kind:
    """One of each task."""

    steps: DurableTask[..., Any]
    asks: DurableTask[..., Any]
    raises: DurableTask[..., Any]
    unstorable: DurableTask[..., Any]
    goes_on: DurableTask[..., Any]
    hangs: DurableTask[..., Any]


SYNC = Kind(steps, asks, raises, unstorable, goes_on, hangs)
ASYNC = Kind(asteps, aasks, araises, aunstorable, agoes_on, ahangs)
