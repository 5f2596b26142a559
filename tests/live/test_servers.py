"""The live wire through real servers, with a worker in another process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from django_tasks_durable.live.tracker import Tracker
from tests.probe import tasks
from tests.store import acts

from .client import assert_equals_the_database
from .servers import HOST, Server, cookie_of


@pytest.fixture(params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, child_environment: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    pytest.importorskip(request.param)
    server = Server(request.param, child_environment, tmp_path / "server.log")
    server.start()
    yield server
    server.kill()


async def follow(server: Server, cookie: str, tracker: Tracker, until: Callable[[], bool]) -> None:
    """Follow all tasks until something is so."""
    async with server.socket(cookie) as wire:
        await wire.say("subscribe", after=tracker.positions)
        while not until():
            tracker.apply(await wire.next())
            assert not tracker.needs_resync


@pytest.mark.slow
async def test_a_worker_elsewhere_is_followed_across_a_restart_of_the_server(
    server: Server, manage: Callable[..., Any], operator: User
) -> None:
    cookie = await sync_to_async(cookie_of)(operator)
    run_id = str(await sync_to_async(acts.enqueue)(tasks.partials, 300))
    tracker = Tracker()
    manage("runtasks")
    await follow(server, cookie, tracker, lambda: tracker.positions.get(run_id, 0) > 3)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await follow(server, cookie, tracker, lambda: tracker.tracked[run_id].task["state"] == "succeeded")
    await sync_to_async(assert_equals_the_database)(tracker, UUID(run_id))


@pytest.mark.slow
def test_partial_results_stream_through_a_real_server(
    server: Server, manage: Callable[..., Any], operator: User
) -> None:
    run_id = acts.enqueue(tasks.partials, 50)
    address = f"http://{HOST}:{server.port}/api/tasks/{run_id}/stream/"
    request = Request(address, headers={"Cookie": cookie_of(operator)})
    heard, event = [], ""
    with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
        manage("runtasks")
        for raw in answer:
            name, _, value = raw.decode().strip().partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "partial":
                heard.append(json.loads(value)["partial"])
            elif name == "data" and event == "end":
                break
    assert heard == [f"part {number}" for number in range(50)]
