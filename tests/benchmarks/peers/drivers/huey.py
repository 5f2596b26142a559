"""Huey on SQLite (WAL, synchronous FULL): a row is deleted when it is claimed, and nothing is written at the end."""

from __future__ import annotations

from huey import SqliteHuey

from tests.benchmarks.peers.drivers import kit

app = SqliteHuey("peer", filename=str(kit.FOLDER / "huey.db"), results=False, journal_mode="wal")


@app.task(name="noop")
def noop(number: int) -> None:
    """Do nothing."""
    kit.TALLY.hit()


@app.task(name="late")
def late(sent: float) -> None:
    """Tell how late it is."""
    kit.TALLY.hit_late(sent)


def prepare() -> None:
    """Need nothing: the file is made when it is opened."""


def enqueue(count: int) -> None:
    """Send jobs one at a time."""
    kit.rate(count, lambda: [noop(number) for number in range(count)])


def pickup(count: int) -> None:
    """Send jobs that tell how late they are."""
    kit.send_each(count, late)


def work() -> None:
    """Run a worker."""
    kit.TALLY.start()
    app.create_consumer(workers=1, worker_type="thread", initial_delay=0.05, max_delay=0.05).run()


def main() -> None:
    """Do what the command line says."""
    kit.run(prepare=prepare, enqueue=enqueue, pickup=pickup, work=work)
