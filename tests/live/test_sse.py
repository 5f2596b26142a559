"""Server-sent events: the same words for who has no WebSocket, and partial results as they are written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient
from django.test import Client as SyncClient

from django_tasks_durable.live.tracker import Tracker
from django_tasks_durable.primitives.status import RunStatus, StepKind
from tests.doors.rows import a_run, a_waiting_run, later
from tests.doors.test_secrets import a_leaky_run, looked_for

from .client import assert_equals_the_database, write

awrite, a_run_a, a_waiting_run_a = (sync_to_async(each) for each in (write, a_run, a_waiting_run))
SECONDS = 15


class Source:
    """Hears events from a response, under ASGI or WSGI."""

    def __init__(self, response: Any) -> None:
        assert response.status_code == 200, response.content
        assert response["Content-Type"] == "text/event-stream"
        self.response = response
        self.chunks = response.streaming_content
        self.heard: list[dict[str, Any]] = []

    def read(self, chunk: bytes) -> dict[str, Any] | None:
        """Read one event; comments and retries are none."""
        fields = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines())
        if "event" not in fields:
            return None
        told = json.loads(fields["data"])
        assert told["type"] == fields["event"]
        self.heard.append(told | ({"last": int(fields["id"])} if "id" in fields else {}))
        return self.heard[-1]

    async def next(self) -> dict[str, Any]:
        """Hear the next event under ASGI."""
        while True:
            told = self.read(await asyncio.wait_for(anext(self.chunks), SECONDS))
            if told is not None:
                return told

    async def hear(self, type: str) -> dict[str, Any]:
        """Hear events until one of a type."""
        while (told := await self.next())["type"] != type:
            pass
        return told

    def next_sync(self) -> dict[str, Any]:
        """Hear the next event under WSGI."""
        while True:
            told = self.read(next(self.chunks))
            if told is not None:
                return told


@pytest.fixture
def fast(settings: Any) -> None:
    """Look often."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": {"poll_seconds": 0.02}}}


@pytest.fixture
async def browser(operator: User) -> AsyncClient:
    client = AsyncClient()
    await client.aforce_login(operator)
    return client


async def test_a_stream_says_what_the_websocket_says(browser: AsyncClient) -> None:
    run = await a_run_a()
    source = Source(await browser.get("/api/tasks/stream/", {"id": str(run.pk)}))
    tracker = Tracker()
    tracker.apply(await source.next())
    assert source.heard[0]["type"] == "bootstrap"
    await awrite(run.pk, count=3)
    while (told := await source.next())["type"] != "changed":
        assert tracker.apply(told)
    tracker.apply(told)
    await sync_to_async(assert_equals_the_database)(tracker, run.pk)
    await source.chunks.aclose()


def test_a_stream_tells_no_secret(fast: None, operator: User) -> None:
    a_leaky_run()
    client = SyncClient()
    client.force_login(operator)
    source = Source(client.get("/api/tasks/stream/", {"steps": 50}))
    told = json.dumps(source.next_sync())
    assert "in-the-open" in told
    looked_for("the stream", told)


async def test_a_stream_goes_on_behind_the_positions_in_its_address(browser: AsyncClient) -> None:
    run = await a_run_a()
    await awrite(run.pk, count=5)
    source = Source(await browser.get("/api/tasks/stream/", {"after": f"{run.pk}:4"}))
    told = await source.next()
    assert [line["sequence"] for line in told["runs"][0]["timeline"]] == [5, 6]
    await source.chunks.aclose()


def test_without_an_event_loop_a_stream_looks_by_itself(fast: None, operator: User) -> None:
    run = a_run()
    client = SyncClient()
    client.force_login(operator)
    source = Source(client.get("/api/tasks/stream/", {"steps": 5}))
    tracker = Tracker()
    tracker.apply(source.next_sync())
    write(run.pk, StepKind.STARTED, status=RunStatus.RUNNING)
    other = a_run()
    write(run.pk, count=600)
    while (
        len(tracker.tracked) < 2
        or tracker.positions[str(run.pk)] < 602
        or tracker.tracked[str(run.pk)].task["version"] < 3
    ):
        tracker.apply(source.next_sync())
    assert not tracker.needs_resync
    assert_equals_the_database(tracker, run.pk)
    assert_equals_the_database(tracker, other.pk)
    source.response.close()


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("stream/?id=17", 400, "bad_query"),
        ("stream/?after=17", 400, "bad_after"),
        ("stream/?after=01990000-0000-7000-8000-00000000000a:x", 400, "bad_after"),
        ("stream/?limit=x", 400, "bad_frame"),
        ("stream/?key=secret:x", 400, "bad_query"),
        (f"{uuid4()}/stream/", 404, "not_found"),
        (f"{uuid4()}/stream/?after=-1", 400, "bad_after"),
        (f"{uuid4()}/stream/?after=9999999999999999999999", 400, "bad_after"),
    ],
)
def test_what_cannot_be_understood_is_refused(operator: User, address: str, status: int, code: str) -> None:
    client = SyncClient()
    client.force_login(operator)
    answer = client.get(f"/api/tasks/{address}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_who_may_not_see_tasks_hears_nothing(user_with: Callable[..., User]) -> None:
    run = a_run()
    for address in ("stream/", f"{run.pk}/stream/"):
        assert SyncClient().get(f"/api/tasks/{address}").status_code == 401
    client = SyncClient()
    client.force_login(user_with())
    for address in ("stream/", f"{run.pk}/stream/"):
        assert client.get(f"/api/tasks/{address}").status_code == 403
    assert client.post("/api/tasks/stream/").status_code == 405


# --- partial results


async def test_partial_results_are_heard_as_they_are_written_and_then_the_end(browser: AsyncClient) -> None:
    run = await a_run_a(status=RunStatus.RUNNING, started_at=later(1))
    await awrite(run.pk, StepKind.PARTIAL, count=2)
    source = Source(await browser.get(f"/api/tasks/{run.pk}/stream/"))
    assert [(await source.hear("partial"))["last"] for _ in range(2)] == [2, 3]
    assert (await source.next())["task"]["state"] == "running"
    await awrite(run.pk, StepKind.LOG)
    await awrite(run.pk, StepKind.PARTIAL)
    assert (await source.next())["sequence"] == 5
    await awrite(run.pk, StepKind.SUCCEEDED, status=RunStatus.SUCCESSFUL, result='"done"', finished_at=later(9))
    assert (await source.hear("changed"))["task"]["result"] == "done"
    end = await source.next()
    assert (end["type"], end["last"], end["task"]["state"]) == ("end", 6, "succeeded")
    with pytest.raises(StopAsyncIteration):
        await anext(source.chunks)


async def test_a_page_that_comes_back_hears_each_partial_result_once(browser: AsyncClient) -> None:
    run = await a_run_a(status=RunStatus.RUNNING, started_at=later(1))
    await awrite(run.pk, StepKind.PARTIAL, count=700)
    heard: list[int] = []
    last = 0
    for count in (10, 590, 100):
        source = Source(await browser.get(f"/api/tasks/{run.pk}/stream/", headers={"Last-Event-ID": str(last)}))
        for _ in range(count):
            last = (await source.hear("partial"))["last"]
            heard.append(last)
        await source.chunks.aclose()
    assert heard == list(range(2, 702))


async def test_an_ended_task_with_nothing_behind_stops_the_browser(browser: AsyncClient) -> None:
    run = await a_run_a(status=RunStatus.SUCCESSFUL, result="1", finished_at=later(5))
    source = Source(await browser.get(f"/api/tasks/{run.pk}/stream/"))
    end = await source.hear("end")
    answer = await browser.get(f"/api/tasks/{run.pk}/stream/", headers={"Last-Event-ID": str(end["last"])})
    assert answer.status_code == 204


async def test_a_page_sees_the_question_that_is_asked(browser: AsyncClient) -> None:
    run = await a_waiting_run_a(request={"message": "wait", "password": "sesame"})
    source = Source(await browser.get(f"/api/tasks/{run.pk}/stream/"))
    told = await source.hear("changed")
    assert [wait["request"] for wait in told["task"]["questions"]] == [{"message": "wait", "password": "••••••"}]
    assert "token" not in json.dumps(told)
    await source.chunks.aclose()


def test_partial_results_without_an_event_loop(fast: None, operator: User) -> None:
    run = a_run(status=RunStatus.RUNNING, started_at=later(1))
    client = SyncClient()
    client.force_login(operator)
    source = Source(client.get(f"/api/tasks/{run.pk}/stream/"))
    assert source.next_sync()["type"] == "changed"
    write(run.pk, StepKind.PARTIAL, count=2)
    assert [source.next_sync()["last"] for _ in range(2)] == [2, 3]
    write(run.pk, StepKind.FAILED, status=RunStatus.FAILED, finished_at=later(5))
    assert [source.next_sync()["type"] for _ in range(2)] == ["changed", "end"]


def test_a_stream_holds_no_transaction_where_each_request_has_one(
    fast: None, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is streamed is made when the view has returned, and with it the transaction of ATOMIC_REQUESTS."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    run = a_run(status=RunStatus.RUNNING, started_at=later(1))
    depth = len(connection.savepoint_ids) + connection.in_atomic_block
    client = SyncClient()
    client.force_login(operator)
    source = Source(client.get(f"/api/tasks/{run.pk}/stream/"))
    assert source.next_sync()["type"] == "changed"
    assert len(connection.savepoint_ids) + connection.in_atomic_block == depth
    write(run.pk, StepKind.FAILED, status=RunStatus.FAILED, finished_at=later(5))
    assert [source.next_sync()["type"] for _ in range(2)] == ["changed", "end"]
