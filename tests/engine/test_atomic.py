"""An atomic step commits its writes and its checkpoint together."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, SaveCheckpoint
from django_tasks_durable.store.memory import MemoryStore

from .laboratory import Bench, local


class Ledger(MemoryStore):
    """Notes what each atomic step brought, and on which thread; may repeat the body as a database would."""

    def __init__(self, *, repeats: int = 1) -> None:
        super().__init__()
        self.repeats = repeats
        self.brought: list[list[str]] = []
        self.threads: list[str] = []

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[Any]) -> Any:
        def noted() -> Any:
            for _ in range(self.repeats):
                value, facts = perform()
            self.threads.append(threading.current_thread().name)
            self.brought.append([type(fact).__name__ for fact in facts])
            assert isinstance(facts[-1], SaveCheckpoint)
            return value, facts

        return super().atomic(claimed, noted)


def test_its_lines_and_progress_ride_with_its_checkpoint() -> None:
    @local
    def body(context: Any) -> Any:
        def book() -> int:
            context.progress(10, "booking")
            context.log("booked")
            return 7

        return context.step("book", book, atomic=True)

    store = Ledger()
    bench = Bench(body, store=store)
    bench.slice()
    assert bench.result == 7
    assert store.brought == [["SetProgress", "Append", "SaveCheckpoint"]]
    assert bench.run.label == "booking"


def test_a_body_that_the_database_makes_repeat_tells_its_lines_once() -> None:
    @local
    def body(context: Any) -> None:
        context.step("book", lambda: context.log("booked"), atomic=True)

    store = Ledger(repeats=3)
    bench = Bench(body, store=store)
    bench.slice()
    assert store.brought == [["Append", "SaveCheckpoint"]]


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.step("inner", int),
        lambda c: c.step("inner", int, atomic=True),
        lambda c: c.sleep(1),
        lambda c: c.interrupt(),
        lambda c: c.call(int).value,
        lambda c: c.gather(int),
    ],
)
def test_everything_else_is_refused_inside(act: Any) -> None:
    @local
    def body(context: Any) -> None:
        context.step("book", lambda: act(context), atomic=True)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "INSIDE_ATOMIC_STEP"
    assert [path for path in bench.checkpoints if path != "step:book"] == []


def test_after_a_failed_one_the_body_may_go_on() -> None:
    @local
    def body(context: Any) -> Any:
        def fail() -> None:
            context.log("never told")
            raise ValueError("no")

        try:
            context.step("book", fail, atomic=True)
        except ValueError:
            return context.step("apologise", str, "sorry")

    bench = Bench(body)
    bench.slice()
    assert bench.result == "sorry"
    assert "never told" not in [line.message for line in bench.run.lines]


async def acoroutine() -> None:
    """Do nothing."""


async def agenerator() -> Any:
    """Yield nothing."""
    yield


@pytest.mark.parametrize("function", [acoroutine, agenerator, lambda: acoroutine()])
def test_a_coroutine_is_refused(function: Any) -> None:
    @local
    def body(context: Any) -> None:
        context.step("book", function, atomic=True)

    bench = Bench(body)
    bench.slice()
    assert "atomic()" in bench.error()["message"]
    assert bench.run.status is RunStatus.FAILED


def test_a_coroutine_body_has_its_atomic_steps_on_one_thread() -> None:
    @local
    async def body(context: Any) -> Any:
        first = await context.astep("a", int, atomic=True)
        second = await context.astep("b", int, atomic=True)
        return [first, second]

    store = Ledger()
    bench = Bench(body, store=store)
    bench.slice()
    assert bench.result == [0, 0]
    assert len(set(store.threads)) == 1


def test_when_the_fence_refuses_nothing_of_it_is_there() -> None:
    @local
    def body(context: Any) -> None:
        context.step("book", lambda: bench.store.lose(bench.run_id), atomic=True)

    bench = Bench(body)
    assert bench.slice() is None
    assert bench.checkpoints == {}
    assert bench.run.status is RunStatus.READY


def test_a_lost_lease_cannot_be_caught_by_accident() -> None:
    went_on = []

    @local
    def body(context: Any) -> None:
        bench.store.lose(bench.run_id)
        try:
            context.step("a", int)
        except Exception:
            went_on.append(True)
        except LeaseLost:
            went_on.append("lost")
            raise

    bench = Bench(body)
    assert bench.slice() is None
    assert went_on == ["lost"]
