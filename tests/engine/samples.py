"""Tasks that can be imported, as a project has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from django_tasks_durable import Backoff, get_context, interrupt, log, progress, sleep, step, task, wait


@task
def add(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


@task
async def aadd(a: int, b: int = 2) -> int:
    """Add, on the event loop."""
    return a + b


@task(queue_name="default", max_attempts=3, backoff=Backoff(first=2), timeout=60, metadata={"team": "shop"})
def report(context: Any, number: int) -> list[Any]:
    """Use what a unit test must be able to run."""
    rows = context.step("load", range(number).__len__)
    context.progress(50, "half", rows=rows)
    context.log("loaded")
    context.sleep("cooldown", hours=1)
    decision = context.interrupt("?", default="keep")
    return [rows, decision, context.call(add, 1).value, context.gather({"a": add.bind(3, 4)})]


@task
def chat(context: Any, name: str) -> Iterator[Any]:
    """Yield, ask, yield, return."""
    yield f"processing {name}"
    answer = context.interrupt({"message": "wait"})
    yield f"done: {answer['message']}"
    return [name, answer]


@task
async def achat(context: Any, name: str) -> AsyncIterator[Any]:
    """See chat."""
    yield f"processing {name}"
    answer = await context.ainterrupt({"message": "wait"})
    yield f"done: {answer['message']}"
    context.finish([name, answer])


@task
def plain() -> list[Any]:
    """Use the words without a context."""
    progress(10)
    log("at work")
    sleep(3600)
    return [step("load", int), wait("key", default=7), interrupt(default=8), get_context().attempt]


@task
def failing(context: Any) -> None:
    """Yield nothing and fail."""
    raise ValueError("ouch")


@task
def sleepy(context: Any) -> Iterator[Any]:
    """Sleep between two partials."""
    yield "before"
    context.sleep(3600)
    yield "after"
    return "rested"


@task(max_attempts=2, backoff=Backoff(first=60, jitter=0))
def second_time(context: Any) -> Iterator[int]:
    """Succeed at the second attempt."""
    yield context.attempt
    if context.attempt == 1:
        raise ValueError("not yet")


def helper(value: int) -> int:
    """Be a step of whoever calls."""
    doubled: int = get_context().step("double", lambda: value * 2)
    return doubled
