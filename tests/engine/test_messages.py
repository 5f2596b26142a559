"""Messages and events: each message is received once, in order, whenever it was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from django_tasks_durable import MemoryStore, broadcast, recv, send, wait_event
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    InsideAtomicStep,
    Interrupted,
    InvalidKey,
    NotSerializable,
    NotWaiting,
    TakesNoMessages,
    WaitTimeout,
)
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.primitives.writes import Suspended

from .laboratory import Bench, local


@local
def listener(context: Any) -> Any:
    """Receive two."""
    return [context.recv("news"), context.recv("news")]


def tell(bench: Bench, name: str, payload: Any = None) -> Bench:
    """Send a message to the run."""
    bench.store.send(bench.run_id, name, payload)
    return bench


def test_a_run_waits_for_a_message_and_is_woken_by_it() -> None:
    bench = Bench(listener)
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert (outcome.parked, [wait.path for wait in outcome.waits]) == (True, ["recv:news"])
    tell(bench, "news", "one").slice()
    assert bench.run.status is RunStatus.WAITING
    tell(bench, "news", "two").slice()
    assert bench.result == ["one", "two"]


def test_messages_that_came_before_the_run_began_are_received_in_order() -> None:
    bench = Bench(listener)
    tell(tell(tell(bench, "news", 1), "other", "x"), "news", 2).slice()
    assert bench.result == [1, 2]
    assert [message.name for message in bench.run.messages.values()] == ["other"]


@pytest.mark.parametrize("payload", [None, 0, "", False, [], {}])
def test_an_empty_message_is_a_message(payload: Any) -> None:
    bench = Bench(listener)
    tell(tell(bench, "news", payload), "news", payload).slice()
    assert bench.result == [payload, payload]


def test_a_message_that_the_run_does_not_wait_for_is_kept() -> None:
    bench = Bench(listener)
    bench.slice()
    tell(bench, "other", 1).slice()
    assert bench.run.status is RunStatus.WAITING
    assert len(bench.run.messages) == 1


def test_a_message_that_comes_while_the_run_is_being_suspended_is_not_lost() -> None:
    sent: list[str] = []

    @local
    def body(context: Any) -> Any:
        context.step("read the history", int)
        if not sent:
            sent.append("news")
            tell(bench, "news", "in between")
        return context.recv("news")

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.READY
    bench.slice()
    assert bench.result == "in between"


def test_after_the_deadline_the_default_is_taken_and_the_message_is_for_the_next(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return [context.recv("news", timeout=60, default="none"), context.recv("news")]

    bench = Bench(body)
    bench.slice()
    clock.advance(60)
    bench.slice()
    tell(bench, "news", "late").slice()
    assert bench.result == ["none", "late"]


def test_a_message_that_is_there_is_taken_however_late(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return context.recv("news", timeout=60, default="none")

    bench = Bench(body)
    bench.slice()
    clock.advance(120)
    tell(bench, "news", "late").slice()
    assert bench.result == "late"


def test_without_a_default_the_body_is_told_and_may_go_on(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        try:
            context.recv("news", timeout=60)
        except WaitTimeout as error:
            return error.path

    bench = Bench(body)
    bench.slice()
    clock.advance(60)
    bench.slice()
    assert bench.result == "recv:news"


def test_an_operator_may_answer_in_place_of_the_sender_and_no_message_is_taken() -> None:
    bench = Bench(listener)
    bench.slice()
    bench.answer("by hand", token=bench.run.open_waits[0].token)
    tell(bench, "news", "sent").slice()
    assert bench.result == ["by hand", "sent"]


def test_branches_take_each_message_once() -> None:
    @local
    def body(context: Any) -> Any:
        return context.gather({name: lambda context: context.recv("news") for name in "abc"})

    bench = Bench(body)
    bench.slice()
    for number in range(3):
        tell(bench, "news", number)
    bench.slice()
    assert sorted(bench.result.values()) == [0, 1, 2]
    assert not bench.run.messages


def test_a_nested_call_receives_what_was_sent_to_its_run() -> None:
    @local
    def body(context: Any) -> Any:
        return context.call(listener).value

    bench = Bench(body)
    tell(tell(bench, "news", 1), "news", 2).slice()
    assert bench.result == [1, 2]


def test_a_coroutine_receives_too() -> None:
    @local
    async def body(context: Any) -> Any:
        return [await context.arecv("news"), await context.await_event("rates")]

    bench = Bench(body)
    tell(bench, "news", 1).slice()
    assert bench.store.broadcast("rates", 2) == 1
    bench.slice()
    assert bench.result == [1, 2]


def test_what_is_sent_is_told_in_the_timeline() -> None:
    bench = tell(Bench(listener), "news", 1)
    line = bench.run.lines[-1]
    assert (line.kind, line.message) == (StepKind.MESSAGE, "news")


def test_a_run_that_is_over_takes_no_messages() -> None:
    bench = Bench(listener)
    tell(tell(bench, "news", 1), "news", 2).slice()
    with pytest.raises(TakesNoMessages, match="successful") as refused:
        tell(bench, "news", 3)
    assert isinstance(refused.value, NotWaiting)
    assert not bench.run.messages


@pytest.mark.parametrize("name", ["", "a/b", "new\nline", 7, "n" * 201])
def test_a_name_that_nobody_could_wait_for_is_refused(name: Any) -> None:
    bench = Bench(listener)
    with pytest.raises(InvalidKey):
        tell(bench, name)
    with pytest.raises(InvalidKey):
        bench.store.broadcast(name)
    assert (bench.run.inbox, bench.run.messages) == (0, {})


def test_a_payload_that_cannot_be_stored_is_refused() -> None:
    bench = Bench(listener)
    with pytest.raises(NotSerializable, match="payload"):
        tell(bench, "news", object())
    assert bench.run.inbox == 0


def test_nothing_is_received_inside_an_atomic_step() -> None:
    @local
    def body(context: Any) -> Any:
        return context.step("book", lambda: context.recv("news"), atomic=True)

    bench = tell(Bench(body), "news", 1)
    bench.slice()
    assert bench.error()["exception_class_path"].endswith(InsideAtomicStep.__name__)
    assert len(bench.run.messages) == 1


# --- events


@local
def watcher(context: Any) -> Any:
    """Wait for one event."""
    return context.wait_event("rates")


def test_a_broadcast_answers_all_that_wait_and_only_those() -> None:
    store = MemoryStore()
    waiting = [Bench(watcher, store=store) for _ in range(3)]
    late = Bench(watcher, store=store)
    for bench in waiting:
        bench.slice()
    assert store.broadcast("other", 0) == 0
    assert store.broadcast("rates", {"eur": 1}) == 3
    assert store.broadcast("rates", {"eur": 2}) == 0
    for bench in waiting:
        bench.slice()
        assert bench.result == {"eur": 1}
    late.slice()
    assert late.run.status is RunStatus.WAITING


def test_a_broadcast_passes_by_who_is_over_or_too_late(frozen: datetime) -> None:
    @local
    def patient(context: Any) -> Any:
        return context.wait_event("rates", timeout=60, default="none")

    store = MemoryStore()
    late, cancelled = Bench(patient, store=store), Bench(watcher, store=store)
    late.slice()
    cancelled.slice()
    store.cancel(cancelled.run_id)
    clock.advance(60)
    assert store.broadcast("rates", 1) == 0
    late.slice()
    assert late.result == "none"


def test_an_event_is_heard_in_every_branch_that_waits_for_it() -> None:
    @local
    def body(context: Any) -> Any:
        return context.gather({name: lambda context: context.wait_event("rates") for name in "ab"})

    bench = Bench(body)
    bench.slice()
    assert bench.store.broadcast("rates", 7) == 2
    bench.slice()
    assert bench.result == {"a": 7, "b": 7}


def test_an_event_that_was_heard_cannot_be_answered_otherwise() -> None:
    bench = Bench(watcher)
    bench.slice()
    token = bench.run.open_waits[0].token
    bench.store.broadcast("rates", 1)
    bench.answer(1, token=token)
    with pytest.raises(AlreadyResolved):
        bench.answer(2, token=token)


# --- outside of a run


def test_outside_of_a_task_nothing_comes() -> None:
    assert recv("news", timeout=1, default="none") == "none"
    assert wait_event("rates", timeout=1, default=None) is None
    with pytest.raises(Interrupted):
        recv("news")
    with pytest.raises(Interrupted):
        wait_event("rates")


def test_the_words_are_at_the_front_door() -> None:
    assert callable(send)
    assert callable(broadcast)
