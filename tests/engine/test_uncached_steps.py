"""A step with ``cache=False`` is called at each replay, and stays where it is in the order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from django_tasks_durable.primitives.status import RunStatus, StepKind

from .laboratory import Bench, local

deeds: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    deeds.clear()


def count(name: str, *more: Any) -> int:
    """Count a deed and return how often it was done."""
    deeds[name] += 1
    return deeds[name]


@pytest.mark.seed("TW-9")
def test_an_uncached_step_is_called_at_each_replay_and_stored() -> None:
    @local
    def body(context: Any) -> Any:
        context.step("before", count, "before")
        seen = context.step("now", count, "now", context.attempt, deeds["now"], cache=False)
        context.step("after", count, "after")
        context.interrupt(key="one")
        context.interrupt(key="two")
        return seen

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    bench.answer(2).slice()
    assert bench.result == 3
    assert deeds == {"before": 1, "now": 3, "after": 1}
    assert bench.checkpoints["step:now"] == 1
    told = [line.data for line in bench.run.lines if line.path == "step:now" and line.kind is StepKind.STEP]
    assert told == ["", "2", "3"]


@pytest.mark.seed("TW-9")
def test_an_uncached_step_keeps_its_place_in_the_order() -> None:
    def old(context: Any) -> None:
        context.step("now", count, "now", cache=False)
        context.step("a", count, "a")
        context.interrupt()

    def new(context: Any) -> None:
        context.step("a", count, "a")
        context.step("now", count, "now", cache=False)

    bench = Bench(local(old))
    bench.slice()
    bench.task = local(new)
    bench.run.task_path = bench.task.module_path
    deeds.clear()
    bench.answer(1).slice()
    assert bench.run.error_code == "DRIFT"
    assert not deeds


def test_an_uncached_step_that_failed_and_was_handled_is_called_again() -> None:
    def flaky() -> str:
        if count("flaky") == 1:
            raise LookupError("not yet")
        return "found"

    @local
    def body(context: Any) -> Any:
        try:
            found = context.step("flaky", flaky, cache=False)
        except LookupError as error:
            found = str(error)
        context.interrupt()
        return found

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == "found"


def test_the_tries_of_a_repeated_uncached_step_are_counted_anew() -> None:
    def flaky() -> str:
        if count("flaky") % 2:
            raise OSError("gone")
        return "there"

    @local
    def body(context: Any) -> Any:
        found = context.step("flaky", flaky, cache=False, max_attempts=2, backoff=lambda error, result: 0)
        context.interrupt()
        return found

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.run.status is RunStatus.SUCCESSFUL
    assert deeds["flaky"] == 4


def test_an_uncached_step_may_be_atomic() -> None:
    @local
    def body(context: Any) -> Any:
        found = context.step("now", count, "now", cache=False, atomic=True)
        context.interrupt()
        return found

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == 2


def test_a_coroutine_may_await_uncached_steps() -> None:
    @local
    async def body(context: Any) -> Any:
        found = await context.astep("now", count, "now", cache=False)
        await context.ainterrupt()
        return found

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == 2
