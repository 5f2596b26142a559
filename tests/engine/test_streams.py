"""Runs driven in this process, from a store in memory."""

from __future__ import annotations

from typing import Any

import pytest

from django_tasks_durable import MemoryStore
from django_tasks_durable.exceptions import IdempotencyConflict, Interrupted, NotWaiting, RunNotFound
from django_tasks_durable.primitives.status import RunStatus

from . import samples
from .laboratory import local


def told(items: Any) -> list[Any]:
    """The partials and questions of a stream."""
    return [item.interrupt if item.kind == "interrupt" else item.partial for item in items]


@pytest.mark.parametrize("task", [samples.chat, samples.achat])
def test_a_stream_goes_up_to_the_question_and_on_from_its_answer(task: Any, store: MemoryStore) -> None:
    assert told(task.stream("job", run_id="demo", store=store)) == ["processing job", {"message": "wait"}]
    assert told(task.resume("demo", {"message": "ok"}, store=store)) == ["done: ok"]
    assert store.glance("demo").status is RunStatus.SUCCESSFUL


@pytest.mark.parametrize("task", [samples.chat, samples.achat])
async def test_an_asynchronous_stream_does_the_same(task: Any, store: MemoryStore) -> None:
    first = [item async for item in task.astream("job", run_id="demo", store=store)]
    second = task.aresume("demo", {"message": "ok"}, store=store)
    assert told(first) == ["processing job", {"message": "wait"}]
    assert await second.result() == ["job", {"message": "ok"}]


def test_items_unpack_into_three(store: MemoryStore) -> None:
    found = [(item[0], item[2], item[1]["status"]) for item in samples.chat.stream("job", store=store)]
    assert found == [("processing job", None, "RUNNING"), (None, {"message": "wait"}, "WAITING")]


@pytest.mark.seed("TT-2")
def test_nothing_runs_until_the_first_item_is_asked_for(store: MemoryStore) -> None:
    begun = []

    @local
    def body() -> Any:
        begun.append(True)
        yield 1

    stream = body.stream(store=store)
    assert not begun
    next(stream)
    assert begun


@pytest.mark.seed("TT-3", "TT-4")
def test_a_partial_of_none_is_told_from_a_question_of_none(store: MemoryStore) -> None:
    @local
    def body(context: Any) -> Any:
        yield None
        context.interrupt(None)

    assert [item.kind for item in body.stream(store=store)] == ["partial", "interrupt"]


@pytest.mark.seed("TT-13")
def test_a_stream_that_is_left_goes_on_with_what_was_not_told(store: MemoryStore) -> None:
    @local
    def body() -> Any:
        yield from range(5)
        return "end"

    stream = body.stream(run_id="demo", store=store)
    assert [next(stream).partial, next(stream).partial] == [0, 1]
    stream.close()
    assert store.glance("demo").status is RunStatus.READY
    again = body.stream(run_id="demo", store=store)
    assert told(again) == [2, 3, 4]
    assert again.result() == "end"


@pytest.mark.seed("TT-P2")
def test_a_name_may_be_used_again_when_its_run_has_ended(store: MemoryStore) -> None:
    assert samples.add.invoke(1, run_id="demo", store=store) == 3
    assert samples.add.invoke(5, run_id="demo", store=store) == 7


@pytest.mark.seed("TT-14")
def test_an_open_run_of_other_arguments_is_not_replaced(store: MemoryStore) -> None:
    samples.chat.stream("job", run_id="demo", store=store).__next__()
    with pytest.raises(IdempotencyConflict):
        samples.chat.invoke("other", run_id="demo", store=store)


@pytest.mark.seed("TT-5")
def test_invoke_returns_what_the_task_returns() -> None:
    assert samples.add.invoke(1, b=5) == 6
    assert samples.aadd.invoke(1) == 3


async def test_ainvoke_does_as_well() -> None:
    assert await samples.add.ainvoke(1) == 3
    assert await samples.aadd.ainvoke(1) == 3


@pytest.mark.seed("TT-16")
def test_invoke_says_what_it_waits_for_and_the_run_stays(store: MemoryStore) -> None:
    with pytest.raises(Interrupted) as caught:
        samples.chat.invoke("job", run_id="demo", store=store)
    resumed = samples.chat.resume("demo", {"message": "ok"}, token=caught.value.token, store=store)
    assert resumed.result() == ["job", {"message": "ok"}]


def test_the_tasks_own_error_is_raised(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="ouch"):
        samples.failing.invoke(run_id="demo", store=store)
    assert store.glance("demo").status is RunStatus.FAILED


@pytest.mark.seed("TT-10")
def test_an_answer_to_nothing_is_refused(store: MemoryStore) -> None:
    with pytest.raises(RunNotFound):
        samples.chat.resume("nobody", 1, store=store)
    samples.add.invoke(1, run_id="demo", store=store)
    with pytest.raises(NotWaiting):
        samples.add.resume("demo", 1, store=store)
    with pytest.raises(RunNotFound):
        samples.chat.resume("demo", 1, store=store)


def test_a_stream_sleeps_as_long_as_its_run(store: MemoryStore, frozen: Any) -> None:
    assert told(samples.sleepy.stream(store=MemoryStore())) == ["before", "after"]


def test_a_stream_goes_through_the_attempts_of_its_run(frozen: Any) -> None:
    assert told(samples.second_time.stream()) == [1]
    assert samples.second_time.invoke() is None


@pytest.mark.seed("TT-25", "TT-P10")
def test_runs_do_not_mix(store: MemoryStore) -> None:
    left, right = (samples.chat.stream(name, run_id=name, store=store) for name in ("left", "right"))
    assert [next(left).partial, next(right).partial] == ["processing left", "processing right"]
    assert told(left) == told(right) == [{"message": "wait"}]
    assert told(samples.chat.resume("right", {"message": "r"}, store=store)) == ["done: r"]
    assert told(samples.chat.resume("left", {"message": "l"}, store=store)) == ["done: l"]


def test_another_kind_of_store_is_refused() -> None:
    with pytest.raises(TypeError, match="MemoryStore, a DatabaseStore"):
        samples.add.stream(1, store={})
