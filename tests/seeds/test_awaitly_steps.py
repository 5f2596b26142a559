"""awaitly's steps: how one is known, and when its value is taken from what was stored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.laboratory import Bench, local


def what() -> str:
    """Be a step without a key of its own."""
    return "what"


@pytest.mark.seed("AW-1")
def test_a_step_is_known_by_its_key_or_else_by_its_function() -> None:
    @local
    def body(context: Any) -> Any:
        return [context.step("key", what), context.step(what)]

    bench = Bench(body)
    bench.slice()
    assert list(bench.checkpoints) == ["step:key", "step:what"]


@pytest.mark.seed("AW-1")
def test_a_step_whose_key_is_no_text_is_refused() -> None:
    @local
    def body(context: Any) -> None:
        context.step(None, what)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "INVALID_KEY"


@pytest.mark.seed("AW-1", "TW-9")
def test_only_a_step_that_says_so_is_not_taken_from_the_store() -> None:
    called: list[str] = []

    @local
    def body(context: Any) -> None:
        context.step("cached", called.append, "cached")
        context.step("uncached", called.append, "uncached", cache=False)
        context.interrupt()

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert called == ["cached", "uncached", "uncached"]


@pytest.mark.seed("AW-1")
def test_two_steps_of_one_key_never_get_each_others_value() -> None:
    def steps(context: Any, *values: str) -> Any:
        found = [context.step("same", lambda value: value, value) for value in values]
        context.interrupt()
        return found

    bench = Bench(local(lambda context: steps(context, "one", "two")))
    bench.slice()
    assert bench.checkpoints == {"step:same": "one", "step:same#2": "two"}
    bench.task = local(lambda context: steps(context, "two", "one"))
    bench.run.task_path = bench.task.module_path
    bench.answer(1).slice()
    assert bench.run.error_code == "DRIFT"
