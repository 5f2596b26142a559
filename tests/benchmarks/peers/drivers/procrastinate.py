"""Procrastinate: async tasks, 20 at once, jobs kept when they are done (its defaults but for the concurrency)."""

from __future__ import annotations

import procrastinate

from tests.benchmarks.peers.drivers import kit

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=kit.URL))


@app.task(name="noop")
async def noop(number: int) -> None:
    """Do nothing."""
    kit.TALLY.hit()


@app.task(name="late")
async def late(sent: float) -> None:
    """Tell how late it is."""
    kit.TALLY.hit_late(sent)


def prepare() -> None:
    """Make the tables."""
    with app.open():
        app.schema_manager.apply_schema()


def enqueue(count: int) -> None:
    """Send jobs one at a time."""
    with app.open():
        job = app.configure_task("noop")
        kit.rate(count, lambda: [job.defer(number=number) for number in range(count)])


def bulk(count: int) -> None:
    """Send many jobs at once."""
    with app.open():
        job = app.configure_task("noop")
        kit.rate(count, lambda: job.batch_defer(*({"number": number} for number in range(count))))


def pickup(count: int) -> None:
    """Send jobs that tell how late they are."""
    with app.open():
        job = app.configure_task("late")
        kit.send_each(count, lambda sent: job.defer(sent=sent))


def work() -> None:
    """Run a worker."""
    kit.TALLY.start()
    app.run_worker(concurrency=20)


def main() -> None:
    """Do what the command line says."""
    kit.run(prepare=prepare, enqueue=enqueue, bulk=bulk, pickup=pickup, work=work)
