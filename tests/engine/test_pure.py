"""``pure=True``: a step whose value need not be durable before the body goes on, only before anything that cannot be done again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_tasks_durable import MemoryStore
from django_tasks_durable.engine import owing
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import SaveCheckpoint, SetProgress, Write
from tests.engine.laboratory import Bench, Killed, MortalStore, local


class Told:
    """A store that notes what was handed over, and whether somebody waited for it."""

    def __init__(self, store: Any) -> None:
        self.inner = store
        self.seen: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _note(self, how: str, write: Write) -> None:
        if isinstance(write, SaveCheckpoint):
            self.seen.append((how, write.checkpoint.path))
        elif isinstance(write, SetProgress):
            self.seen.append((how, "nothing"))

    def submit(self, write: Write) -> None:
        self._note("submitted", write)
        self.inner.submit(write)

    def commit(self, write: Write) -> Any:
        self._note("waited for", write)
        return self.inner.commit(write)

    def keep(self, write: Write) -> Any:
        self._note("waited for", write)
        return self.inner.keep(write)


def test_nobody_waits_for_a_pure_step_until_one_that_is_not_begins(store: MemoryStore) -> None:
    @local
    def works(context):  # type: ignore[no-untyped-def]
        one = context.step("one", lambda: 1, pure=True)
        two = context.step("two", lambda: one + 1, pure=True)
        seen = context.step("three", lambda: list(told.seen))
        context.step("four", lambda: 4)
        return [two, seen]

    bench = Bench(works, store=store)
    told = Told(store)
    bench.slice(store=told)

    before = [("submitted", "step:one"), ("submitted", "step:two"), ("waited for", "nothing")]
    assert told.seen == [
        *before,
        ("waited for", "step:three"),
        ("waited for", "step:four"),
    ]
    assert bench.result == [2, before]
    assert bench.run.status is RunStatus.SUCCESSFUL


def test_it_is_remembered_like_any_other(store: MemoryStore) -> None:
    calls = []

    @local
    def works(context):  # type: ignore[no-untyped-def]
        value = context.step("one", lambda: calls.append(1) or len(calls), pure=True)
        context.interrupt("go on?")
        return value

    bench = Bench(works, store=store)
    bench.slice()
    bench.answer("yes").slice()
    assert (bench.result, calls) == (1, [1])
    assert [line.kind.value for line in bench.run.lines].count("step") == 1


@pytest.mark.parametrize(("death", "pure", "other"), [((1, False), 2, 1), ((1, True), 1, 1), ((2, False), 1, 2)])
def test_what_was_not_durable_at_the_death_of_a_worker_is_done_again(
    death: tuple[int, bool], pure: int, other: int
) -> None:
    done = []

    @local
    def works(context):  # type: ignore[no-untyped-def]
        context.step("pure", lambda: done.append("pure"), pure=True)
        context.step("other", lambda: done.append("other"))

    store = MortalStore(dict([death]))
    bench = Bench(works, store=store)
    with pytest.raises(Killed):
        bench.slice()
    assert done.count("other") == (death[0] == 2)  # never begun before the pure one is durable
    store.revive(bench.run_id)
    bench.slice()
    assert bench.run.status is RunStatus.SUCCESSFUL
    assert (done.count("pure"), done.count("other")) == (pure, other)


async def _one() -> int:
    return 1


def test_a_coroutine_may_be_pure(store: MemoryStore) -> None:
    @local
    async def works(context):  # type: ignore[no-untyped-def]
        first = await context.astep("one", _one, pure=True)
        await asyncio.sleep(0)
        return await context.astep("two", lambda: first + 1, pure=True)

    bench = Bench(works, store=store)
    bench.slice()
    assert bench.result == 2
    assert set(bench.checkpoints) == {"step:one", "step:two"}


def test_branches_wait_for_their_own(store: MemoryStore) -> None:
    @local
    def works(context):  # type: ignore[no-untyped-def]
        def branch(context, number):  # type: ignore[no-untyped-def]
            value = context.step("pure", lambda: number, pure=True)
            return context.step("other", lambda: value + 1)

        return context.gather({"a": lambda context: branch(context, 1), "b": lambda context: branch(context, 2)})

    bench = Bench(works, store=store)
    told = Told(store)
    bench.slice(store=told)
    assert bench.result == {"a": 2, "b": 3}
    assert [path for how, path in told.seen if how == "submitted"] == [
        path for path in bench.checkpoints if path.endswith("step:pure")
    ]
    assert told.seen.count(("waited for", "nothing")) == 2


def test_branches_begin_when_what_came_before_them_is_durable(store: MemoryStore) -> None:
    seen = {}

    @local
    def works(context):  # type: ignore[no-untyped-def]
        def branch(context, name):  # type: ignore[no-untyped-def]
            seen[name] = list(told.seen)
            return context.step("other", lambda: name)

        context.step("pure", lambda: 1, pure=True)
        return context.gather({name: lambda context, name=name: branch(context, name) for name in "ab"})

    bench = Bench(works, store=store)
    told = Told(store)
    bench.slice(store=told)
    assert seen["a"][:2] == [("submitted", "step:pure"), ("waited for", "nothing")]


def test_a_poll_begins_when_what_came_before_is_durable(store: MemoryStore) -> None:
    @local
    def works(context):  # type: ignore[no-untyped-def]
        context.step("pure", lambda: 1, pure=True)
        return context.poll("there", lambda: list(told.seen), every=1)

    bench = Bench(works, store=store)
    told = Told(store)
    bench.slice(store=told)
    assert bench.result == [("submitted", "step:pure"), ("waited for", "nothing")]


def test_one_is_waited_for_when_too_many_are_on_their_way(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owing, "MOST_OWED", 2)

    @local
    def works(context):  # type: ignore[no-untyped-def]
        for number in range(6):
            context.step(f"{number}", lambda: 1, pure=True)

    bench = Bench(works, store=store)
    told = Told(store)
    bench.slice(store=told)
    assert [how for how, _ in told.seen] == ["submitted", "submitted", "waited for"] * 2


def test_a_failed_try_of_a_pure_step_is_told(store: MemoryStore) -> None:
    tries = []

    @local
    def works(context):  # type: ignore[no-untyped-def]
        def flaky():  # type: ignore[no-untyped-def]
            tries.append(1)
            if len(tries) == 1:
                raise ValueError("not yet")
            return len(tries)

        return context.step("flaky", flaky, pure=True, max_attempts=2, backoff=lambda error, result: 0)

    bench = Bench(works, store=store)
    bench.slice()
    assert bench.result == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"atomic": True}, "pure=True with atomic=True"),
        ({"compensate": print}, "pure=True with compensate="),
    ],
)
def test_what_does_more_than_return_a_value_is_not_pure(store: MemoryStore, options: dict[str, Any], said: str) -> None:
    @local
    def works(context):  # type: ignore[no-untyped-def]
        return context.step("one", print, pure=True, **options)

    bench = Bench(works, store=store)
    bench.slice()
    assert said in bench.error()["message"]


def test_pure_is_true_or_false(store: MemoryStore) -> None:
    @local
    def works(context):  # type: ignore[no-untyped-def]
        return context.step("one", print, pure="yes")

    bench = Bench(works, store=store)
    bench.slice()
    assert "pure='yes': give True or False." in bench.error()["message"]
