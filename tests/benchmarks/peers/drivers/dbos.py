"""DBOS: asynchronous workflows on a queue that is looked at every 50 ms (its default is a second), 200 at once in a worker."""

from __future__ import annotations

import asyncio
import threading
import time

from dbos import DBOS, DBOSClient, DBOSConfig

from tests.benchmarks.peers.drivers import kit

QUEUE = "peer"


@DBOS.workflow(name="noop")
async def noop(number: int) -> None:
    """Do nothing."""
    kit.TALLY.hit()


@DBOS.workflow(name="late")
async def late(sent: float) -> None:
    """Tell how late it is."""
    kit.TALLY.hit_late(sent)


@DBOS.step(name="step")
async def step(number: int) -> int:
    """Return the number."""
    return number


@DBOS.workflow(name="steps")
async def steps(count: int) -> None:
    """Take so many steps."""
    for number in range(count):
        await step(number)
        kit.TALLY.hit()


@DBOS.workflow(name="resumed")
async def resumed(count: int) -> float:
    """Take so many steps and return how many milliseconds they took."""
    began = time.monotonic()
    for number in range(count):
        await step(number)
    return (time.monotonic() - began) * 1000


def _launch() -> None:
    config: DBOSConfig = {
        "name": "peer",
        "system_database_url": kit.URL,
        "application_version": "1",
        "console_log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=200, polling_interval_sec=0.05)


def _client() -> DBOSClient:
    return DBOSClient(system_database_url=kit.URL)


def prepare() -> None:
    """Make the tables and the queue."""
    _launch()
    DBOS.destroy()


def enqueue(count: int) -> None:
    """Send workflows one at a time."""
    client = _client()
    kit.rate(
        count,
        lambda: [
            client.enqueue({"queue_name": QUEUE, "workflow_name": "noop", "app_version": "1"}, number)
            for number in range(count)
        ],
    )


def pickup(count: int) -> None:
    """Send workflows that tell how late they are."""
    client = _client()
    kit.send_each(
        count,
        lambda sent: client.enqueue({"queue_name": QUEUE, "workflow_name": "late", "app_version": "1"}, sent),
    )


def workflows(count: int, of: int) -> None:
    """Send workflows of so many steps."""
    client = _client()
    for _number in range(count):
        client.enqueue({"queue_name": QUEUE, "workflow_name": "steps", "app_version": "1"}, of)


def work(at_once: int = 1) -> None:
    """Run a worker."""
    kit.TALLY.start()
    _launch()
    threading.Event().wait()


def resume(count: int) -> None:
    """Fork a workflow behind its last step and tell how long the copy takes to get there."""
    _launch()

    async def measure() -> float:
        first = await DBOS.start_workflow_async(resumed, count)
        await first.get_result()
        copy = await DBOS.fork_workflow_async(first.get_workflow_id(), count + 1)
        return await copy.get_result()

    kit.say(ms=asyncio.run(measure()))
    DBOS.destroy()


def main() -> None:
    """Do what the command line says."""
    kit.run(prepare=prepare, enqueue=enqueue, pickup=pickup, workflows=workflows, work=work, resume=resume)
