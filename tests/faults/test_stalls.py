"""A process that stands still from within, clocks that are wrong, and a disk that is full."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from django_tasks_durable.models import Step, Worker
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import intake, vendors
from tests.faults.harness import Yard, oracle, wait_end, wait_until
from tests.faults.nursery import OURS, Nursery
from tests.probe import tasks
from tests.store import acts

EVERYWHERE = pytest.mark.databases("sqlite", "postgresql", "mysql")


@EVERYWHERE
@pytest.mark.fault("F16")
def test_a_run_that_holds_pythons_lock_is_taken_over_and_its_worker_goes_on(yard: Yard) -> None:
    stalled = yard.start("--concurrency", "2")
    stalled.wait_registered()
    locked = yard.path("locked")
    with locked.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run_id = acts.enqueue(tasks.holds_pythons_lock, str(locked))
        yard.wait_deed("holds the lock")
        heir = yard.start("--concurrency", "2")
        (row,) = wait_end(yard, run_id)
    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, str(heir.pid)), yard.story()
    assert row.crashes == 1
    settled = list(Step.objects.filter(run_id=run_id).values())
    wait_until(
        lambda: Worker.objects.filter(pid=stalled.pid, dead_at=None).exists() and Worker.objects.count() == 3,
        f"it enters itself anew; {yard.story()}",
    )
    after = [acts.enqueue(tasks.echo, number) for number in range(5)]
    wait_end(yard, *after)
    assert list(Step.objects.filter(run_id=run_id).values()) == settled
    assert stalled.is_alive
    oracle([run_id, *after])


@EVERYWHERE
@pytest.mark.fault("F17")
def test_workers_with_wrong_clocks_keep_the_databases_time(yard: Yard) -> None:
    """An early clock begins nothing early, a late one loses no lease, and neither counts the other as dead."""
    workers = [yard.start(CLOCK_IS_WRONG_BY=seconds) for seconds in ("300", "-3600")]
    for worker in workers:
        worker.wait_registered()
    now = vendors.session("default").now_at()
    due = now + timedelta(seconds=4)
    later = [tasks.echo.using(run_after=due).enqueue(number).run_id for number in range(4)]
    gate = yard.path("gate")
    long = acts.enqueue(tasks.blocks_at_gate, str(gate))
    yard.wait_deed("at the gate")
    rows = wait_end(yard, *later)
    gate.touch()
    (held,) = wait_end(yard, long)

    for row in rows:
        first = Step.objects.filter(run=row).exclude(kind="enqueued").order_by("sequence")[0]
        assert first.created_at >= due, f"{row} was begun early by {row.lease_worker}"
    assert (held.crashes, held.lease_token) == (0, 1)
    assert not Worker.objects.exclude(dead_at=None).exists()
    oracle([*later, long])


@pytest.fixture
def small_disk(tmp_path: Path, django_db_setup: None, django_db_blocker: Any) -> Iterator[Path]:
    """Let the default alias of this process mean a fresh SQLite on a disk of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    connection = connections["default"]
    kept = {**connection.settings_dict}
    try:
        with django_db_blocker.unblock():
            connection.close()
            connection.settings_dict["NAME"] = str(disk / "db.sqlite3")
            call_command("migrate", run_syncdb=True, verbosity=0)
            yield disk
            connection.close()
    finally:
        connection.settings_dict.update(kept)
        subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no room for another page."""
    junk = disk / "junk"
    for size in (1 << 20, 1 << 12, 1):
        with junk.open("ab", buffering=0) as file:
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass
    return junk


@pytest.mark.databases("sqlite")
@pytest.mark.fault("F18")
def test_a_full_disk_is_waited_out(small_disk: Path, tmp_path: Path, nursery: Nursery) -> None:
    environment = {**os.environ, **OURS, "DATABASE_URL": f"sqlite:///{small_disk / 'db.sqlite3'}"}
    yard = Yard(environment, tmp_path, nursery)
    try:
        gate = yard.path("gate")
        runs = [acts.enqueue(tasks.blocks_at_gate, str(gate)) for _ in range(2)]
        # Of plain steps: what a task itself writes is refused as in any of its statements, and counts as its exception.
        more = intake.enqueue_many(tasks.three_steps, [((7,), {})] * 20, using="default", backend_alias="default")
        worker = yard.start("--concurrency", "2", options={"lease_seconds": 60})
        yard.wait_deed("at the gate", 2)
        with connections["default"].cursor() as cursor:
            # The log would be written again from its beginning, which needs no room.
            wait_until(lambda: cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "the log is empty")
            junk = fill(small_disk)
        gate.touch()
        wait_until(lambda: "full" in worker.output, f"the worker says what is wrong; {worker.output[-2000:]}")
        junk.unlink()
        rows = wait_end(yard, *runs, *more)

        assert Counter((row.status, row.attempts) for row in rows) == {(RunStatus.SUCCESSFUL, 0): len(rows)}
        assert {yard.times(name) for name in ("first", "second", "third")} == {len(more)}
        assert worker.is_alive
        with connections["default"].cursor() as cursor:
            cursor.execute("PRAGMA integrity_check")
            assert cursor.fetchall() == [("ok",)]
        oracle([*runs, *more])
    finally:
        yard.close()
