"""How soon a browser hears of a commit, and what a thousand of them cost one server."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, connections
from django.test.runner import DiscoverRunner

from django_tasks_durable.live import notify
from django_tasks_durable.primitives.status import RunStatus
from example_project import databases
from tests.doors.rows import a_run
from tests.live.client import write
from tests.live.servers import Server, cookie_of

EVENTS_BEFORE = 10
PAUSE_SECONDS = 0.05
# One thread writes, so that one connection does.
HANDS = ThreadPoolExecutor(1)


def measure(*, clients: int, events: int, server: str) -> int:
    """Start a server, connect one client and then many, and print how late each heard of each commit. Return 0."""
    _lift_limits()
    runner = DiscoverRunner(interactive=False, verbosity=0)
    before = runner.setup_databases()
    try:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), clients, events, server)
    finally:
        runner.teardown_databases(before)
    return 0


def _lift_limits() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _measure(folder: Path, clients: int, events: int, name: str) -> None:
    cookie = cookie_of(User.objects.create_superuser("root"))
    environment = {
        **os.environ,
        "DATABASE_URL": databases.to_url(connection.settings_dict),
        "TEST_OPTIONS": '{"sockets_per_user": 100000}',
    }
    server = Server(name, environment, folder / "server.log")
    server.start()
    try:
        print(f"{connection.vendor}, {name}, {os.cpu_count()} cores:", flush=True)
        for number in (1, clients):
            asyncio.run(_crowd(server, cookie, number, events, PAUSE_SECONDS if number == 1 else 1.0))
    finally:
        server.kill()
        HANDS.submit(connections.close_all).result()
        notify.close()


async def _do(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(HANDS, partial(function, *args, **named))


async def _crowd(server: Server, cookie: str, clients: int, events: int, pause: float) -> None:
    run = await _do(a_run, status=RunStatus.RUNNING)
    committed: dict[int, float] = {}
    late: list[float] = []
    heard = asyncio.Semaphore(0)
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        gate = asyncio.Semaphore(50)  # as many handshakes at once
        joined = asyncio.Semaphore(0)
        last = EVENTS_BEFORE + events + 1
        for _ in range(clients):
            group.create_task(_listen(server, cookie, str(run.pk), last, gate, joined, heard, committed, late))
        for _ in range(clients):
            await joined.acquire()
        ready = time.monotonic() - started
        asked = await _do(_statements)
        for number in range(2, last + 1):
            await _do(_commit, run.pk, number, committed)
            await asyncio.sleep(pause)
        for _ in range(clients):
            await heard.acquire()
        asked = await _do(_statements) - asked
        memory = server.resident_bytes / 2**20
    late.sort()
    p99 = statistics.quantiles(late, n=100)[98] if len(late) > 1 else late[0]
    cost = f", {asked / (events + EVENTS_BEFORE):.1f} transactions per event" if asked else ""
    print(
        f"{clients:6,} clients ({ready:.1f} s to connect): {statistics.median(late) * 1000:7.1f} ms p50, {p99 * 1000:7.1f} ms p99, "
        f"{late[-1] * 1000:7.1f} ms at most over {len(late):,} messages; {memory:.0f} MB{cost}",
        flush=True,
    )


async def _listen(
    server: Server,
    cookie: str,
    run_id: str,
    last: int,
    gate: asyncio.Semaphore,
    joined: asyncio.Semaphore,
    heard: asyncio.Semaphore,
    committed: dict[int, float],
    late: list[float],
) -> None:
    await gate.acquire()
    async with server.socket(cookie) as wire:
        await wire.say("subscribe", query={"ids": [run_id]})
        await wire.hear("bootstrap")
        gate.release()
        joined.release()
        sequence = 1
        while sequence < last:
            told: dict[str, Any] = await wire.hear("step")
            now = time.monotonic()
            sequence = told["step"]["sequence"]
            if sequence > EVENTS_BEFORE + 1:
                late.append(max(0.0, now - committed.get(sequence, now)))
        heard.release()


def _commit(run_id: Any, number: int, committed: dict[int, float]) -> None:
    # As soon as the commit is on its way: what a message overtakes counts as nothing.
    write(run_id)
    committed[number] = time.monotonic()


def _statements() -> int:
    """Count what the server has committed so far, less what is ours; only PostgreSQL tells."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1.1)  # what the other connections have done is told with a delay
        cursor.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
