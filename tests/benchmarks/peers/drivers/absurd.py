"""Absurd: no-ops by its synchronous worker in batches of 100; many workflows at once by its asynchronous one, 50 at once."""

from __future__ import annotations

import asyncio
import importlib.resources
import sys
import time
from typing import Any

import psycopg
from absurd_sdk import Absurd, AsyncAbsurd

from tests.benchmarks.peers.drivers import kit

QUEUE = "peer"


def prepare() -> None:
    """Make the tables, from the SQL that django-absurd carries, since the SDK carries none."""
    sql = importlib.resources.files("django_absurd.migrations").joinpath("0001_initial_0_5_0.sql").read_text()
    with psycopg.connect(kit.URL, autocommit=True) as connection:
        connection.execute(sql)
    Absurd(kit.URL, queue_name=QUEUE).create_queue(QUEUE)


def enqueue(count: int) -> None:
    """Send jobs one at a time."""
    app = Absurd(kit.URL, queue_name=QUEUE)
    kit.rate(count, lambda: [app.spawn("noop", {"number": number}, queue=QUEUE) for number in range(count)])


def pickup(count: int) -> None:
    """Send jobs that tell how late they are."""
    app = Absurd(kit.URL, queue_name=QUEUE)
    kit.send_each(count, lambda sent: app.spawn("late", {"sent": sent}, queue=QUEUE))


def workflows(count: int, steps: int) -> None:
    """Send workflows."""
    app = Absurd(kit.URL, queue_name=QUEUE)
    for _number in range(count):
        app.spawn("steps", {"count": steps}, queue=QUEUE)


def work(at_once: int = 1) -> None:
    """Run a worker; one that does several at once is asynchronous."""
    kit.TALLY.start()
    if at_once > 1:
        asyncio.run(_work(at_once))
        return
    app = Absurd(kit.URL, queue_name=QUEUE)

    @app.register_task(name="noop", queue=QUEUE)
    def noop(params: Any, context: Any) -> None:
        kit.TALLY.hit()

    @app.register_task(name="late", queue=QUEUE)
    def late(params: Any, context: Any) -> None:
        kit.TALLY.hit_late(params["sent"])

    @app.register_task(name="steps", queue=QUEUE)
    def steps(params: Any, context: Any) -> None:
        for number in range(params["count"]):
            context.step(f"step-{number}", lambda number=number: number)
            kit.TALLY.hit()

    app.start_worker(batch_size=100, poll_interval=0.05)


async def _work(at_once: int) -> None:
    app = AsyncAbsurd(kit.URL, queue_name=QUEUE)

    @app.register_task(name="steps", queue=QUEUE)
    async def steps(params: Any, context: Any) -> None:
        for number in range(params["count"]):
            await context.step(f"step-{number}", lambda number=number: asyncio.sleep(0, number))
            kit.TALLY.hit()

    await app.start_worker(concurrency=at_once, poll_interval=0.05)


def resume(count: int) -> None:
    """Let a workflow fail after so many steps, and tell how long its next attempt takes to get there again."""
    app = Absurd(kit.URL, queue_name=QUEUE)
    attempts = []

    @app.register_task(name="fails-once", queue=QUEUE)
    def fails_once(params: Any, context: Any) -> None:
        began = time.monotonic()
        for number in range(count):
            context.step(f"step-{number}", lambda number=number: number)
        attempts.append((time.monotonic() - began) * 1000)
        if len(attempts) == 1:
            raise RuntimeError("once")

    app.spawn("fails-once", {}, queue=QUEUE, max_attempts=2, retry_strategy={"kind": "none"})
    while len(attempts) < 2:
        app.work_batch()
    kit.say(ms=attempts[1])
    sys.stdout.flush()


def main() -> None:
    """Do what the command line says."""
    kit.run(prepare=prepare, enqueue=enqueue, pickup=pickup, workflows=workflows, work=work, resume=resume)
