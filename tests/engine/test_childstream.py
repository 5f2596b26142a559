"""What a child yields, in its parent's hands: each once, across resumes, crashes and waits in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django_tasks_durable import MemoryStore
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import awaiting

from .laboratory import Bench, local
from .test_children import children_of, drive


@local
def words(context: Any, *groups: list[str]) -> Iterator[Any]:
    """Yield the words of each group, and ask between two groups."""
    for number, group in enumerate(groups):
        if number:
            context.interrupt("more?", key=f"after {number}")
        yield from group
    return "end"


def answer(bench: Bench) -> None:
    """Answer the child's question and let it go on."""
    (child,) = children_of(bench)
    bench.store.resume(child.id, 1)
    drive(bench, child)


def test_after_a_resume_the_parent_sees_only_what_is_new() -> None:
    slices: list[list[str]] = []

    @local
    def listens(context: Any) -> Iterator[Any]:
        seen: list[str] = []
        slices.append(seen)
        handle = context.spawn(words, ["a", "b"], ["c"], [], ["d"])
        for word in handle.stream():
            seen.append(word)
            yield word
        return [seen, handle.join()]

    bench = Bench(listens)
    bench.slice()
    drive(bench, children_of(bench)[0])
    assert bench.run.status is RunStatus.READY
    bench.slice()
    assert bench.run.status is RunStatus.WAITING, "nothing new"
    answer(bench)
    bench.slice()
    answer(bench)
    assert bench.run.status is RunStatus.WAITING, "the child went on, and has yielded nothing"
    answer(bench)
    bench.slice()
    assert [seen for seen in slices if seen] == [["a", "b"], ["c"], ["d"]]
    assert bench.run.partials == ["a", "b", "c", "d"]
    assert bench.result == [["d"], "end"]


def test_what_the_loop_does_for_each_partial_is_kept_apart() -> None:
    @local
    def listens(context: Any) -> Any:
        for word in context.spawn(words, ["a", "b"], ["c"]).stream():
            context.step("heard", str.upper, word)
        return context.step("last", lambda: "done")

    bench = Bench(listens)
    bench.slice()
    drive(bench, children_of(bench)[0])
    bench.slice()
    answer(bench)
    bench.slice()
    assert bench.result == "done"
    steps = {path: value for path, value in bench.checkpoints.items() if path.startswith("step:")}
    assert steps == {"step:heard": "A", "step:heard#2": "B", "step:heard#3": "C", "step:last": "done"}


def test_a_question_in_the_loop_is_asked_for_the_partial_in_hand_and_no_other_is_seen_again() -> None:
    seen: list[str] = []

    @local
    def listens(context: Any) -> Iterator[Any]:
        found = []
        for word in context.spawn(words, ["a", "b", "c"]).stream():
            seen.append(word)
            context.log(f"hears {word}")
            if word == "b":
                found.append(context.interrupt(f"{word}?"))
            yield word
        return found

    bench = Bench(listens)
    bench.slice()
    drive(bench, children_of(bench)[0])
    bench.slice()
    assert bench.run.open_waits[0].request == '"b?"'
    bench.answer("yes").slice()
    assert seen == ["a", "b", "b", "c"]
    assert bench.run.partials == ["a", "b", "c"]
    assert bench.result == ["yes"]
    assert [line.message for line in bench.run.lines if line.kind == "log"] == ["hears a", "hears b", "hears c"]


def test_a_stream_begins_behind_a_cursor_and_may_be_left() -> None:
    @local
    def listens(context: Any) -> Any:
        handle = context.spawn(words, ["a", "b", "c"])
        late = []
        stream = handle.stream(after=first[0] if first else 0)
        for word in stream:
            late.append(word)
            if word == "b":
                break
        stream.close()
        return [late, handle.join()]

    first: list[int] = []
    bench = Bench(listens)
    bench.slice()
    child = children_of(bench)[0]
    drive(bench, child)
    bench.slice()
    assert bench.result == [["a", "b"], "end"]
    first.append(next(number for number, line in enumerate(child.lines, 1) if line.kind == "partial"))
    store = MemoryStore()
    assert listens.invoke(store=store) == [["b"], "end"]


def test_a_stream_in_a_nested_call_begins_again_as_the_call_does() -> None:
    @local
    def inner(context: Any) -> Iterator[Any]:
        yield from context.spawn(words, ["a", "b"], ["c"]).stream()
        return "inner"

    @local
    def outer(context: Any) -> Iterator[Any]:
        heard = []
        for word in (nested := context.call(inner)):
            heard.append(word)
            yield word
        context.interrupt("then")
        yield "then"
        return [heard, nested.value]

    bench = Bench(outer)
    bench.slice()
    drive(bench, children_of(bench)[0])
    bench.slice()
    answer(bench)
    bench.slice()
    bench.answer(1).slice()
    assert bench.run.partials == ["a", "b", "c", "then"]
    assert bench.result == [["a", "b", "c"], "inner"]


def test_a_stream_longer_than_one_look_is_read_in_parts(monkeypatch: Any) -> None:
    monkeypatch.setattr(awaiting, "PARTIALS_AT_ONCE", 2)
    monkeypatch.setattr("django_tasks_durable.engine.childstream.PARTIALS_AT_ONCE", 2)

    @local
    def listens(context: Any) -> Iterator[Any]:
        yield from context.spawn(words, ["a", "b", "c", "d", "e"]).stream()

    bench = Bench(listens)
    bench.slice()
    drive(bench, children_of(bench)[0])
    while bench.run.status is RunStatus.READY:
        bench.slice()
    assert bench.run.partials == ["a", "b", "c", "d", "e"]
    assert bench.run.status is RunStatus.SUCCESSFUL


def test_a_coroutine_streams_a_child() -> None:
    @local
    async def listens(context: Any) -> AsyncIterator[Any]:
        handle = await context.aspawn(words, ["a", "b"])
        async for word in handle.astream():
            await context.astep("heard", str.upper, word)
            yield word
        context.finish(await handle.ajoin())

    assert asyncio.run(listens.ainvoke()) == "end"


def test_two_streams_of_two_children_in_turn() -> None:
    @local
    def listens(context: Any) -> Iterator[Any]:
        handles = [context.spawn(words, [name, name.upper()], key=name) for name in "ab"]
        for pair in zip(*(handle.stream() for handle in handles), strict=True):
            context.step("pair", list, pair)
            yield list(pair)
        return "end"

    store = MemoryStore()
    items = list(listens.stream(store=store))
    assert [item.partial for item in items] == [["a", "b"], ["A", "B"]]
