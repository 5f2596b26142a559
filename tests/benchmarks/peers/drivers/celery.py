"""Celery with a Redis that appends to its file every second: acks late, one solo process (the quickest for no-ops), no results."""

from __future__ import annotations

import celery

from tests.benchmarks.peers.drivers import kit

app = celery.Celery("peer", broker=kit.URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(name="noop")
def noop(number: int) -> None:
    """Do nothing."""
    kit.TALLY.hit()


@app.task(name="late")
def late(sent: float) -> None:
    """Tell how late it is."""
    kit.TALLY.hit_late(sent)


def prepare() -> None:
    """Need nothing: Redis has no tables."""


def enqueue(count: int) -> None:
    """Send jobs one at a time."""
    kit.rate(count, lambda: [noop.delay(number) for number in range(count)])


def pickup(count: int) -> None:
    """Send jobs that tell how late they are."""
    kit.send_each(count, noop_late)


def noop_late(sent: float) -> None:
    """Send one job with its moment."""
    late.delay(sent)


def work() -> None:
    """Run a worker."""
    kit.TALLY.start()
    app.worker_main(
        ["worker", "-P", "solo", "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )


def main() -> None:
    """Do what the command line says."""
    kit.run(prepare=prepare, enqueue=enqueue, pickup=pickup, work=work)
