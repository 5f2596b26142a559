"""Any program of primitives, killed at any moments: the same checkpoints, partials and result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus

from .laboratory import Bench, MortalStore, local
from .test_crash_anywhere import drive, remains

simple = st.one_of(
    st.tuples(st.just("step"), st.sampled_from("ab"), st.integers()),
    st.tuples(st.just("atomic"), st.sampled_from("ab"), st.none()),
    st.tuples(st.just("fail"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("ask"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("recv"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("nap"), st.sampled_from("ab"), st.integers(0, 90)),
    st.tuples(st.just("yield"), st.just(""), st.integers() | st.none()),
    st.tuples(st.just("log"), st.just(""), st.just(0)),
    st.tuples(st.just("uncached"), st.sampled_from("ab"), st.integers()),
    st.tuples(st.just("patch"), st.sampled_from("ab"), st.just(0)),
    st.tuples(st.just("book"), st.sampled_from("ab"), st.integers()),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A call of a program, or a gather of two."""
    programs = st.lists(inner, max_size=4)
    return st.one_of(
        st.tuples(st.just("call"), st.just(""), programs),
        st.tuples(st.just("gather"), st.just(""), st.tuples(programs, programs)),
    )


programs = st.lists(st.recursive(simple, nested, max_leaves=8), max_size=6)


#: What was undone, in order.
undone: list[Any] = []


def refuse(value: object) -> None:
    """Fail."""
    raise LookupError(f"refused {value}")


def undo(value: Any) -> None:
    """Take note of a value that is undone."""
    undone.append(value)


def one(value: Any) -> Any:
    """Return the value."""
    return value


@local
def interpret(context: Any, program: list[Any]) -> Iterator[Any]:
    """Do what a program says and return what came of it."""
    found: list[Any] = []
    for what, key, value in program:
        match what:
            case "step":
                found.append(context.step(key, one, value))
            case "atomic":
                found.append(context.step(key, one, value, atomic=True))
            case "book":
                found.append(context.step(key, one, value, compensate=undo))
            case "fail":
                try:
                    context.step(key, refuse, value)
                except LookupError as error:
                    found.append(str(error))
            case "ask":
                found.append(context.interrupt(key, key=key))
            case "recv":
                found.append(context.recv(key))
            case "nap":
                context.sleep(key, value)
            case "yield":
                yield value
            case "uncached":
                found.append(context.step(key, one, value, cache=False, timeout=60))
            case "patch":
                found.append(context.patched(key))
            case "log":
                context.log("here")
                context.progress(1)
            case "call":
                found.append((yield from context.call(interpret, value)))
            case "gather":
                found.append(context.gather({"l": interpret.bind(value[0]), "r": interpret.bind(value[1])}))
    return found


@local
async def ainterpret(context: Any, program: list[Any]) -> AsyncIterator[Any]:
    """See interpret."""
    found: list[Any] = []
    for what, key, value in program:
        match what:
            case "step" | "atomic":
                found.append(await context.astep(key, one, value, atomic=what == "atomic"))
            case "book":
                found.append(await context.astep(key, one, value, compensate=undo))
            case "fail":
                try:
                    await context.astep(key, refuse, value)
                except LookupError as error:
                    found.append(str(error))
            case "ask":
                found.append(await context.ainterrupt(key, key=key))
            case "recv":
                found.append(await context.arecv(key))
            case "nap":
                await context.asleep(key, value)
            case "yield":
                yield value
            case "uncached":
                found.append(await context.astep(key, one, value, cache=False, timeout=60))
            case "patch":
                found.append(context.patched(key))
            case "log":
                context.log("here")
            case "call":
                async for partial in (nested := context.acall(ainterpret, value)):
                    yield partial
                found.append(nested.value)
            case "gather":
                found.append(await context.agather({"l": ainterpret.bind(value[0]), "r": ainterpret.bind(value[1])}))
    context.finish(found)


@local
def doomed(context: Any, program: list[Any]) -> Iterator[Any]:
    """Do what a program says, and fail."""
    yield from context.call(interpret, program)
    refuse(program)


@local
async def adoomed(context: Any, program: list[Any]) -> AsyncIterator[Any]:
    """See doomed."""
    async for partial in context.acall(ainterpret, program):
        yield partial
    refuse(program)


def played(
    task: Any, program: list[Any], deaths: dict[int, bool], ending: RunStatus = RunStatus.SUCCESSFUL
) -> tuple[dict[str, Any], int]:
    """Play a program to its end; return what remains and how many commits it took."""
    undone.clear()
    clock.freeze()
    try:
        store = MortalStore(deaths)
        bench = Bench(task, program, store=store)
        drive(bench)
        assert bench.run.status is ending, bench.run.errors
        # Branches end in any order, and who dies may change which came first.
        found = remains(bench)
        return found, store.commits
    finally:
        clock.unfreeze()


@settings(max_examples=60, deadline=None)
@given(program=programs, deaths=st.dictionaries(st.integers(1, 30), st.booleans(), max_size=4))
def test_a_generator_program_survives_any_deaths(program: list[Any], deaths: dict[int, bool]) -> None:
    expected, _ = played(interpret, program, {})
    found, _ = played(interpret, program, deaths)
    assert found == expected


@settings(max_examples=25, deadline=None)
@given(program=programs, deaths=st.dictionaries(st.integers(1, 30), st.booleans(), max_size=4))
def test_an_async_generator_program_survives_any_deaths(program: list[Any], deaths: dict[int, bool]) -> None:
    expected, _ = played(ainterpret, program, {})
    found, _ = played(ainterpret, program, deaths)
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(program=programs, deaths=st.dictionaries(st.integers(1, 30), st.booleans(), max_size=4))
def test_a_program_that_fails_is_undone_whatever_dies(program: list[Any], deaths: dict[int, bool]) -> None:
    expected, _ = played(doomed, program, {}, RunStatus.FAILED)
    values = list(undone)
    found, _ = played(doomed, program, deaths, RunStatus.FAILED)
    # The mark names the steps in the order in which they ended, which branches may do in any.
    assert _unmarked(found) == _unmarked(expected)
    assert set(undone) == set(values)


@settings(max_examples=25, deadline=None)
@given(program=programs, deaths=st.dictionaries(st.integers(1, 30), st.booleans(), max_size=4))
def test_an_async_program_that_fails_is_undone_whatever_dies(program: list[Any], deaths: dict[int, bool]) -> None:
    expected, _ = played(adoomed, program, {}, RunStatus.FAILED)
    found, _ = played(adoomed, program, deaths, RunStatus.FAILED)
    assert _unmarked(found) == _unmarked(expected)


def _unmarked(found: dict[str, Any]) -> dict[str, Any]:
    return {**found["checkpoints"], "undo:": None}
