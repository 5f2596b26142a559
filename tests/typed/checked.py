"""What a type checker is to say of tasks: each line with a comment is compared with what mypy says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import reveal_type

from django_tasks_durable import get_context, task
from django_tasks_durable.engine.context import DurableContext


@task
def add(a: int, b: int = 2) -> int:
    """A function."""
    return a + b


@task(max_attempts=3)
def report(context: DurableContext, number: int) -> list[str]:
    """A function with a context, which callers do not give."""
    return [str(number)]


@task
def chat(context: DurableContext, name: str) -> Generator[str, None, bool]:
    """A generator."""
    yield name
    return True


@task
def tell(context: DurableContext, name: str) -> Iterator[str]:
    """A generator whose value nobody knows."""
    yield name


@task
async def aadd(a: int) -> int:
    """A coroutine."""
    return a


@task
async def achat(context: DurableContext, name: str) -> AsyncIterator[str]:
    """An async generator."""
    yield name


add.enqueue(1)
add.enqueue(1, b=3)
add.enqueue("1")  # E: Argument 1 to "enqueue" of "DurableTask" has incompatible type "str"; expected "int"
add.enqueue()  # E: Missing positional argument "a" in call to "enqueue" of "DurableTask"
add.enqueue(1, c=3)  # E: Unexpected keyword argument "c" for "enqueue" of "DurableTask"
report.enqueue(1)
report.enqueue(None, 1)  # E: Too many arguments for "enqueue" of "DurableTask"
chat.enqueue(7)  # E: Argument 1 to "enqueue" of "DurableTask" has incompatible type "int"; expected "str"
add.invoke("1")  # E: No overload variant of "invoke" of "DurableTask" matches argument type "str"
chat.stream(7)  # E: No overload variant of "stream" of "DurableTask" matches argument type "int"
add.using(priority=3).enqueue("1")  # E: Argument 1 to "enqueue" of "DurableTask" has incompatible type "str"

reveal_type(add)  # R: DurableTask[[a: int, b: int =], int]
reveal_type(report)  # R: DurableTask[[number: int], list[str]]
reveal_type(chat)  # R: DurableTask[[name: str], bool]
reveal_type(tell)  # R: DurableTask[[name: str], Any]
reveal_type(aadd)  # R: DurableTask[[a: int], int]
reveal_type(achat)  # R: DurableTask[[name: str], Any]
reveal_type(add.enqueue(1).return_value)  # R: int
reveal_type(add.invoke(1))  # R: int
reveal_type(add.invoke(1, store=None))  # R: int
reveal_type(chat.stream("x"))  # R: RunStream[bool]
reveal_type(chat.stream("x").result())  # R: bool
reveal_type(chat.stream("x", run_id="demo", store="database"))  # R: RunStream[bool]
reveal_type(chat.resume("demo", 1, store=None).result())  # R: bool
reveal_type(add.bind(1))  # R: BoundTask[int]
add.bind("1")  # E: Argument 1 to "bind" of "DurableTask" has incompatible type "str"; expected "int"
reveal_type(add.invoke_with_state(1)[0].value)  # R: int | None


def half(number: int, places: int = 0) -> float:
    """A function for a step."""
    return round(number / 2, places)


async def ahalf(number: int) -> float:
    """A coroutine for a step."""
    return number / 2


async def within(context: DurableContext) -> None:
    """The words of the context."""
    reveal_type(await add.aenqueue(1))  # R: DurableTaskResult[[a: int, b: int =], int]
    await add.aenqueue("1")  # E: Argument 1 to "aenqueue" of "DurableTask" has incompatible type "str"
    reveal_type(await aadd.ainvoke(1))  # R: int
    reveal_type(context.step("size", len, "abc"))  # R: int
    reveal_type(context.step(len, "abc"))  # R: int
    reveal_type(await context.astep("size", len, "abc"))  # R: int
    reveal_type(context.step("half", half, 4, places=1, atomic=True))  # R: float
    reveal_type(context.step(half, 4, timeout=3))  # R: float
    reveal_type(await context.astep("ahalf", ahalf, 4))  # R: float
    reveal_type(await context.astep(ahalf, 4, max_attempts=3))  # R: float
    context.step("half", half, "4")  # E: No overload variant of "__call__" of "StepWord" matches argument types
    context.step("half", half, 4, place=1)  # E: Unexpected keyword argument "place" for "__call__" of "StepWord"
    context.step(half)  # E: No overload variant of "__call__" of "StepWord" matches argument type
    context.step("half", half, 4, atomic="yes")  # E: Unexpected keyword argument "atomic" for "__call__" of "StepWord"
    await context.astep("ahalf", ahalf, "4")  # E: No overload variant of "__call__" of "AsyncStepWord" matches
    context.call(chat, 7)  # E: No overload variant of "call" of "DurableContext" matches argument types
    context.call(chat)  # E: No overload variant of "call" of "DurableContext" matches argument type
    context.acall(chat, 7)  # E: No overload variant of "acall" of "DurableContext" matches argument types
    context.spawn(add, "1")  # E: No overload variant of "spawn" of "DurableContext" matches argument types
    await context.aspawn(add, c=1)  # E: No overload variant of "aspawn" of "DurableContext" matches argument types
    reveal_type(context.spawn(add, 1, key="one"))  # R: ChildHandle[int]
    reveal_type(context.spawn(add.bind(1)))  # R: ChildHandle[int]
    reveal_type(context.call(add.bind(1)).value)  # R: int
    reveal_type(context.call(chat, "x").value)  # R: bool
    reveal_type(context.spawn(add, 1))  # R: ChildHandle[int]
    reveal_type(get_context())  # R: DurableContext
