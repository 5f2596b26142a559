"""Sleeps and questions: token, deadline and due time are decided once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_tasks_durable.exceptions import AlreadyResolved, AmbiguousResume, NotWaiting, WaitTimeout
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.primitives.writes import Suspended
from django_tasks_durable.store.memory import MemoryStore

from .laboratory import Bench, local


@local
def sleeper(context: Any) -> Any:
    """Sleep an hour."""
    return context.sleep("cooldown", hours=1)


@local
def asker(context: Any) -> Any:
    """Ask once."""
    return context.interrupt({"question": "go on?"})


@pytest.mark.seed("TW-10")
def test_a_sleep_frees_the_slot_until_it_is_over(frozen: datetime) -> None:
    bench = Bench(sleeper)
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert (outcome.parked, outcome.reason, outcome.wake_at) == (False, WakeReason.SLEEP, frozen + timedelta(hours=1))
    assert bench.run.status is RunStatus.READY
    assert bench.store.claim(bench.run_id) is None
    clock.advance(3600)
    bench.slice()
    assert bench.result == frozen + timedelta(hours=1)


@pytest.mark.seed("TW-11", "TW-12")
def test_a_sleeper_that_is_woken_early_sleeps_on(frozen: datetime) -> None:
    bench = Bench(sleeper)
    first = bench.slice()
    clock.advance(600)
    bench.run.due_at = clock.frozen_at()
    second = bench.slice()
    assert isinstance(first, Suspended)
    assert isinstance(second, Suspended)
    assert second.wake_at == first.wake_at


@pytest.mark.parametrize(
    ("call", "length"),
    [
        (lambda c: c.sleep(90), 90),
        (lambda c: c.sleep(timedelta(minutes=2)), 120),
        (lambda c: c.sleep("nap", 5), 5),
        (lambda c: c.sleep("nap", minutes=1, hours=1, days=1, seconds=1), 90061),
        (lambda c: c.sleep("nap", until=datetime(2030, 1, 1, 13, tzinfo=UTC)), 3600),
    ],
)
def test_a_sleep_may_be_said_in_several_ways(frozen: datetime, call: Any, length: int) -> None:
    @local
    def body(context: Any) -> None:
        call(context)

    outcome = Bench(body).slice()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_at == frozen + timedelta(seconds=length)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.sleep(-1),
        lambda c: c.sleep(float("nan")),
        lambda c: c.sleep("nap", until=datetime(2030, 1, 1)),
        lambda c: c.sleep("nap", 5, until=datetime(2030, 1, 1, tzinfo=UTC)),
        lambda c: c.sleep(True),
    ],
)
def test_a_sleep_that_makes_no_sense_is_refused(call: Any) -> None:
    @local
    def body(context: Any) -> None:
        call(context)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["exception_class_path"] == "builtins.ValueError"


def test_an_instant_that_has_passed_is_not_slept_for_but_remembered(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return context.sleep("past", until=frozen - timedelta(days=1))

    bench = Bench(body)
    bench.slice()
    assert list(bench.checkpoints) == ["sleep:past"]


def test_a_question_parks_the_run_until_it_is_answered() -> None:
    bench = Bench(asker)
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert outcome.parked
    assert outcome.wake_at is None
    assert [wait.path for wait in outcome.waits] == ["wait:interrupt"]
    bench.answer({"yes": True}).slice()
    assert bench.result == {"yes": True}


@pytest.mark.seed("TT-11")
@pytest.mark.parametrize("answer", [None, 0, "", False, [], {}])
def test_an_empty_answer_is_an_answer(answer: Any) -> None:
    bench = Bench(asker)
    bench.slice()
    bench.answer(answer).slice()
    assert bench.result == answer


@pytest.mark.seed("TW-11")
def test_the_token_and_the_deadline_stay_while_a_run_is_replayed(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return context.wait("approval", timeout=3600)

    bench = Bench(body)
    first = bench.slice()
    assert isinstance(first, Suspended)
    clock.advance(60)
    bench.run.status, bench.run.due_at = RunStatus.READY, clock.frozen_at()
    second = bench.slice()
    assert isinstance(second, Suspended)
    assert second.waits == ()
    assert second.wake_at == first.wake_at == frozen + timedelta(hours=1)
    assert len(bench.run.waits) == 1


def test_after_the_deadline_the_default_is_the_answer(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return [context.interrupt("?", timeout=60, default=None), context.interrupt("really?")]

    bench = Bench(body)
    bench.slice()
    clock.advance(60)
    bench.slice()
    bench.answer("yes").slice()
    assert bench.result == [None, "yes"]


def test_an_answer_that_came_in_time_is_not_lost_to_an_attempt_that_began_before_it(frozen: datetime) -> None:
    meanwhile: list[Callable[[], object]] = []

    @local
    def body(context: Any) -> Any:
        context.step("read the history", int)
        while meanwhile:
            meanwhile.pop(0)()
        return context.interrupt("?", timeout=60, default="nobody")

    bench = Bench(body)
    bench.slice()
    bench.run.status, bench.run.due_at = RunStatus.READY, clock.frozen_at()
    meanwhile += [lambda: bench.answer("somebody"), lambda: clock.advance(120)]
    assert isinstance(bench.slice(), Suspended)
    bench.slice()
    assert bench.result == "somebody"


def test_after_the_deadline_without_a_default_the_body_is_told(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        try:
            context.wait("approval", timeout=timedelta(minutes=1))
        except WaitTimeout as error:
            told = error.path
        context.interrupt()
        return told

    bench = Bench(body)
    bench.slice()
    clock.advance(60)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == "wait:approval"


def test_a_stream_goes_past_a_question_whose_deadline_is_over(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return context.wait("approval", timeout=60, default="nobody")

    store = MemoryStore()
    assert [item.kind for item in body.stream(run_id="late", store=store)] == ["interrupt"]
    clock.advance(59)
    assert [item.kind for item in body.stream(run_id="late", store=store)] == ["interrupt"]
    clock.advance(1)
    assert body.invoke(run_id="late", store=store) == "nobody"


@pytest.mark.asyncio
async def test_an_asynchronous_stream_does_so_too(frozen: datetime) -> None:
    @local
    async def body(context: Any) -> Any:
        return await context.await_("approval", timeout=60, default="nobody")

    store = MemoryStore()
    assert [item.kind async for item in body.astream(run_id="late", store=store)] == ["interrupt"]
    clock.advance(60)
    assert await body.ainvoke(run_id="late", store=store) == "nobody"


@pytest.mark.seed("TW-16")
def test_the_first_answer_stands() -> None:
    @local
    def body(context: Any) -> Any:
        return [context.interrupt(1), context.interrupt(2)]

    bench = Bench(body)
    bench.slice()
    token = bench.run.open_waits[0].token
    bench.answer("a")
    bench.answer("a", token=token)
    with pytest.raises(AlreadyResolved):
        bench.answer("b", token=token)
    bench.slice()
    bench.answer("b").slice()
    assert bench.result == ["a", "b"]


def test_an_answer_to_nothing_is_refused() -> None:
    bench = Bench(asker)
    with pytest.raises(NotWaiting):
        bench.answer(1)
    bench.slice()
    bench.answer(1).slice()
    with pytest.raises(NotWaiting):
        bench.answer(1, token="nobody's")


@pytest.mark.seed("TT-20")
def test_of_several_questions_the_token_says_which() -> None:
    @local
    def body(context: Any) -> Any:
        return context.gather({name: lambda context: context.interrupt("?") for name in ("left", "right")})

    bench = Bench(body)
    bench.slice()
    with pytest.raises(AmbiguousResume, match="branch:left/wait:interrupt, branch:right/wait:interrupt"):
        bench.answer(1)
    for wait in bench.run.open_waits:
        bench.answer(wait.path, token=wait.token)
    bench.slice()
    assert bench.result == {"left": "branch:left/wait:interrupt", "right": "branch:right/wait:interrupt"}


def test_an_answer_that_comes_while_the_run_is_being_suspended_is_not_lost() -> None:
    """It raised the inbox after the attempt had read it, so the run is due again at once."""

    @local
    def body(context: Any) -> Any:
        first = context.interrupt(1)
        bench.run.inbox += 1
        return [first, context.interrupt(2)]

    bench = Bench(body)
    bench.slice()
    bench.answer("a").slice()
    assert bench.run.status is RunStatus.READY


def test_a_request_that_cannot_be_stored_is_refused_naming_its_place() -> None:
    @local
    def body(context: Any) -> Any:
        return context.interrupt({"form": [object()]})

    bench = Bench(body)
    bench.slice()
    assert 'request["form"][0]' in bench.error()["message"]


def test_a_coroutine_waits_and_sleeps_too(frozen: datetime) -> None:
    @local
    async def body(context: Any) -> Any:
        await context.asleep("nap", hours=1)
        return [await context.ainterrupt("?"), await context.await_("key", "request")]

    bench = Bench(body)
    bench.slice()
    clock.advance(3600)
    bench.slice()
    bench.answer(1).slice()
    bench.answer(2).slice()
    assert bench.result == [1, 2]
