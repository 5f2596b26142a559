"""How soon a browser hears of a commit, and what a thousand of them cost one server."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, connections

from django_tasks_durable.primitives.status import RunStatus
from example_project import databases
from tests.benchmarks import scratch
from tests.benchmarks.listener import Listener
from tests.doors.rows import a_run
from tests.live.client import write
from tests.live.servers import HOST, Server, cookie_of

EVENTS_BEFORE = 10
HANDSHAKES = 20  # at once
TRIES = 5
PATIENCE = 300.0
# One thread writes, so that one connection does.
HANDS = ThreadPoolExecutor(1)


def measure(*, clients: list[int], events: int, pause: float, server: str) -> int:
    """Start a server, connect a few clients and then many, and print how late each heard of each commit. Return 0.

    The many follow one run first, and then each its own. ``pause`` is the seconds between two commits.
    """
    _lift_limits()
    with scratch.database(), tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), clients, events, pause, server)
    return 0


def _lift_limits() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _measure(folder: Path, clients: list[int], events: int, pause: float, name: str) -> None:
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
        for number in clients:
            asyncio.run(_crowd(server, cookie, number, events, pause, is_apart=False))
        if clients[-1] > 1:
            asyncio.run(_crowd(server, cookie, clients[-1], events, pause, is_apart=True))
    finally:
        server.kill()
        HANDS.submit(connections.close_all).result()


async def _do(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(HANDS, partial(function, *args, **named))


async def _crowd(server: Server, cookie: str, clients: int, events: int, pause: float, *, is_apart: bool) -> None:
    """Let clients follow one run, or each its own, and tell how late they heard."""
    runs = [(await _do(a_run, status=RunStatus.RUNNING)).pk for _ in range(clients if is_apart else 1)]
    committed: dict[tuple[int, int], float] = {}
    heard: list[tuple[tuple[int, int], float]] = []
    expected = (EVENTS_BEFORE + events) * (1 if is_apart else clients)
    is_all = asyncio.Event()

    def hear(number: int, sequence: int, at: float) -> None:
        heard.append(((number, sequence), at))
        if len(heard) == expected:
            is_all.set()

    started = time.monotonic()
    gate = asyncio.Semaphore(HANDSHAKES)
    listeners = await asyncio.gather(
        *(
            _join(server, cookie, str(runs[each % len(runs)]), partial(hear, each % len(runs)), gate)
            for each in range(clients)
        )
    )
    ready = time.monotonic() - started
    try:
        for _ in range(EVENTS_BEFORE):
            await _do(write, runs[0])
            await asyncio.sleep(pause)
        asked, received = await _do(_statements), sum(each.received for each in listeners)
        busy = server.busy_seconds
        positions = Counter(dict.fromkeys(range(len(runs)), 1)) + Counter({0: EVENTS_BEFORE})
        for event in range(events):
            number = event % len(runs)
            positions[number] += 1
            await _do(write, runs[number])
            committed[number, positions[number]] = time.monotonic()
            await asyncio.sleep(pause)
        await asyncio.wait_for(is_all.wait(), PATIENCE)
        busy = server.busy_seconds - busy
        asked = await _do(_statements) - asked - events
        received = sum(each.received for each in listeners) - received
    finally:
        for each in listeners:
            each.leave()
    # What overtakes the commit's own answer counts as nothing.
    late = sorted(max(0.0, at - committed[place]) for place, at in heard if place in committed)
    p99 = statistics.quantiles(late, n=100)[98] if len(late) > 1 else late[0]
    cost = f", {asked / events:.1f} transactions per event" if connection.vendor == "postgresql" else ""
    print(
        f"{clients:6,} clients of {'a run each' if is_apart else 'one run':10} ({ready:.1f} s to connect): "
        f"{statistics.median(late) * 1000:7.1f} ms p50, {p99 * 1000:7.1f} ms p99, {late[-1] * 1000:7.1f} ms at most, "
        f"{busy / events * 1000:6.1f} ms of processor per event, over "
        f"{len(late):,} lines in {received:,} frames; {server.resident_bytes / 2**20:.0f} MB{cost}",
        flush=True,
    )


async def _join(
    server: Server, cookie: str, run_id: str, hear: Callable[[int, float], None], gate: asyncio.Semaphore
) -> Listener:
    """Connect as a browser does: a server that is busy is asked again."""
    for patience in range(TRIES, -1, -1):
        async with gate:
            made = partial(Listener, HOST, server.port, cookie, run_id, hear)
            try:
                _, listener = await asyncio.get_running_loop().create_connection(made, HOST, server.port)
                await asyncio.wait_for(listener.joined, PATIENCE)
                return listener
            except OSError:
                if not patience:
                    raise
        await asyncio.sleep(1)
    raise AssertionError


def _statements() -> int:
    """Count what was committed so far, by anybody; only PostgreSQL tells."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        time.sleep(1.1)  # what the other connections have done is told with a delay
        cursor.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
