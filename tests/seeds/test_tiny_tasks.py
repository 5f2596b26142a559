"""What interruptible generators did, shown with ours: streams in process, on a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

import django_tasks_durable
from django_tasks_durable import MemoryStore, get_context
from django_tasks_durable.exceptions import IdempotencyConflict, Interrupted, NotWaiting
from tests.engine.laboratory import local


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


def told(items: Any) -> list[Any]:
    """The partials and questions of a stream."""
    return [item.interrupt if item.kind == "interrupt" else item.partial for item in items]


@local
def messages(context: Any, name: str) -> Generator[str, None, str]:
    """Yield four times and return."""
    for number in range(4):
        yield f"{name} {number}"
    return name.upper()


@local
def asking(context: Any, name: str) -> Generator[str, None, Any]:
    """Yield, ask, yield, return the answer."""
    yield f"{name} asks"
    answer = context.interrupt(name)
    yield f"{name} heard {answer}"
    return answer


@local
def tokens(context: Any, text: str) -> Iterator[str]:
    """Tell a text word by word, ask, and tell the answer and the rest."""
    words = text.split()
    yield from words[:2]
    yield context.interrupt("go on?")
    yield from words[2:]


@local
async def atokens(context: Any, text: str) -> AsyncIterator[str]:
    """See tokens."""
    words = text.split()
    for word in words[:2]:
        yield word
    yield await context.ainterrupt("go on?")
    for word in words[2:]:
        yield word


EMPTY: list[Any] = [0, "", None, False, []]


# --- streams


@pytest.mark.seed("TT-1")
def test_bodies_of_every_kind_are_streamed_and_those_without_yields_have_no_partials() -> None:
    @local
    async def atalk(context: Any) -> AsyncIterator[int]:
        yield 1
        context.finish("end")

    @local
    def talk() -> Generator[int, None, str]:
        yield 1
        return "end"

    @local
    async def acompute() -> str:
        return "end"

    @local
    def compute() -> str:
        return "end"

    assert [told(body.stream()) for body in (atalk, talk, acompute, compute)] == [[1], [1], [], []]
    assert [body.invoke() for body in (atalk, talk, acompute, compute)] == ["end"] * 4


@pytest.mark.seed("TT-P1", "TT-5")
def test_four_messages_are_streamed_in_order_and_the_return_value_is_the_result(store: MemoryStore) -> None:
    stream = messages.stream("m", store=store)
    assert told(stream) == ["m 0", "m 1", "m 2", "m 3"]
    assert stream.result() == "M"


@pytest.mark.seed("TT-3")
def test_empty_partials_are_items_like_any_other() -> None:
    @local
    def body() -> Iterator[Any]:
        yield from EMPTY

    assert [(item.kind, item.partial) for item in body.stream()] == [("partial", value) for value in EMPTY]


@pytest.mark.seed("TT-4")
def test_a_question_is_exactly_one_last_item(store: MemoryStore) -> None:
    @local
    def body(context: Any) -> Iterator[int]:
        yield 1
        context.interrupt("?")
        yield 2

    stream = body.stream(store=store)
    assert [(item.kind, item.partial, item.interrupt) for item in stream] == [
        ("partial", 1, None),
        ("interrupt", None, "?"),
    ]
    assert next(stream, "over") == "over"


@pytest.mark.seed("TT-6", "TT-23", "TT-P5")
def test_the_snapshot_holds_the_answers_so_far_in_order(store: MemoryStore) -> None:
    @local
    def body(context: Any) -> Iterator[Any]:
        first = context.interrupt("first?")
        second = context.interrupt("second?")
        yield [first, second]

    (first,) = body.stream(run_id="demo", store=store)
    (second,) = body.resume("demo", "a", store=store)
    (last,) = body.resume("demo", None, store=store)
    assert [item.snapshot["answers"] for item in (first, second, last)] == [[], ["a"], ["a", None]]
    assert [first.interrupt, second.interrupt, last.partial] == ["first?", "second?", ["a", None]]


@pytest.mark.seed("TT-9")
def test_a_resume_runs_the_body_from_the_top_on_its_first_input_and_replays_answers_by_order(
    store: MemoryStore,
) -> None:
    begun = []

    @local
    def body(context: Any, name: str) -> list[Any]:
        begun.append(name)
        return [name, *(context.interrupt(number) for number in range(3))]

    list(body.stream("input", run_id="demo", store=store))
    list(body.resume("demo", "a", store=store))
    list(body.resume("demo", "b", store=store))
    assert body.resume("demo", "c", store=store).result() == ["input", "a", "b", "c"]
    assert begun == ["input"] * 4


@pytest.mark.seed("TT-10", "TT-P11")
def test_after_an_error_the_run_is_kept_and_takes_no_answer(store: MemoryStore) -> None:
    @local
    def body(context: Any) -> None:
        context.step("done", int)
        raise ValueError("ouch")

    with pytest.raises(ValueError, match="ouch"):
        body.invoke(run_id="demo", store=store)
    with pytest.raises(NotWaiting):
        body.resume("demo", 1, store=store)
    assert [record.path for record in store.glance("demo").checkpoints] == ["step:done"]


@pytest.mark.seed("TT-12", "TT-P8")
@pytest.mark.parametrize("body", [tokens, atokens])
def test_tokens_are_told_exactly_once_and_the_answer_comes_first_after_a_resume(body: Any, store: MemoryStore) -> None:
    assert told(body.stream("a b c d", run_id="demo", store=store)) == ["a", "b", "go on?"]
    assert told(body.resume("demo", "yes", store=store)) == ["yes", "c", "d"]


@pytest.mark.seed("TT-14")
def test_a_waiting_run_asks_again_when_it_is_called_again_and_its_input_is_not_replaced(store: MemoryStore) -> None:
    assert told(asking.stream("me", run_id="demo", store=store)) == ["me asks", "me"]
    assert told(asking.stream("me", run_id="demo", store=store)) == ["me"]
    with pytest.raises(IdempotencyConflict):
        asking.invoke("you", run_id="demo", store=store)
    assert asking.resume("demo", 1, store=store).result() == 1


@pytest.mark.seed("TT-16", "TT-P12")
def test_invoke_on_a_question_raises_what_was_asked_and_the_body_has_cleaned_up(store: MemoryStore) -> None:
    seen = []

    @local
    def body(context: Any) -> Iterator[int]:
        try:
            yield 1
            context.interrupt({"ask": "you"})
        finally:
            seen.append("cleaned up")

    with pytest.raises(Interrupted) as caught:
        body.invoke(run_id="demo", store=store)
    assert caught.value.payload == {"ask": "you"}
    assert seen == ["cleaned up"]


@pytest.mark.seed("TT-24", "TT-P9")
def test_a_question_before_the_first_partial_loses_none(store: MemoryStore) -> None:
    @local
    def body(context: Any) -> Iterator[Any]:
        yield context.interrupt("first")
        yield "then"

    assert told(body.stream(run_id="demo", store=store)) == ["first"]
    assert told(body.resume("demo", "yes", store=store)) == ["yes", "then"]


@pytest.mark.seed("TT-26")
def test_runs_without_a_name_are_different_runs_with_ids_of_version_7() -> None:
    ids = [UUID(next(messages.stream("m")).snapshot["run_id"]) for _ in range(2)]
    assert [each.version for each in ids] == [7, 7]
    assert ids[0] != ids[1]


@pytest.mark.seed("TT-28")
def test_the_machinery_of_the_engine_is_not_public() -> None:
    machinery = {"Channel", "LastValue", "Command", "Pregel", "GraphInterrupt", "Suspend"}
    assert not machinery & set(dir(django_tasks_durable))


# --- at the same time


@pytest.mark.seed("TT-18")
def test_streams_that_take_turns_on_one_thread_keep_their_own_current_context() -> None:
    @local
    def body(context: Any) -> Iterator[bool]:
        for _ in range(3):
            yield get_context() is context

    left, right = body.stream(), body.stream()
    assert [item.partial for pair in zip(left, right, strict=True) for item in pair] == [True] * 6


@pytest.mark.seed("TT-25", "TT-P13")
def test_invocations_on_many_threads_share_nothing(store: MemoryStore) -> None:
    @local
    def body(context: Any, number: int) -> Generator[int, None, Any]:
        values = [context.step("value", lambda: number)]
        for _ in range(20):
            yield number
            values.append(context.step("more", lambda: number))
        return set(values)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: body.invoke(number, store=store), range(16)))
    assert found == [{number} for number in range(16)]


@pytest.mark.seed("TT-25", "TT-P13")
async def test_invocations_on_one_event_loop_share_nothing(store: MemoryStore) -> None:
    @local
    async def body(context: Any, number: int) -> AsyncIterator[int]:
        for _ in range(5):
            await asyncio.sleep(0)
            yield number
        context.finish(await context.astep("value", lambda: number))

    found = await asyncio.gather(*(body.ainvoke(number, store=store) for number in range(10)))
    assert found == list(range(10))


# --- tasks within tasks


@pytest.mark.seed("TT-17", "TT-P3")
def test_a_caller_gathers_what_its_child_tells_and_forwards_what_it_likes(store: MemoryStore) -> None:
    @local
    def parent(context: Any) -> Generator[Any, None, Any]:
        heard = []
        child = context.call(messages, "child")
        for partial in child:
            heard.append(partial)
        yield heard
        return [len(heard), child.value]

    assert told(parent.stream(store=store)) == [["child 0", "child 1", "child 2", "child 3"]]
    assert parent.invoke() == [4, "CHILD"]


@pytest.mark.seed("TT-P4")
def test_children_side_by_side_come_back_in_order() -> None:
    @local
    def parent(context: Any) -> Any:
        return context.gather(*(messages.bind(name) for name in "abc"))

    assert parent.invoke() == ["A", "B", "C"]


@pytest.mark.seed("TT-21", "TT-P6")
def test_a_callers_accumulator_is_complete_after_its_childs_question(store: MemoryStore) -> None:
    @local
    def parent(context: Any) -> Iterator[Any]:
        heard = []
        for partial in context.call(asking, "child"):
            heard.append(partial)
        yield heard

    assert told(parent.stream(run_id="demo", store=store)) == ["child"]
    assert told(parent.resume("demo", "ok", store=store)) == [["child asks", "child heard ok"]]


@pytest.mark.seed("TT-19")
def test_a_childs_question_passes_through_or_is_asked_by_its_caller(store: MemoryStore) -> None:
    @local
    def lets_through(context: Any) -> Iterator[Any]:
        yield from context.call(asking, "child")

    @local
    def asks_itself(context: Any) -> Iterator[Any]:
        own = MemoryStore()
        for item in asking.stream("child", run_id="inner", store=own):
            if item.kind == "interrupt":
                answer = context.interrupt(item.interrupt)
            else:
                yield item.partial
        for item in asking.resume("inner", answer, store=own):
            yield item.partial

    for parent in (lets_through, asks_itself):
        name = parent.name
        assert told(parent.stream(run_id=name, store=store)) == ["child asks", "child"]
        assert told(parent.resume(name, 7, store=store)) == ["child heard 7"]


@pytest.mark.seed("TT-20")
def test_a_child_that_asks_nothing_does_not_take_its_callers_answer(store: MemoryStore) -> None:
    @local
    def parent(context: Any) -> Generator[Any, None, Any]:
        yield from context.call(messages, "child")
        return context.interrupt("parent")

    list(parent.stream(run_id="demo", store=store))
    assert parent.resume("demo", "mine", store=store).result() == "mine"


@pytest.mark.seed("TT-20")
def test_two_children_that_ask_one_after_the_other_get_their_own_answers(store: MemoryStore) -> None:
    @local
    def parent(context: Any) -> list[Any]:
        return [context.call(asking, "a").value, context.call(asking, "b").value]

    list(parent.stream(run_id="demo", store=store))
    list(parent.resume("demo", "for a", store=store))
    assert parent.resume("demo", "for b", store=store).result() == ["for a", "for b"]


@pytest.mark.seed("TT-20")
def test_children_side_by_side_get_their_own_answers_in_any_order(store: MemoryStore) -> None:
    @local
    def parent(context: Any) -> Any:
        return context.gather({name: asking.bind(name) for name in ("left", "right")})

    open_ones = {item.interrupt: item.token for item in parent.stream(run_id="demo", store=store)}
    list(parent.resume("demo", "r", token=open_ones["right"], store=store))
    assert parent.resume("demo", "l", token=open_ones["left"], store=store).result() == {"left": "l", "right": "r"}
