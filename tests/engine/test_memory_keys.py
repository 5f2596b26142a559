"""Keys of runs that are streamed in process: the same rules as in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_tasks_durable import MemoryStore, task
from django_tasks_durable.exceptions import DuplicateTask, IdempotencyConflict, Interrupted
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus


@task
def asks_first(context: Any, value: int) -> list[Any]:
    """Wait for an answer and give it back beside the argument."""
    return [value, context.interrupt("go on?")]


@task
def gives_back(value: int) -> int:
    """Return what came."""
    return value


@pytest.fixture
def stopped() -> Iterator[None]:
    """Stop the clock."""
    clock.freeze()
    yield
    clock.unfreeze()


def begin(call: Any, value: int, store: MemoryStore) -> Any:
    """Drive a run to its question, and return the run."""
    stream = call.stream(value, store=store)
    with pytest.raises(Interrupted):
        stream.result()
    return store.find(stream._course.seat.run_id)


def test_a_second_stream_with_the_same_dedupe_key_is_of_the_first_run() -> None:
    store, call = MemoryStore(), asks_first.using(dedupe_key="a")
    first = begin(call, 1, store)

    assert begin(call, 2, store) is first
    with pytest.raises(DuplicateTask):
        call.using(on_duplicate="reject").invoke(3, store=store)
    assert asks_first.resume(first.name, "yes", store=store).result() == [1, "yes"]
    assert begin(call, 4, store) is not first


def test_a_newer_run_supersedes_the_open_one() -> None:
    store, call = MemoryStore(), asks_first.using(supersede_key="a")
    first, second = begin(call, 1, store), begin(call, 2, store)

    assert (first.status, first.error_code, second.status) == (RunStatus.CANCELLED, "SUPERSEDED", RunStatus.WAITING)
    assert [line.message for line in first.lines][-1] == f"Superseded by {second.id}"


def test_an_idempotency_key_gives_the_value_of_the_run_that_had_it() -> None:
    store, call = MemoryStore(), gives_back.using(idempotency_key="request-1")

    assert call.invoke(1, store=store) == call.invoke(1, store=store) == 1
    assert len(store._runs) == 1
    with pytest.raises(IdempotencyConflict):
        call.invoke(2, store=store)


def test_a_debounced_run_takes_the_latest_arguments(stopped: None) -> None:
    store, call = MemoryStore(), gives_back.using(dedupe_key="a", debounce=timedelta(seconds=30))
    early = call.stream(1, store=store)
    assert early._course.look().due_at == store.now() + timedelta(seconds=30)
    assert call.invoke(2, store=store) == 2
    assert early.result() == 2


def test_the_callers_id_may_be_given_with_using() -> None:
    store = MemoryStore()
    begin(asks_first.using(run_id="demo"), 1, store)

    assert asks_first.resume("demo", "yes", store=store).result() == [1, "yes"]
