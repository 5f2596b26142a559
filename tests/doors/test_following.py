"""Following a run from outside: its partial results as they are committed."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_tasks_durable import testing
from example_project.chat.tasks import chapter, tell

pytestmark = pytest.mark.django_db(transaction=True)


def test_partials_are_streamed_to_the_end_of_the_run() -> None:
    result: Any = chapter.enqueue("Claims", 3)
    testing.drain()

    items = list(result.stream(timeout=5))
    assert [item.partial for item in items] == ["Claims, page 1", "Claims, page 2", "Claims, page 3"]
    assert [item.partial for item in result.stream(after=items[0].sequence)] == ["Claims, page 2", "Claims, page 3"]
    assert list(result.stream(after=items[-1].sequence)) == []


def test_a_stream_goes_on_with_what_comes_while_it_waits() -> None:
    result: Any = tell.enqueue("once upon", "a time")
    testing.drain()
    told: list[str] = []

    def answer() -> None:
        try:
            result.resume(True)
            testing.drain()
        finally:
            connections.close_all()

    follower = threading.Timer(0.2, answer)
    for item in result.stream(timeout=20):
        told.append(item.partial)
        if len(told) == 2:
            follower.start()
    follower.join(20)
    assert told == ["once", "upon", "a", "time"]


def test_a_stream_without_news_ends_after_its_patience() -> None:
    result: Any = tell.enqueue("once", "upon")
    testing.drain()
    stream = result.stream(timeout=0.1)
    assert next(stream).partial == "once"
    with pytest.raises(TimeoutError):
        next(stream)


def test_inside_a_transaction_nothing_new_could_be_seen() -> None:
    result: Any = tell.enqueue("once", "upon")
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic():
        next(result.stream())


async def test_a_coroutine_follows_too() -> None:
    result: Any = await chapter.aenqueue("Leases", 2)
    await sync_to_async(testing.drain, thread_sensitive=True)()
    assert [item.partial async for item in result.astream(timeout=5)] == ["Leases, page 1", "Leases, page 2"]
