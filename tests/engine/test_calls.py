"""Bodies inside bodies: nested calls and gathers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from django_tasks_durable import get_context, step
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.primitives.writes import Failed, Suspended
from django_tasks_durable.store import user_transactions

from .laboratory import Bench, local

deeds: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    deeds.clear()


def do(name: str) -> str:
    """Count a deed."""
    deeds[name] += 1
    return name


@local
def child(context: Any, name: str) -> Iterator[str]:
    """Yield twice, with a step between, and return."""
    yield f"{name} begins"
    context.step("work", do, name)
    yield f"{name} ends"
    return name.upper()


@local
def asking_child(context: Any, name: str) -> Iterator[str]:
    """Yield, ask, yield, return."""
    yield f"{name} asks"
    answer = context.interrupt(name)
    yield f"{name} heard {answer}"
    return answer


@local
async def achild(context: Any, name: str) -> AsyncIterator[str]:
    """See child."""
    yield f"{name} begins"
    await context.astep("work", do, name)
    yield f"{name} ends"
    context.finish(name.upper())


@local
def add(a: int, b: int) -> int:
    """Add."""
    do("add")
    return a + b


@pytest.mark.seed("TT-17")
def test_partials_flow_through_and_the_value_comes_back() -> None:
    @local
    def parent(context: Any) -> Iterator[Any]:
        first = yield from context.call(child, "a")
        yield "between"
        second = yield from context.call(child, "b")
        return [first, second]

    bench = Bench(parent)
    bench.slice()
    assert bench.run.partials == ["a begins", "a ends", "between", "b begins", "b ends"]
    assert bench.result == ["A", "B"]
    assert list(bench.checkpoints) == ["call:child/step:work", "call:child", "call:child#2/step:work", "call:child#2"]


@pytest.mark.seed("TT-21")
def test_a_finished_call_tells_its_caller_everything_again_without_running() -> None:
    @local
    def parent(context: Any) -> Iterator[Any]:
        heard = []
        nested = context.call(child, "a")
        for partial in nested:
            heard.append(partial)
        yield heard
        context.interrupt()
        return [heard, nested.value]

    bench = Bench(parent)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == [["a begins", "a ends"], "A"]
    assert deeds == {"a": 1}


def test_a_childs_question_passes_through_by_itself() -> None:
    @local
    def parent(context: Any) -> Iterator[Any]:
        yield "parent"
        answer = yield from context.call(asking_child, "child")
        own = context.interrupt("parent")
        return [answer, own]

    bench = Bench(parent)
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert outcome.waits[0].path == "call:asking_child/wait:interrupt"
    bench.answer(1).slice()
    bench.answer(2).slice()
    assert bench.run.partials == ["parent", "child asks", "child heard 1"]
    assert bench.result == [1, 2]


def test_the_value_is_there_for_those_who_want_no_partials() -> None:
    @local
    def parent(context: Any) -> Any:
        return [context.call(child, "a").value, context.call(add, 1, b=2).value]

    bench = Bench(parent)
    bench.slice()
    assert bench.result == ["A", 3]


def test_the_caller_may_use_its_own_primitives_between_two_partials() -> None:
    @local
    def parent(context: Any) -> Any:
        nested = context.call(child, "a")
        for partial in nested:
            context.step("save", do, partial)
        context.interrupt()
        return nested.value

    bench = Bench(parent)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == "A"
    assert deeds == {"a": 1, "a begins": 1, "a ends": 1}


def test_a_caller_that_stops_listening_lets_the_child_clean_up() -> None:
    told = []

    @local
    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            told.append("cleaned up")

    @local
    def parent(context: Any) -> Any:
        for _ in context.call(endless):
            break
        return context.step("next", do, "next")

    bench = Bench(parent)
    bench.slice()
    assert bench.result == "next"
    assert told == ["cleaned up"]


def test_a_childs_failure_that_was_handled_replays_with_its_partials() -> None:
    @local
    def failing(context: Any) -> Iterator[str]:
        yield "trying"
        do("failing")
        raise ValueError("no")

    @local
    def parent(context: Any) -> Iterator[Any]:
        try:
            yield from context.call(failing)
        except ValueError as error:
            yield str(error)
        context.interrupt()
        yield "after"

    bench = Bench(parent)
    bench.slice()
    bench.answer(1).slice()
    assert bench.run.partials == ["trying", "no", "after"]
    assert deeds == {"failing": 1}


def test_a_childs_failure_that_ended_the_attempt_is_retried_from_where_it_was() -> None:
    @local
    def flaky(context: Any) -> str:
        context.step("first", do, "first")
        if do("try") and deeds["try"] == 1:
            raise ValueError("no")
        return "done"

    @local(max_attempts=2, backoff=lambda error, result: 0)
    def parent(context: Any) -> Any:
        return context.call(flaky).value

    bench = Bench(parent)
    first = bench.slice()
    assert isinstance(first, Failed)
    assert first.forget == ("call:flaky",)
    bench.slice()
    assert bench.result == "done"
    assert deeds == {"first": 1, "try": 2}


def test_a_coroutine_calls_children_of_every_kind() -> None:
    @local
    async def parent(context: Any) -> AsyncIterator[Any]:
        async for partial in (nested := context.acall(achild, "a")):
            yield partial
        async for partial in (other := context.acall(child, "b")):
            yield partial
        total = await context.acall(add, 1, 2)
        context.finish([nested.value, other.value, total])

    bench = Bench(parent)
    bench.slice()
    assert bench.run.partials == ["a begins", "a ends", "b begins", "b ends"]
    assert bench.result == ["A", "B", 3]


def test_a_function_calls_an_async_generator() -> None:
    @local
    def parent(context: Any) -> Iterator[Any]:
        return (yield from context.call(achild, "a"))

    bench = Bench(parent)
    bench.slice()
    assert bench.run.partials == ["a begins", "a ends"]
    assert bench.result == "A"


@pytest.mark.seed("TT-18")
def test_the_current_context_is_the_childs_while_it_runs() -> None:
    @local
    def helper_user() -> Any:
        return step("inner", do, "inner")

    @local
    def parent(context: Any) -> Any:
        context.call(helper_user).value
        assert get_context() is context
        return step("outer", do, "outer")

    bench = Bench(parent)
    bench.slice()
    assert list(bench.checkpoints) == ["call:helper_user/step:inner", "call:helper_user", "step:outer"]


# --- gather


def test_branches_have_their_own_scopes_and_come_back_by_name() -> None:
    @local
    def parent(context: Any) -> Any:
        return context.gather({"x": child.bind("a"), 7: add.bind(1, b=2), "plain": lambda: do("plain")})

    bench = Bench(parent)
    bench.slice()
    assert bench.run.result == '{"x":"A","7":3,"plain":"plain"}' or bench.run.status is RunStatus.FAILED
    assert set(bench.checkpoints) == {"branch:x/step:work", "branch:x", "branch:7", "branch:plain"}


@pytest.mark.seed("TT-P4")
def test_branches_without_names_come_back_in_order() -> None:
    @local
    def parent(context: Any) -> Any:
        return [context.gather(add.bind(1, 1), add.bind(2, 2)), context.gather([add.bind(n, n) for n in range(3)])]

    bench = Bench(parent)
    bench.slice()
    assert bench.result == [[2, 4], [0, 2, 4]]
    assert "branch:0#2" in bench.checkpoints


def test_branches_run_side_by_side() -> None:
    barrier = threading.Barrier(2, timeout=10)

    @local
    def parent(context: Any) -> Any:
        return context.gather(barrier.wait, barrier.wait)

    bench = Bench(parent)
    bench.slice()
    assert sorted(bench.result) == [0, 1]


def test_a_gather_suspends_once_with_all_waits(frozen: Any) -> None:
    @local
    def parent(context: Any) -> Any:
        return context.gather(
            {
                "ask": lambda context: context.interrupt("?"),
                "nap": lambda context: context.sleep("nap", hours=1) and "rested",
                "work": lambda context: context.step("work", do, "work"),
            }
        )

    bench = Bench(parent)
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert outcome.parked
    assert [wait.path for wait in outcome.waits] == ["branch:ask/wait:interrupt"]
    assert [record.path for record in outcome.checkpoints] == ["branch:nap/sleep:nap"]
    assert outcome.wake_at is not None
    assert (outcome.wake_at - frozen).total_seconds() == 3600
    assert deeds == {"work": 1}
    bench.answer("yes").slice()
    from django_tasks_durable.primitives import clock

    clock.advance(3600)
    bench.slice()
    assert bench.result == {"ask": "yes", "nap": "rested", "work": "work"}
    assert deeds == {"work": 1}


def test_a_gather_of_sleeps_alone_is_due_when_the_first_is_over(frozen: Any) -> None:
    @local
    def parent(context: Any) -> Any:
        return context.gather(*(lambda context, n=n: context.sleep(n) and n for n in (60, 30)))

    outcome = Bench(parent).slice()
    assert isinstance(outcome, Suspended)
    assert (outcome.parked, outcome.reason) == (False, WakeReason.SLEEP)
    assert outcome.wake_at is not None
    assert (outcome.wake_at - frozen).total_seconds() == 30


def test_the_failure_of_a_branch_is_raised_when_all_have_come_to_rest() -> None:
    @local
    def parent(context: Any) -> Any:
        def fail() -> None:
            raise ValueError("left")

        try:
            context.gather({"left": fail, "right": lambda: do("right")})
        except ValueError as error:
            return str(error)

    bench = Bench(parent)
    bench.slice()
    assert bench.result == "left"
    assert deeds == {"right": 1}


def test_all_branches_that_failed_are_retried_together_and_the_others_are_not_run_again() -> None:
    def flaky(name: str) -> str:
        if do(name) and deeds[name] == 1:
            raise ValueError(name)
        return name

    @local(max_attempts=2, backoff=lambda error, result: 0)
    def parent(context: Any) -> Any:
        return context.gather({"a": lambda: flaky("a"), "b": lambda: flaky("b"), "c": lambda: do("c")})

    bench = Bench(parent)
    first = bench.slice()
    assert isinstance(first, Failed)
    assert set(first.forget) == {"branch:a", "branch:b"}
    bench.slice()
    assert bench.result == {"a": "a", "b": "b", "c": "c"}
    assert deeds == {"a": 2, "b": 2, "c": 1}


def test_failures_may_be_asked_for_as_values() -> None:
    @local
    def parent(context: Any) -> Any:
        def fail() -> None:
            raise ValueError("left")

        found = context.gather(fail, lambda: "right", return_exceptions=True)
        return [str(found[0]), found[1]]

    bench = Bench(parent)
    bench.slice()
    assert bench.result == ["left", "right"]


def test_a_coroutines_branches_run_side_by_side() -> None:
    @local
    async def parent(context: Any) -> Any:
        met = asyncio.Barrier(2)

        async def branch(context: Any) -> str:
            async with asyncio.timeout(10):
                await met.wait()
            return await context.astep("work", do, "work")

        return await context.agather({"a": branch, "b": branch, "c": child.bind("c")})

    bench = Bench(parent)
    bench.slice()
    assert bench.result == {"a": "work", "b": "work", "c": "C"}


def test_the_callers_context_inside_a_branch_is_refused() -> None:
    @local
    def parent(context: Any) -> Any:
        return context.gather(lambda: context.step("mine", int))

    bench = Bench(parent)
    bench.slice()
    assert bench.error()["code"] == "CONCURRENT_SCOPE"


def test_a_gather_of_nothing_is_nothing() -> None:
    @local
    def parent(context: Any) -> Any:
        return [context.gather({}), context.gather([])]

    bench = Bench(parent)
    bench.slice()
    assert bench.result == [{}, []]


def test_a_branch_that_has_ended_is_suspended_with_its_caller() -> None:
    kept: list[Any] = []
    raised: list[BaseException] = []

    @local
    def parent(context: Any) -> None:
        try:
            context.gather({"done": lambda context: kept.append(context), "ask": lambda context: context.interrupt()})
        finally:
            try:
                kept[0].step("late", do, "late")
            except BaseException as error:
                raised.append(error)

    Bench(parent).slice()
    assert [type(error).__name__ for error in raised] == ["Suspend"]
    assert not deeds


def test_what_a_caller_says_about_a_replayed_partial_is_not_said_again() -> None:
    @local
    def parent(context: Any) -> None:
        for partial in context.call(asking_child, "child"):
            context.log(f"heard: {partial}")

    bench = Bench(parent)
    bench.slice()
    bench.answer(1).slice()
    told = [line.message for line in bench.run.lines if line.kind == "log"]
    assert told == ["heard: child asks", "heard: child heard 1"]


def test_a_function_that_a_coroutine_calls_may_wait_inside_a_tests_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction is open on another thread than the event loop's, and was so before the body began."""
    here = threading.get_ident()
    monkeypatch.setattr(user_transactions, "depths", lambda: {} if threading.get_ident() == here else {"default": 1})

    @local
    async def parent(context: Any) -> Any:
        return await context.acall(asking_child, "child")

    bench = Bench(parent)
    assert isinstance(bench.slice(), Suspended)
