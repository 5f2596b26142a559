"""Each partial result is told once, and never compared (execution rule 4)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from django_tasks_durable.primitives.status import RunStatus

from .laboratory import Bench, local


@local
def talk(context: Any) -> Iterator[Any]:
    """Say what came, ask, say more, return."""
    yield "one"
    yield None
    answer = context.interrupt("?")
    yield answer
    return ["end", answer]


@local
async def atalk(context: Any) -> AsyncIterator[Any]:
    """See talk."""
    yield "one"
    yield None
    answer = await context.ainterrupt("?")
    yield answer
    context.finish(["end", answer])


@pytest.mark.seed("TT-12")
@pytest.mark.parametrize("task", [talk, atalk])
def test_a_replay_does_not_tell_again_what_was_told(task: Any) -> None:
    bench = Bench(task)
    bench.slice()
    assert bench.run.partials == ["one", None]
    bench.answer(0).slice()
    assert bench.run.partials == ["one", None, 0]
    assert bench.result == ["end", 0]


def test_partials_are_counted_and_not_compared() -> None:
    @local
    def body(context: Any) -> Iterator[float]:
        yield random.random()
        context.interrupt()
        yield 2.0

    bench = Bench(body)
    bench.slice()
    first = bench.run.partials
    bench.answer(1).slice()
    assert bench.run.partials == [*first, 2.0]


def test_a_partial_that_cannot_be_stored_is_raised_where_it_was_yielded() -> None:
    @local
    def body() -> Iterator[Any]:
        try:
            yield [object()]
        except TypeError as error:
            yield str(error)

    bench = Bench(body)
    bench.slice()
    assert bench.run.partials[0].startswith("partial[0] cannot be stored")
    assert bench.run.status is RunStatus.SUCCESSFUL


def test_an_async_generator_that_says_nothing_of_its_result_returns_none() -> None:
    @local
    async def body() -> AsyncIterator[int]:
        yield 1

    bench = Bench(body)
    bench.slice()
    assert bench.result is None


def test_finish_may_be_given_none_after_something_else() -> None:
    @local
    async def body(context: Any) -> AsyncIterator[int]:
        yield 1
        context.finish(1)
        context.finish(None)

    bench = Bench(body)
    bench.slice()
    assert bench.result is None


def test_lines_and_progress_of_a_replayed_part_are_not_told_again() -> None:
    @local
    def body(context: Any) -> None:
        context.log("before")
        context.progress(10)
        context.step("a", int)
        context.log("between")
        context.interrupt()
        context.progress(90)
        context.log("after")

    bench = Bench(body)
    bench.slice()
    bench.run.percent = 55.0
    bench.answer(1).slice()
    assert [line.message for line in bench.run.lines if line.kind == "log"] == ["before", "between", "after"]


def test_progress_is_kept_within_its_bounds_and_keeps_what_is_not_said() -> None:
    @local
    def body(context: Any) -> None:
        context.progress(-5, "start", page=1)
        context.progress(label_only := None, "go")
        assert label_only is None
        context.interrupt()

    bench = Bench(body)
    bench.slice()
    assert (bench.run.percent, bench.run.label, bench.run.meta) == (0.0, "go", '{"page":1}')


@pytest.mark.parametrize("percent", [float("nan"), float("inf")])
def test_a_progress_that_is_no_number_is_refused(percent: float) -> None:
    @local
    def body(context: Any) -> None:
        context.progress(percent)

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.FAILED


def test_a_level_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    @local
    def body(context: Any) -> None:
        context.log("?", level="eror")

    bench = Bench(body)
    bench.slice()
    assert "'error'" in bench.error()["message"]


def test_text_that_a_database_refuses_is_made_storable() -> None:
    @local
    def body(context: Any) -> None:
        context.log("a\x00b\ud800c")
        context.progress(1, "l\x00" + "x" * 500)

    bench = Bench(body)
    bench.slice()
    message = next(line.message for line in bench.run.lines if line.kind == "log")
    assert message == "a\N{REPLACEMENT CHARACTER}b?c"
    assert len(bench.run.label) == 200
