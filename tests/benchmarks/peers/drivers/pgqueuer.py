"""pgqueuer on asyncpg and uvloop, in batches of 100: done jobs are deleted and logged in a table beside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from tests.benchmarks.peers.drivers import kit


def _with_queries(use: Callable[[Queries], Awaitable[Any]]) -> None:
    async def connected() -> None:
        connection = await asyncpg.connect(kit.URL)
        await use(Queries(AsyncpgDriver(connection)))
        await connection.close()

    uvloop.run(connected())


def prepare() -> None:
    """Make the tables."""
    _with_queries(lambda queries: queries.install())


def enqueue(count: int) -> None:
    """Send jobs one at a time."""

    async def send(queries: Queries) -> None:
        began = time.monotonic()
        for number in range(count):
            await queries.enqueue("noop", str(number).encode())
        kit.say(per_s=count / (time.monotonic() - began))

    _with_queries(send)


def bulk(count: int) -> None:
    """Send many jobs at once."""

    async def send(queries: Queries) -> None:
        began = time.monotonic()
        await queries.enqueue(["noop"] * count, [str(number).encode() for number in range(count)], [0] * count)
        kit.say(per_s=count / (time.monotonic() - began))

    _with_queries(send)


def pickup(count: int) -> None:
    """Send jobs that tell how late they are."""

    async def send(queries: Queries) -> None:
        for _number in range(count):
            await queries.enqueue("late", repr(time.monotonic()).encode())
            await asyncio.sleep(0.03)

    _with_queries(send)


def work() -> None:
    """Run a worker."""

    async def serve() -> None:
        queuer = PgQueuer.from_asyncpg_connection(await asyncpg.connect(kit.URL))

        @queuer.entrypoint("noop")
        async def noop(job: Job) -> None:
            kit.TALLY.hit()

        @queuer.entrypoint("late")
        async def late(job: Job) -> None:
            kit.TALLY.hit_late(float(job.payload or b"0"))

        await queuer.run(batch_size=100)

    kit.TALLY.start()
    uvloop.run(serve())


def main() -> None:
    """Do what the command line says."""
    kit.run(prepare=prepare, enqueue=enqueue, bulk=bulk, pickup=pickup, work=work)
