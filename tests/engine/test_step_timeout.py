"""A try of a step that takes too long has failed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from django_tasks_durable.exceptions import StepTimeout
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Failed

from .laboratory import Bench, local


def slow(seconds: float = 60) -> str:
    """Take long, by a clock that stands."""
    clock.advance(seconds)
    return "late"


def test_a_value_that_comes_too_late_is_thrown_away(frozen: datetime) -> None:
    @local
    def body(context: Any) -> None:
        context.step("slow", slow, timeout=10)

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)
    assert bench.error()["code"] == "STEP_TIMEOUT"
    assert "10 s" in bench.error()["message"]
    assert "'step:slow'" in bench.error()["message"]


def test_a_try_that_took_too_long_is_tried_again_by_the_policy(frozen: datetime) -> None:
    tries: list[int] = []

    def faster() -> str:
        tries.append(1)
        return slow(60 if len(tries) == 1 else 1)

    @local
    def body(context: Any) -> Any:
        return context.step("slow", faster, timeout=timedelta(seconds=10), max_attempts=2, backoff=lambda *_: 0)

    bench = Bench(body)
    bench.slice()
    assert bench.result == "late"
    assert len(tries) == 2


def test_on_a_thread_the_end_is_noticed_at_the_next_word_to_the_engine(frozen: datetime) -> None:
    reached: list[str] = []

    @local
    def body(context: Any) -> Any:
        def work() -> None:
            slow()
            reached.append("told")
            context.progress(50)
            reached.append("went on")

        try:
            context.step("slow", work, timeout=10)
        except StepTimeout as error:
            return [error.path, error.seconds]

    bench = Bench(body)
    bench.slice()
    assert bench.result == ["step:slow", 10.0]
    assert reached == ["told"]


def test_a_handled_timeout_is_a_fact_of_the_history(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        try:
            context.step("slow", slow, timeout=10)
        except StepTimeout:
            context.interrupt()
            return "handled"

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == "handled"


@pytest.mark.parametrize("in_coroutine", [True, False])
def test_a_coroutine_is_cancelled(in_coroutine: bool) -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def abody(context: Any) -> Any:
        await context.astep("hang", hang, timeout=0.01)

    def body(context: Any) -> Any:
        context.step("hang", hang, timeout=0.01)

    bench = Bench(local(abody if in_coroutine else body))
    bench.slice()
    assert bench.error()["code"] == "STEP_TIMEOUT"
    assert ended == ["cancelled"]


def test_a_timeout_of_the_functions_own_stays_its_own() -> None:
    async def refuse() -> None:
        raise TimeoutError("mine")

    @local
    async def body(context: Any) -> Any:
        await context.astep("refuse", refuse, timeout=60)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["message"] == "mine"
    assert bench.run.status is RunStatus.FAILED


def test_a_later_step_has_no_part_in_the_timeout_of_an_earlier_one(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        context.step("quick", int, timeout=10)
        return context.step("slow", slow)

    bench = Bench(body)
    bench.slice()
    assert bench.result == "late"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "soon", True])
def test_a_timeout_that_is_none_is_refused_before_anything_is_done(timeout: Any) -> None:
    called: list[int] = []

    @local
    def body(context: Any) -> None:
        context.step("a", called.append, 1, timeout=timeout)

    bench = Bench(body)
    bench.slice()
    assert "timeout=" in bench.error()["message"]
    assert not called
