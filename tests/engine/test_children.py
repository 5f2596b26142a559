"""Children with runs of their own: started once, joined when they have ended, ended with their parent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from django_tasks_durable import MemoryStore, join, spawn
from django_tasks_durable.exceptions import (
    AmbiguousResume,
    ChildCancelled,
    ChildFailed,
    Drift,
    InsideAtomicStep,
    Interrupted,
    InvalidKey,
    NotSpawnable,
    RunNotFound,
)
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.primitives.writes import Suspended
from django_tasks_durable.store.memory_run import MemoryRun

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
def work(context: Any, name: str) -> str:
    """Work and return."""
    return context.step("work", do, name).upper()


@local
def broken(name: str) -> None:
    """Fail."""
    raise LookupError(f"no {name}")


@local
def asks(context: Any, question: str) -> Any:
    """Ask, and return the answer."""
    return context.interrupt(question)


@local
def counts(context: Any, least: int, most: int) -> Iterator[Any]:
    """Yield numbers, with a wait in the middle."""
    yield from range(least, most)
    yield context.interrupt("more?")
    return "counted"


def children_of(bench: Bench) -> list[MemoryRun]:
    """The children of the bench's run, in the order in which they were started."""
    return sorted((run for run in bench.store._runs.values() if run.parent_id == bench.run_id), key=lambda run: run.id)


def drive(bench: Bench, run: MemoryRun) -> None:
    """Bring one child one slice further."""
    from django_tasks_durable.authoring.tasks import get_task

    other = object.__new__(Bench)
    other.task, other.store, other.run_id = get_task(run.task_path), bench.store, run.id  # type: ignore[assignment]
    other.slice()


@local
def parent(context: Any, *names: str) -> Any:
    """Start a child for each name, do something, and join them."""
    handles = [context.spawn(work, name, key=name) for name in names]
    context.step("own", do, "own")
    return context.join(*handles)


def test_a_child_is_a_run_of_its_own_and_its_parent_waits_for_it_without_a_slot() -> None:
    bench = Bench(parent, "a", "b")
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert bench.run.status is RunStatus.WAITING
    first, second = children_of(bench)
    assert (first.status, first.parent_id) == (RunStatus.READY, bench.run_id)

    drive(bench, first)
    assert bench.run.status is RunStatus.WAITING, "it waits for both"
    drive(bench, second)
    assert (bench.run.status, bench.run.wake_reason) == (RunStatus.READY, WakeReason.CHILD)
    bench.slice()

    assert bench.result == ["A", "B"]
    assert deeds == {"a": 1, "b": 1, "own": 1}
    assert list(bench.checkpoints) == ["spawn:a", "spawn:b", "step:own", "join:a", "join:b"]


def test_a_replay_gives_the_same_child() -> None:
    seen = []

    @local
    def pauses(context: Any) -> Any:
        handle = context.spawn(work, "a")
        seen.append(handle.run_id)
        context.interrupt()
        return handle.join()

    bench = Bench(pauses)
    bench.slice()
    bench.answer(1).slice()
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert [run.id for run in children_of(bench)] == seen[:1]


def test_a_child_that_ends_between_the_look_and_the_suspension_is_not_missed() -> None:
    @local
    def slow(context: Any) -> Any:
        handle = context.spawn(work, "a")
        context.pause()
        (child,) = children_of(bench)
        if child.status is RunStatus.READY:
            drive(bench, child)
        return handle.join()

    bench = Bench(slow)
    bench.slice()
    outcome = bench.slice()
    assert isinstance(outcome, Suspended), "its history knows nothing of the end yet"
    assert bench.run.status is RunStatus.READY
    bench.slice()
    assert bench.result == "A"


def test_the_error_of_a_child_is_told_and_remembered() -> None:
    told: list[ChildFailed] = []

    @local
    def careful(context: Any) -> Any:
        handle = context.spawn(broken, "luck")
        try:
            handle.join()
        except ChildFailed as error:
            told.append(error)
        context.interrupt()
        return str(told[-1])

    bench = Bench(careful)
    bench.slice()
    (child,) = children_of(bench)
    drive(bench, child)
    bench.slice()
    bench.answer(1).slice()
    assert [(error.run_id, error.exception_class_path, error.message) for error in told] == [
        (child.id, "builtins.LookupError", "no luck")
    ] * 2
    assert "no luck" in bench.result


def test_an_unhandled_failure_of_a_child_fails_the_parent_and_is_looked_at_again_by_a_retry() -> None:
    @local(max_attempts=2, backoff=lambda error, result: 0)
    def stubborn(context: Any) -> Any:
        return context.spawn(broken, "luck").join()

    bench = Bench(stubborn)
    bench.slice()
    (child,) = children_of(bench)
    drive(bench, child)
    bench.slice()
    assert bench.error()["code"] == "CHILD_FAILED"
    assert "join:broken" not in bench.checkpoints
    # The child was mended meanwhile.
    child.status, child.result = RunStatus.SUCCESSFUL, '"mended"'
    bench.slice()
    assert bench.result == "mended"
    assert children_of(bench) == [child]


def test_exceptions_may_be_returned_instead_and_all_are_waited_for() -> None:
    @local
    def gathers(context: Any) -> Any:
        ends = context.join(context.spawn(broken, "x"), context.spawn(work, "y"), return_exceptions=True)
        return [type(end).__name__ for end in ends]

    bench = Bench(gathers)
    bench.slice()
    for child in children_of(bench):
        assert bench.run.status is RunStatus.WAITING
        drive(bench, child)
    bench.slice()
    assert bench.result == ["ChildFailed", "str"]


def test_a_cancelled_child_is_told() -> None:
    @local
    def careful(context: Any) -> Any:
        try:
            return context.spawn(work, "a").join()
        except ChildCancelled as error:
            return str(error.run_id)

    bench = Bench(careful)
    bench.slice()
    (child,) = children_of(bench)
    bench.store.cancel(child.id)
    bench.slice()
    assert bench.result == str(child.id)


@pytest.mark.parametrize("way", ["cancelled while waiting", "failed", "timed out"])
def test_children_end_with_their_parent(way: str) -> None:
    @local
    def leaves(context: Any) -> Any:
        context.spawn(asks, "kept?", key="kept", abandon=True)
        handle = context.spawn(asks, "left?", key="left")
        if way != "cancelled while waiting":
            raise ValueError(way)
        handle.join()

    bench = Bench(leaves)
    bench.slice()
    if way == "cancelled while waiting":
        bench.store.cancel(bench.run_id)
    kept, left = children_of(bench)
    assert (kept.status, left.status) == (RunStatus.READY, RunStatus.CANCELLED)


def test_a_parent_that_will_be_retried_keeps_its_children_and_finds_them_again() -> None:
    @local(max_attempts=2, backoff=lambda error, result: 0)
    def retried(context: Any) -> Any:
        handle = context.spawn(work, "a")
        if context.attempt == 1:
            raise ValueError
        return handle.join()

    bench = Bench(retried)
    bench.slice()
    (child,) = children_of(bench)
    assert child.status is RunStatus.READY
    drive(bench, child)
    bench.slice()
    if bench.run.status is RunStatus.READY:
        bench.slice()
    assert bench.result == "A"
    assert children_of(bench) == [child]


def test_grandchildren_end_with_their_grandparent() -> None:
    @local
    def middle(context: Any) -> Any:
        return context.spawn(asks, "?").join()

    @local
    def top(context: Any) -> Any:
        return context.spawn(middle).join()

    bench = Bench(top)
    bench.slice()
    (child,) = children_of(bench)
    drive(bench, child)
    (grandchild,) = (run for run in bench.store._runs.values() if run.parent_id == child.id)
    bench.store.cancel(bench.run_id)
    assert (child.status, grandchild.status) == (RunStatus.CANCELLED, RunStatus.CANCELLED)


def test_a_child_may_be_joined_twice_and_in_another_body() -> None:
    @local
    def twice(context: Any) -> Any:
        handle = context.spawn(work, "a")
        both = context.gather({"l": lambda context: handle.join(), "r": lambda context: handle.join()})
        context.interrupt()
        return [both, handle.join()]

    bench = Bench(twice)
    bench.slice()
    drive(bench, children_of(bench)[0])
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == [{"l": "A", "r": "A"}, "A"]
    assert deeds == {"a": 1}


def test_a_child_that_is_gone_is_told() -> None:
    bench = Bench(parent, "a")
    bench.slice()
    (child,) = children_of(bench)
    drive(bench, child)
    del bench.store._runs[child.id]
    bench.slice()
    assert bench.error()["code"] == RunNotFound.code


def test_no_child_is_started_inside_an_atomic_step(db: None) -> None:
    @local
    def wrong(context: Any) -> Any:
        context.step("atomic", lambda: context.spawn(work, "a"), atomic=True)

    bench = Bench(wrong)
    bench.slice()
    assert bench.error()["code"] == InsideAtomicStep.code
    assert not children_of(bench)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda context: context.spawn(do, "a"), NotSpawnable),
        (lambda context: context.spawn(work, "a", key="a/b"), InvalidKey),
        (lambda context: context.spawn(work, object()), TypeError),
        (lambda context: context.spawn(work, "a", key=""), InvalidKey),
    ],
)
def test_what_cannot_be_started_is_refused_before_anything_is_written(call: Any, error: type[Exception]) -> None:
    @local
    def wrong(context: Any) -> str:
        with pytest.raises(error):
            call(context)
        return "went on"

    bench = Bench(wrong)
    bench.slice()
    assert bench.result == "went on"
    assert not children_of(bench)
    assert not bench.checkpoints


def test_another_child_under_the_same_key_is_drift() -> None:
    @local
    def drifts(context: Any, seen: Any = None) -> Any:
        handles = [context.spawn(work, "a", key="x"), context.spawn(work, "b", key="x")]
        if context.step("again", lambda: None) is None and context.interrupt() is None:
            handles.reverse()
        return handles

    bench = Bench(drifts)
    bench.slice()

    @local
    def other(context: Any) -> Any:
        context.spawn(work, "another", key="x")

    bench.task = other
    bench.run.task_path = other.module_path
    bench.answer(1).slice()
    assert bench.error()["code"] == Drift.code


def test_bound_tasks_and_options_are_taken_over() -> None:
    @local
    def starts(context: Any) -> Any:
        bound = work.using(queue_name="default", priority=7).bind("a")
        return context.spawn(bound, key="first").join()

    bench = Bench(starts)
    bench.slice()
    (child,) = children_of(bench)
    assert (child.priority, child.args) == (7, '["a"]')


# --- in process: the whole family in one stream


def test_a_stream_in_process_drives_the_children() -> None:
    assert parent.invoke("a", "b") == ["A", "B"]
    assert deeds == {"a": 1, "b": 1, "own": 1}


def test_an_async_stream_in_process_drives_the_children() -> None:
    @local
    async def achild(context: Any, name: str) -> str:
        return await context.astep("work", do, name)

    @local
    async def aparent(context: Any) -> Any:
        handles = [await context.aspawn(achild, name, key=name) for name in "ab"]
        first = await handles[0].ajoin()
        return [first, *(await context.ajoin(*handles)), await (await context.aspawn(work, "c")).ajoin()]

    assert asyncio.run(aparent.ainvoke()) == ["a", "a", "b", "C"]


def test_the_question_of_a_child_is_asked_in_its_parents_stream() -> None:
    @local
    def both(context: Any) -> Any:
        return context.join(context.spawn(asks, "one?", key="one"), context.spawn(asks, "two?", key="two"))

    store = MemoryStore()
    questions = list(both.stream(run_id="family", store=store))
    assert [(item.kind, item.interrupt) for item in questions] == [("interrupt", "one?"), ("interrupt", "two?")]
    with pytest.raises(AmbiguousResume):
        both.resume("family", 1, store=store)
    assert [item.interrupt for item in both.resume("family", 1, token=questions[0].token, store=store)] == ["two?"]
    assert both.resume("family", 2, store=store).result() == [1, 2]


# --- without a run: at once


def test_without_a_run_a_child_ends_at_once() -> None:
    assert parent("a", "b") == ["A", "B"]
    assert spawn(work, "c").join() == "C"
    assert join(spawn(work, "a"), spawn(work, "b")) == ["A", "B"]
    with pytest.raises(ChildFailed, match="no luck"):
        spawn(broken, "luck").join()
    with pytest.raises(Interrupted):
        spawn(asks, "?")


def test_a_coroutine_without_a_run_starts_children_at_once() -> None:
    @local
    async def aparent(context: Any) -> Any:
        handle = await context.aspawn(counts_to, 2)
        return [partial async for partial in handle.astream()], await handle.ajoin()

    @local
    async def counts_to(context: Any, most: int) -> AsyncIterator[int]:
        for number in range(most):
            yield number
        context.finish("done")

    assert asyncio.run(aparent()) == ([0, 1], "done")
