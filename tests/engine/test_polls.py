"""Polling, and giving the slot back."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from django_tasks_durable import pause, poll
from django_tasks_durable.exceptions import InsideAtomicStep, PollTimeout, SuspendInAtomic
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus, State, WakeReason, derive_state
from django_tasks_durable.store import user_transactions

from .laboratory import Bench, local

asked: list[Any] = []


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    """Forget what other tests did."""
    asked.clear()


def ready_after(count: int) -> Any:
    """Make a function that has something at the count-th call."""

    def look() -> Any:
        asked.append(None)
        return "there" if len(asked) >= count else None

    return look


def polling(look: Any, **options: Any) -> Any:
    """Make a task that polls."""
    return local(lambda context: context.poll("it", look, **{"every": 60, **options}))


def test_a_poll_gives_the_slot_back_until_the_next_and_remembers_what_it_found(frozen: datetime) -> None:
    @local
    def polls(context: Any) -> Any:
        found = context.poll("it", ready_after(3), every=60)
        context.interrupt()
        return found

    bench = Bench(polls)
    for number in range(1, 4):
        bench.slice()
        if number < 3:
            assert (bench.run.status, bench.run.wake_reason) == (RunStatus.READY, WakeReason.POLL)
            assert bench.run.due_at == frozen + timedelta(seconds=60 * number)
            assert derive_state(bench.run.status, bench.run.wake_reason, is_due=False) is State.WAITING
            clock.advance(60)
    bench.answer(1).slice()
    assert bench.result == "there"
    assert len(asked) == 3
    polled = [path for path in bench.run.checkpoints if path.startswith("poll:")]
    assert len(polled) == 2, "what is kept of the way does not grow with it"


def test_a_poll_that_is_woken_early_does_not_ask_early(frozen: datetime) -> None:
    bench = Bench(polling(ready_after(2)))
    bench.slice()
    bench.run.due_at = bench.store.now()
    bench.slice()
    assert len(asked) == 1
    clock.advance(60)
    bench.slice()
    assert bench.result == "there"


def test_a_short_poll_pauses_in_the_slot_a_few_times_and_then_gives_it_back(frozen: datetime) -> None:
    bench = Bench(polling(ready_after(8), every=1))
    bench.slice()
    assert bench.run.wake_reason is WakeReason.POLL
    before = len(asked)
    assert 2 <= before < 8
    clock.advance(1)
    bench.slice()
    assert bench.result == "there"


@pytest.mark.parametrize("values", [[0, 7], [False, 7], ["", 7], [None, 7]])
def test_what_will_do_is_said_by_until(values: list[Any], frozen: datetime) -> None:
    left = list(values)
    bench = Bench(polling(lambda: left.pop(0), until=lambda value: value == 7))
    bench.slice()
    clock.advance(60)
    bench.slice()
    assert bench.result == 7


@pytest.mark.parametrize("value", [0, False, "", []])
def test_without_until_everything_but_none_will_do(value: Any) -> None:
    bench = Bench(polling(lambda: value))
    bench.slice()
    assert bench.result == value


@pytest.mark.parametrize(("limit", "polls"), [({"max_polls": 2}, 2), ({"timeout": 90}, 3)])
def test_patience_ends(limit: dict[str, Any], polls: int, frozen: datetime) -> None:
    @local
    def careful(context: Any) -> Any:
        try:
            return context.poll("it", ready_after(9), every=60, **limit)
        except PollTimeout as error:
            return error.polls

    bench = Bench(careful)
    while bench.run.status is RunStatus.READY:
        bench.slice()
        clock.advance(60)
    assert bench.result == polls
    assert len(asked) == polls


def test_a_retry_after_a_timeout_begins_to_count_anew(frozen: datetime) -> None:
    task = local(max_attempts=2, backoff=lambda error, result: 0)(
        lambda context: context.poll("it", ready_after(3), every=60, max_polls=2)
    )
    bench = Bench(task)
    while bench.run.status is RunStatus.READY:
        bench.slice()
        clock.advance(60)
    assert bench.run.status is RunStatus.SUCCESSFUL


def test_an_error_of_the_polled_function_is_raised_and_remembered_if_handled() -> None:
    def refuse() -> None:
        asked.append(1)
        raise LookupError("no such thing")

    @local
    def careful(context: Any) -> Any:
        try:
            context.poll("it", refuse, every=60)
        except LookupError as error:
            context.interrupt()
            return str(error)

    bench = Bench(careful)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == "no such thing"
    assert asked == [1]


def test_coroutines_poll_and_pause() -> None:
    async def look(value: int) -> int | None:
        asked.append(value)
        return value if len(asked) > 1 else None

    @local
    async def polls(context: Any) -> Any:
        await context.apause()
        return await context.apoll("it", look, 7, every=0.01)

    assert asyncio.run(polls.ainvoke()) == 7


def test_a_pause_gives_the_slot_back_once(frozen: datetime) -> None:
    @local
    def pauses(context: Any) -> str:
        context.pause()
        asked.append(1)
        context.pause()
        return "on"

    bench = Bench(pauses)
    bench.slice()
    assert (bench.run.status, bench.run.due_at, asked) == (RunStatus.READY, frozen, [])
    bench.slice()
    bench.slice()
    assert bench.result == "on"
    assert asked == [1, 1]


def test_neither_is_for_an_open_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_transactions, "deeper_than", lambda depths: True)
    bench = Bench(polling(ready_after(9)))
    bench.slice()
    assert bench.error()["code"] == SuspendInAtomic.code
    assert not bench.run.checkpoints


def test_neither_is_for_an_atomic_step(db: None) -> None:
    @local
    def wrong(context: Any) -> Any:
        context.step("atomic", lambda: context.poll("it", ready_after(1), every=1), atomic=True)

    bench = Bench(wrong)
    bench.slice()
    assert bench.error()["code"] == InsideAtomicStep.code
    assert not asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": 0},
        {"every": -1},
        {"every": "soon"},
        {"max_polls": 0},
        {"max_polls": True},
        {"timeout": -1},
        {"until": 7},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        poll("it", lambda: 1, **{"every": 1, **wrong})
    with pytest.raises(TypeError):
        poll("it", 7, every=1)  # type: ignore[arg-type]


def test_without_a_run_nobody_waits() -> None:
    pause()
    assert poll("it", ready_after(4), every=3600) == "there"
    asked.clear()
    with pytest.raises(PollTimeout):
        poll("it", ready_after(100), every=3600, timeout=timedelta(days=1))
