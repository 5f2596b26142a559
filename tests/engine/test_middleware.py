"""Middleware around enqueues and attempts, without a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone, translation

from django_tasks_durable import MemoryStore, get_context
from django_tasks_durable.authoring.middleware import ASYNC_CHAINS, CHAINS
from django_tasks_durable.conf import InvalidOptions
from django_tasks_durable.exceptions import MiddlewareMisused
from django_tasks_durable.primitives.status import RunStatus
from tests.engine import samples
from tests.engine.laboratory import Bench, local
from tests.engine.wrappers import HEARD

OURS = "django_tasks_durable.DurableBackend"
LANGUAGE = "django_tasks_durable.middleware.language_and_time_zone"
Heard = list[Any]


def around(*names: str) -> AbstractContextManager[None]:
    """Let these stand around all tasks; a name without a dot is one of tests.engine.wrappers."""
    paths = [name if "." in name else f"tests.engine.wrappers.{name}" for name in names]
    chosen: AbstractContextManager[None] = override_settings(
        TASKS={"default": {"BACKEND": OURS, "QUEUES": [], "OPTIONS": {"middleware": paths}}}
    )
    return chosen


@pytest.fixture(autouse=True)
def heard() -> Iterator[Heard]:
    HEARD.clear()
    yield HEARD
    HEARD.clear()


def at_once(error: BaseException, result: Any) -> float:
    """Try again without delay."""
    return 0


def function(context: Any) -> str:
    """Return."""
    return "done"


def generator(context: Any) -> Iterator[str]:
    """Yield and return."""
    yield "partial"
    return "done"


async def coroutine(context: Any) -> str:
    """Return, on the loop."""
    return "done"


async def agenerator(context: Any) -> AsyncIterator[str]:
    """Yield and finish, on the loop."""
    yield "partial"
    context.finish("done")


KINDS: list[Callable[..., Any]] = [function, generator, coroutine, agenerator]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_first_of_the_list_is_outermost_around_every_kind_of_body(kind: Callable[..., Any], heard: Heard) -> None:
    with around("outer", "inner"):
        bench = Bench(local(kind), metadata='{"seen_by":["x"]}')
        bench.slice()
    assert bench.result == "done"
    assert heard == [
        ("outer", "attempt", 1, ["x"]),
        ("inner", "attempt", 1, ["x"]),
        ("inner", "left", "done"),
        ("outer", "left", "done"),
    ]


def test_an_empty_list_is_no_chain_at_all() -> None:
    with around():
        assert (CHAINS["default"], ASYNC_CHAINS["default"]) == (None, None)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_wait_passes_through_and_each_stretch_is_wrapped(is_async: bool, heard: Heard) -> None:
    def asking(context: Any) -> Any:
        return context.interrupt("?")

    async def aasking(context: Any) -> Any:
        return await context.ainterrupt("?")

    with around("outer"):
        bench = Bench(local(aasking if is_async else asking))
        bench.slice()
        bench.answer("yes").slice()
    assert bench.result == "yes"
    assert [each[1:] for each in heard] == [
        ("attempt", 1, None),
        ("raised", "Suspend"),
        ("attempt", 1, None),
        ("left", "yes"),
    ]


@pytest.mark.parametrize("is_async", [False, True])
def test_one_that_raises_fails_the_attempt(is_async: bool) -> None:
    def working() -> None:
        pass

    async def aworking() -> None:
        pass

    with around("raising"):
        bench = Bench(local(aworking if is_async else working, max_attempts=2, backoff=at_once))
        bench.slice()
        assert (bench.run.status, bench.run.attempts) == (RunStatus.READY, 1)
        bench.slice()
    assert (bench.run.status, bench.run.attempts) == (RunStatus.FAILED, 2)
    assert bench.error()["message"] == "attempt 2 is refused"


def test_the_exception_of_a_body_is_seen_by_all_on_its_way(heard: Heard) -> None:
    def failing(context: Any) -> None:
        raise ValueError("ouch")

    with around("outer", "inner"):
        bench = Bench(local(failing))
        bench.slice()
    assert bench.error()["exception_class_path"] == "builtins.ValueError"
    assert heard[2:] == [("inner", "raised", "ValueError"), ("outer", "raised", "ValueError")]


@pytest.mark.parametrize("kind", [function, coroutine], ids=lambda kind: kind.__name__)
def test_what_one_returns_without_the_body_is_the_result(kind: Callable[..., Any]) -> None:
    with around("skipping"):
        bench = Bench(local(kind))
        bench.slice()
    assert bench.result == "skipped"


@pytest.mark.parametrize(
    ("name", "message"), [("twice", "get_outcome was called twice"), ("foreign", "pass on the context")]
)
def test_one_that_misuses_get_outcome_fails_the_attempt(name: str, message: str) -> None:
    with around(name):
        bench = Bench(local(function))
        bench.slice()
    assert message in bench.error()["message"]


def test_a_nested_call_is_not_wrapped(heard: Heard) -> None:
    def parent(context: Any) -> Any:
        return [context.call(samples.add, 1).value, samples.add(2)]

    with around("outer"):
        bench = Bench(local(parent))
        bench.slice()
    assert bench.result == [3, 4]
    assert len(heard) == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_compensations_are_wrapped_by_a_call_of_their_own(is_async: bool, heard: Heard) -> None:
    undone: list[int] = []

    def undo(value: int) -> None:
        undone.append(value)
        heard.append("undone")

    def failing(context: Any) -> None:
        context.step("book", lambda: 7, compensate=undo)
        raise ValueError("ouch")

    async def afailing(context: Any) -> None:
        await context.astep("book", lambda: 7, compensate=undo)
        raise ValueError("ouch")

    with around("outer"):
        bench = Bench(local(afailing if is_async else failing))
        bench.slice()
    assert (undone, bench.run.status) == ([7], RunStatus.FAILED)
    assert heard[2:] == [("outer", "undo", 1, None), "undone", ("outer", "left", None)]


def test_one_that_skips_the_compensations_fails_the_run_with_a_word_about_it() -> None:
    def failing(context: Any) -> None:
        context.step("book", lambda: 7, compensate=print)
        raise ValueError("ouch")

    with around("keeping"):
        bench = Bench(local(failing))
        bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert "from being undone" in bench.error()["message"]


def test_the_task_finds_the_metadata_and_cannot_change_them() -> None:
    def reading(context: Any) -> Any:
        with pytest.raises(TypeError):
            context.metadata["more"] = 1
        return [dict(context.metadata), context.max_attempts]

    bench = Bench(local(reading, max_attempts=3), metadata='{"team":"shop"}')
    bench.slice()
    assert bench.result == [{"team": "shop"}, 3]
    assert local(reading, metadata={"team": "shop"}).call() == [{"team": "shop"}, 1]


# --- inline


def test_a_call_without_a_worker_is_wrapped_as_enqueue_and_attempt(heard: Heard) -> None:
    with around("outer"):
        assert samples.add(1) == 3
        assert asyncio.run(samples.aadd(1)) == 3
    once = [
        ("outer", "enqueue", (((1,), {}),)),
        ("outer", "left", 1),
        ("outer", "attempt", 1, ["outer"]),
        ("outer", "left", 3),
    ]
    assert heard == once * 2


# --- enqueue, as far as a store in memory goes


def test_what_the_enqueue_adds_to_the_metadata_the_attempt_finds(heard: Heard) -> None:
    store = MemoryStore()
    with around("outer", "inner"):
        samples.add.stream(1, run_id="one", store=store).result()
    assert store.find("one").metadata == '{"seen_by":["outer","inner"]}'


@pytest.mark.parametrize("kind", [samples.add, samples.aadd], ids=lambda task: task.name)
def test_a_child_is_enqueued_through_the_middleware(kind: Any, heard: Heard) -> None:
    def parent(context: Any) -> Any:
        return context.spawn(kind, 1).join()

    async def aparent(context: Any) -> Any:
        return await (await context.aspawn(kind, 1)).ajoin()

    for body in (parent, aparent):
        heard.clear()
        with around("outer"):
            bench = Bench(local(body))
            bench.slice()
            (child,) = [run for run in bench.store.family(bench.run_id) if run.id != bench.run_id]
        assert child.metadata == '{"seen_by":["outer"]}'
        assert ("outer", "enqueue", (((1,), {}),)) in heard


def test_one_that_refuses_leaves_no_child() -> None:
    def parent(context: Any) -> Any:
        context.spawn(samples.add, 1)

    with around("refusing"):
        bench = Bench(local(parent))
        bench.slice()
    assert bench.error()["message"] == "not from here"
    assert len(bench.store.family(bench.run_id)) == 1


def test_one_that_loses_an_enqueue_is_told() -> None:
    with around("losing"), pytest.raises(MiddlewareMisused, match="was not enqueued"):
        samples.add.stream(1)._course.look()  # type: ignore[attr-defined]


# --- streams in process


@pytest.mark.parametrize("task", [samples.chat, samples.achat], ids=lambda task: task.name)
def test_a_stream_is_wrapped_and_hands_out_each_partial_when_it_comes(task: Any, heard: Heard) -> None:
    store = MemoryStore()
    with around("outer", LANGUAGE), translation.override("fr"):
        stream = task.stream("job", run_id="one", store=store)
        assert next(stream).partial == "processing job"
        assert [each[1] for each in heard] == ["enqueue", "left", "attempt"]
        assert next(stream).interrupt == {"message": "wait"}
        assert heard[3:] == [("outer", "raised", "Suspend")]
        assert task.resume("one", {"message": "ok"}, store=store).result() == ["job", {"message": "ok"}]
    assert heard[-1] == ("outer", "left", ["job", {"message": "ok"}])


@pytest.mark.parametrize("task", [samples.chat, samples.achat], ids=lambda task: task.name)
async def test_an_asynchronous_stream_is_wrapped(task: Any, heard: Heard) -> None:
    store = MemoryStore()
    with around("outer"):
        items = [item async for item in task.astream("job", run_id="one", store=store)]
        assert [item.partial for item in items] == ["processing job", None]
        assert await task.aresume("one", {"message": "ok"}, store=store).result() == ["job", {"message": "ok"}]
    assert [each[1] for each in heard] == ["enqueue", "left", "attempt", "raised", "attempt", "left"]


def test_a_stream_that_is_left_is_left_by_its_middleware_too(heard: Heard) -> None:
    store = MemoryStore()
    with around("outer"):
        stream = samples.chat.stream("job", run_id="one", store=store)
        next(stream)
        stream.close()
        assert heard[-1] == ("outer", "raised", "GeneratorExit")
        assert store.find("one").status is RunStatus.READY
        assert [item.partial for item in samples.chat.stream("job", run_id="one", store=store)] == [None]


async def test_an_asynchronous_stream_that_is_left_is_left_by_its_middleware_too(heard: Heard) -> None:
    store = MemoryStore()
    with around("outer"):
        stream = samples.achat.astream("job", run_id="one", store=store)
        await anext(stream)
        await stream.aclose()
    assert heard[-1] == ("outer", "raised", "GeneratorExit")
    assert store.find("one").status is RunStatus.READY


def test_what_fails_in_a_stream_is_raised_to_whoever_iterates(heard: Heard) -> None:
    with around("outer"), pytest.raises(ValueError, match="ouch"):
        samples.failing.stream().result()
    assert heard[-1] == ("outer", "raised", "ValueError")


# --- how they are made


def test_a_class_and_one_that_is_not_used_do_as_in_django(heard: Heard) -> None:
    with around("unused", "Polite"):
        Bench(local(function)).slice()
    assert heard == ["polite"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tests.engine.wrappers.missing", "cannot be imported"),
        ("no.such.module", "cannot be imported"),
        ("tests.engine.wrappers.HEARD", "cannot be called"),
        ("returns_a_coroutine", "returned <function _never"),
    ],
)
def test_one_that_cannot_be_used_is_named(path: str, message: str) -> None:
    with around(path), pytest.raises(InvalidOptions, match=message) as caught:
        CHAINS["default"]
    assert path in str(caught.value)


def test_a_synchronous_one_does_not_stand_around_coroutines() -> None:
    with around("sync_only"):
        Bench(local(function)).slice()
        bench = Bench(local(coroutine))
        bench.slice()
    assert "synchronous only" in bench.error()["message"]


# --- language and time zone


def told(context: Any) -> list[str]:
    """Tell what is active, and leave something else."""
    found = [translation.get_language(), timezone.get_current_timezone_name()]
    translation.activate("sv")
    timezone.activate("Asia/Tokyo")
    if get_context().attempt > 9:
        context.interrupt("never")
    return found


async def atold(context: Any) -> list[str]:
    """See told()."""
    return told(context)


@pytest.mark.parametrize("kind", [told, atold], ids=lambda kind: kind.__name__)
def test_a_task_works_in_the_language_and_the_time_zone_that_it_was_enqueued_in(kind: Any) -> None:
    before = translation.get_language(), timezone.get_current_timezone_name()
    with around(LANGUAGE):
        bench = Bench(local(kind), metadata='{"language":"fr","time_zone":"Europe/Paris"}')
        bench.slice()
        assert bench.result == ["fr", "Europe/Paris"]
        bench = Bench(local(kind), metadata='{"language":"de","time_zone":120}')
        bench.slice()
        assert bench.result == ["de", "+0200"]
        bench = Bench(local(kind))
        bench.slice()
        assert tuple(bench.result) == before
    assert (translation.get_language(), timezone.get_current_timezone_name()) == before


def test_a_task_that_raises_or_waits_leaves_no_language_behind() -> None:
    def leaving(context: Any) -> None:
        translation.activate("sv")
        if context.attempt == 1:
            raise ValueError("ouch")
        context.interrupt("?")

    before = translation.get_language()
    with around(LANGUAGE):
        bench = Bench(local(leaving, max_attempts=2, backoff=at_once), metadata='{"language":"fr"}')
        bench.slice()
        assert translation.get_language() == before
        bench.slice()
        assert (bench.run.status, translation.get_language()) == (RunStatus.WAITING, before)


def test_the_language_of_whoever_enqueues_is_kept_unless_the_call_names_one() -> None:
    store = MemoryStore()
    with around(LANGUAGE), translation.override("fr"), timezone.override("Europe/Paris"):
        samples.add.stream(1, run_id="one", store=store).result()
        samples.add.using(metadata={"language": "de"}).stream(1, run_id="two", store=store).result()
    assert store.find("one").metadata == '{"language":"fr","time_zone":"Europe/Paris"}'
    assert store.find("two").metadata == '{"language":"de","time_zone":"Europe/Paris"}'
