"""Handled failures are facts, unhandled ones are retried (execution rule 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_tasks_durable.exceptions import NonRetryable, StepFailed
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Failed

from .laboratory import Bench, local


class Deeds(Counter[str]):
    """Counts what was done, and fails as often as it is told."""

    def __call__(self, name: str, *, fail: int = 0) -> str:
        self[name] += 1
        if self[name] <= fail:
            raise OSError(f"{name} failed")
        return name


@pytest.fixture
def deeds() -> Deeds:
    """Nothing done yet."""
    return Deeds()


def never(error: BaseException, result: object) -> float:
    """Try again at once."""
    return 0


@pytest.mark.seed("AW-5")
def test_a_failure_that_was_handled_replays_as_failed(deeds: Deeds) -> None:
    @local
    def body(context: Any) -> Any:
        try:
            context.step("pay", deeds, "pay", fail=1)
        except OSError as error:
            told = str(error)
        paid = context.step("fall back", deeds, "fall back")
        context.interrupt()
        return [told, paid]

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == ["pay failed", "fall back"]
    assert deeds == {"pay": 1, "fall back": 1}


@pytest.mark.seed("AW-5", "TW-19")
def test_a_failure_that_ended_the_attempt_is_retried_and_what_was_done_is_not(deeds: Deeds) -> None:
    @local(max_attempts=2, backoff=never)
    def body(context: Any) -> Any:
        context.step("load", deeds, "load")
        try:
            context.step("pay", deeds, "pay", fail=1)
        except OSError:
            context.step("fall back", deeds, "fall back")
        return context.step("boom", deeds, "boom", fail=1)

    bench = Bench(body)
    first = bench.slice()
    assert isinstance(first, Failed)
    assert first.retry_at is not None
    assert first.forget == ("step:boom",)
    bench.slice()
    assert bench.result == "boom"
    assert deeds == {"load": 1, "pay": 1, "fall back": 1, "boom": 2}


@pytest.mark.parametrize("how", ["cause", "context", "group"])
def test_a_failure_is_found_behind_the_error_that_ended_the_attempt(deeds: Deeds, how: str) -> None:
    @local(max_attempts=2, backoff=never)
    def body(context: Any) -> Any:
        try:
            return context.step("a", deeds, "a", fail=1)
        except OSError as error:
            if how == "cause":
                raise RuntimeError("gave up") from error
            if how == "group":
                raise ExceptionGroup("several", [ValueError(), ExceptionGroup("inner", [error])]) from None
            raise RuntimeError("gave up")  # noqa: B904 - the context is what is tested

    bench = Bench(body)
    first = bench.slice()
    assert isinstance(first, Failed)
    assert first.forget == ("step:a",)
    bench.slice()
    assert bench.result == "a"


def test_a_forgotten_failure_ends_the_comparison_of_what_comes_after(deeds: Deeds) -> None:
    """The attempt that failed took another way; what it did there is still not done twice."""

    @local(max_attempts=2, backoff=never)
    def body(context: Any) -> Any:
        try:
            context.step("a", deeds, "a", fail=1)
        except OSError:
            context.step("apologise", deeds, "apologise")
            raise
        return [context.step("b", deeds, "b"), context.step("apologise", deeds, "apologise")]

    bench = Bench(body)
    bench.slice()
    bench.slice()
    assert bench.result == ["b", "apologise"]
    assert deeds == {"a": 2, "b": 1, "apologise": 1}


def test_a_crash_after_a_forgotten_failure_was_made_good_is_no_drift(deeds: Deeds) -> None:
    """Between the retried step and the next the worker dies; the old way's records lie behind and prove nothing."""
    from .laboratory import Killed, MortalStore

    @local(max_attempts=2, backoff=never)
    def body(context: Any) -> Any:
        try:
            context.step("a", deeds, "a", fail=1)
        except OSError:
            context.step("apologise", deeds, "apologise")
            raise
        return context.step("b", deeds, "b")

    store = MortalStore()
    bench = Bench(body, store=store)
    bench.slice()
    store.deaths[store.commits + 1] = True
    with pytest.raises(Killed):
        bench.slice()
    store.revive(bench.run_id)
    bench.slice()
    assert bench.result == "b"


def test_the_tries_of_a_forgotten_step_are_forgotten_with_it(deeds: Deeds) -> None:
    @local(max_attempts=2, backoff=never)
    def body(context: Any) -> Any:
        return context.step("a", deeds, "a", fail=3, max_attempts=2, backoff=never)

    bench = Bench(body)
    bench.slice()
    assert bench.checkpoints == {}
    bench.slice()
    assert deeds == {"a": 4}
    assert bench.result == "a"


def test_a_failure_that_replays_keeps_its_class_and_message() -> None:
    def refuse() -> None:
        raise LookupError("no such row")

    @local
    def body(context: Any) -> Any:
        try:
            context.step("look", refuse)
        except LookupError as error:
            told = [type(error).__name__, *error.args]
        context.interrupt()
        return told

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == ["LookupError", "no such row"]


def test_a_failure_whose_class_is_not_at_hand_replays_as_step_failed() -> None:
    def refuse() -> None:
        class Elsewhere(Exception):
            pass

        raise Elsewhere("gone")

    told = []

    @local
    def body(context: Any) -> None:
        try:
            context.step("look", refuse)
        except Exception as error:
            told.append(type(error))
        context.interrupt()

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert told[1] is StepFailed


def test_attempts_are_limited_and_the_last_error_stays() -> None:
    @local(max_attempts=3, backoff=never)
    def body(context: Any) -> None:
        raise ValueError(f"attempt {context.attempt}")

    bench = Bench(body)
    kinds = [bench.slice() for _ in range(3)]
    assert [isinstance(kind, Failed) and kind.retry_at is not None for kind in kinds] == [True, True, False]
    assert bench.run.status is RunStatus.FAILED
    assert bench.run.attempts == 3
    assert bench.error()["message"] == "attempt 3"


def test_waiting_costs_no_attempt() -> None:
    @local(max_attempts=1)
    def body(context: Any) -> int:
        for _ in range(3):
            context.interrupt()
        return context.attempt

    bench = Bench(body)
    bench.slice()
    for _ in range(3):
        bench.answer(1).slice()
    assert bench.result == 1


@pytest.mark.parametrize(
    "error", [lambda: NonRetryable("no"), lambda: ExceptionGroup("several", [ValueError(), NonRetryable("no")])]
)
def test_an_error_that_says_so_ends_the_run(error: Callable[[], Exception]) -> None:
    @local(max_attempts=3, backoff=never)
    def body() -> None:
        raise error()

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.FAILED


def test_the_delay_before_the_next_attempt_is_the_one_told_at_enqueue(frozen: Any) -> None:
    from django_tasks_durable import Backoff

    @local(max_attempts=3, backoff=Backoff(first=10, factor=3, jitter=0))
    def body() -> None:
        raise ValueError

    bench = Bench(body)
    first = bench.slice()
    assert isinstance(first, Failed)
    assert first.retry_at is not None
    assert (first.retry_at - frozen).total_seconds() == 10


@pytest.mark.seed("TR-16")
def test_a_backoff_function_is_asked_with_the_error_and_the_result() -> None:
    asked = []

    def backoff(error: BaseException, result: Any) -> float:
        asked.append((type(error), result.id))
        return 0

    @local(max_attempts=2, backoff=backoff)
    def body() -> None:
        raise ValueError

    bench = Bench(body)
    bench.slice()
    assert asked == [(ValueError, str(bench.run_id))]


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine", "async generator"])
def test_whatever_kind_of_body_fails_the_run_fails_with_its_error(kind: str) -> None:
    def function() -> None:
        raise ValueError("ouch")

    def generator() -> Iterator[int]:
        yield 1
        raise ValueError("ouch")

    async def coroutine() -> None:
        raise ValueError("ouch")

    async def agenerator() -> Any:
        yield 1
        raise ValueError("ouch")

    bodies = {"function": function, "generator": generator, "coroutine": coroutine, "async generator": agenerator}
    bench = Bench(local(bodies[kind]))
    bench.slice()
    assert bench.error()["message"] == "ouch"
    assert "in " in bench.error()["traceback"]
    assert bench.run.status is RunStatus.FAILED


def test_a_result_that_cannot_be_stored_fails_the_run_naming_its_place() -> None:
    @local
    def body() -> Any:
        return {"when": [object()]}

    bench = Bench(body)
    bench.slice()
    assert 'result["when"][0]' in bench.error()["message"]
    assert bench.error()["code"] == "NOT_SERIALIZABLE"


def test_a_task_that_nobody_knows_fails_the_run() -> None:
    @local
    def body() -> None: ...

    bench = Bench(body)
    bench.run.task_path = "nowhere.at_all"
    bench.slice()
    assert bench.error()["code"] == "UNKNOWN_TASK"
