"""Real workers, real signals: start them, hurt them, wait on rows, and let the oracle judge what is left."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import close_old_connections, connection
from django.utils import timezone

from django_tasks_durable.models import Checkpoint, Step, TaskRun, Worker
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind
from tests.faults.ledger import JUDGED
from tests.faults.nursery import Nursery, Nursling
from tests.probe import journal

ROOT = Path(__file__).resolve().parent.parent.parent
LEASE_SECONDS = 2.0
SWEEP_SECONDS = 0.3
OPTIONS: dict[str, Any] = {
    "lease_seconds": LEASE_SECONDS,
    "heartbeat_seconds": 0.3,
    "sweep_seconds": SWEEP_SECONDS,
    "poll_seconds": 0.2,
    "shutdown_seconds": 5.0,
}
# A machine that many share may hold a process up for a while; a promise in seconds is measured from the rows instead.
PATIENCE = 90.0
AGES = timedelta(hours=1)
LAST_LINE = {
    RunStatus.SUCCESSFUL: StepKind.SUCCEEDED,
    RunStatus.FAILED: StepKind.FAILED,
    RunStatus.CANCELLED: StepKind.CANCELLED,
}


def wait_until(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """Look again and again until a condition holds, and return what it found. Raise AssertionError saying what did not."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"Waited {seconds:g} s in vain: {what}")
        time.sleep(0.02)


class RunningWorker:
    """One `runtasks` process."""

    def __init__(self, process: subprocess.Popen[bytes] | Nursling, log: Path, name: str) -> None:
        self.process = process
        self.log = log
        self.name = name

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has said."""
        return self.log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        """Whether the process is there, stopped or not."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end and return the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The worker does not end. It said:\n{self.output[-4000:]}") from None

    def wait_registered(self) -> Worker:
        """Wait until it has entered itself."""
        return wait_until(self._row, f"worker {self.name} registers; it said:\n{self.output[-3000:]}")

    def wait_stopped(self) -> None:
        """Wait until the operating system says that it stands still."""
        wait_until(
            lambda: _state(self.pid) == "T", f"worker {self.name} stops at its crash point; it said:\n{self.output}"
        )

    def stop(self) -> None:
        """Send SIGSTOP, and see to it that the one write lock of SQLite does not stand still with the worker."""
        self.send(signal.SIGSTOP)
        while holds_the_write_lock():
            self.send(signal.SIGCONT)
            time.sleep(0.02)
            self.send(signal.SIGSTOP)

    def wait_said(self, words: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: words in self.output or not self.is_alive, f"worker {self.name} says {words!r}")
        assert words in self.output, self.output[-4000:]

    def _row(self) -> Worker | None:
        if not self.is_alive:
            raise AssertionError(f"Worker {self.name} ended with {self.process.returncode}:\n{self.output[-4000:]}")
        return Worker.objects.filter(pid=self.pid, dead_at=None).first()


def holds_the_write_lock() -> bool:
    """Tell whether some process stands still in a write transaction on SQLite, where nobody else could go on."""
    if connection.vendor != "sqlite":
        return False
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=1.0, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        other.close()
    return False


def _state(pid: int) -> str:
    """Read a process's state: R, S, D, Z, T."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Yard:
    """Where workers are started; whoever is still there at the end is killed."""

    def __init__(self, environment: dict[str, str], folder: Path, nursery: Nursery) -> None:
        self.folder = folder
        self.nursery = nursery
        self.journal = folder / "journal"
        self.environment = {**environment, journal.VARIABLE: str(self.journal)}
        self.workers: list[RunningWorker] = []

    def start(
        self,
        *arguments: str,
        faults: str = "",
        options: dict[str, Any] | None = None,
        cold: bool = False,
        **more: str,
    ) -> RunningWorker:
        """Start `manage.py runtasks`, with crash points armed if asked for; cold, if it must load its modules itself."""
        name = f"w{len(self.workers) + 1}"
        log = self.folder / f"{name}.log"
        log.touch()
        command = [str(ROOT / "manage.py"), "runtasks", "--worker-id", name, *arguments]
        environment = {
            **self.environment,
            "TEST_OPTIONS": json.dumps({**OPTIONS, **(options or {})}),
            "DURABLE_FAULTS": faults,
            **more,
        }
        process = _start_cold(command, environment, log) if cold else self.nursery.start(command, environment, log)
        worker = RunningWorker(process, log, name)
        self.workers.append(worker)
        return worker

    def bury(self, worker: RunningWorker) -> None:
        """Let the lease of a worker that has died end at once, where waiting for its end would prove nothing."""
        worker.wait()
        Worker.objects.filter(pid=worker.pid, dead_at=None).update(heartbeat_at=timezone.now() - AGES)

    def path(self, name: str) -> Path:
        """Name a file that lets a task through."""
        return self.folder / name

    def times(self, deed: str, **facts: Any) -> int:
        """Count how often a deed was done."""
        return journal.times(self.journal, deed, **facts)

    def wait_deed(self, deed: str, count: int = 1, **facts: Any) -> None:
        """Wait until a deed was done so often."""
        wait_until(lambda: self.times(deed, **facts) >= count, f"{count} x {deed!r}; {self.story()}")

    def story(self) -> str:
        """Tell what every worker said."""
        return "\n".join(f"--- {w.name} ({w.process.poll()})\n{w.output[-2500:]}" for w in self.workers)

    def close(self) -> None:
        """Kill what is left."""
        for worker in self.workers:
            if worker.is_alive:
                worker.process.kill()
            worker.process.wait()


def _start_cold(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as words:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
        )


def run_of(run_id: UUID) -> TaskRun:
    """Read one run's row."""
    return TaskRun.objects.get(pk=run_id)


def wait_status(yard: Yard, run_id: UUID, *statuses: RunStatus) -> TaskRun:
    """Wait until a run stands so."""
    try:
        return wait_until(
            lambda: TaskRun.objects.filter(pk=run_id, status__in=statuses).first(), f"run {run_id} is {statuses}"
        )
    except AssertionError as error:
        row = TaskRun.objects.filter(pk=run_id).values().first()
        raise AssertionError(f"{error}\n{row}\n{yard.story()}") from None


def wait_end(yard: Yard, *run_ids: UUID) -> list[TaskRun]:
    """Wait until runs are over."""
    return [wait_status(yard, run_id, *FINISHED) for run_id in run_ids]


def oracle(accepted: Iterable[UUID], *, leaves_workers: bool = True) -> None:
    """Judge what a fault left behind: nothing lost, nothing twice, nothing dangling."""
    accepted = list(accepted)
    JUDGED.update(runs=len(accepted), lost=len(accepted))
    rows = {row.id: row for row in TaskRun.objects.filter(pk__in=accepted)}
    assert set(rows) == set(accepted), "an accepted run is gone"
    for row in rows.values():
        assert row.status in FINISHED, f"{row.task_path} {row.id} is {row.status}"
        lines = list(Step.objects.filter(run=row).order_by("sequence"))
        assert [line.sequence for line in lines] == list(range(1, row.last_sequence + 1)), "the sequence has gaps"
        assert lines[-1].kind == LAST_LINE[RunStatus(row.status)], f"the last line is {lines[-1].kind}"
        ends = [line.kind for line in lines if line.kind in set(LAST_LINE.values())]
        assert len(ends) == 1, f"the run ended {len(ends)} times: {ends}"
        paths = list(Checkpoint.objects.filter(run=row).values_list("path", flat=True))
        assert len(paths) == len(set(paths)), "a step has two checkpoints"
        assert (row.result is not None) == (row.status == RunStatus.SUCCESSFUL), "a result without its status"
        assert row.finished_at is not None
        JUDGED["lost"] -= 1
        JUDGED["again"] += sum(line.kind == StepKind.STALE for line in lines)
    dead = Worker.objects.exclude(dead_at=None).values("pk")
    assert not TaskRun.objects.filter(status__in=["CLAIMED", "RUNNING"], lease_worker__in=dead).exists()
    assert not TaskRun.objects.filter(status__in=["CLAIMED", "RUNNING"]).exists(), (
        "a run is leased although all is over"
    )
    if connection.vendor == "postgresql":
        _no_idle_transactions()


def _no_idle_transactions() -> None:
    """A connection that stands in an open transaction for long was leaked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND state LIKE 'idle in transaction%' AND state_change < now() - interval '3 seconds'"
        )
        assert not cursor.fetchall()


def forget_connections() -> None:
    """Let this process connect anew, after the server was away."""
    connection.close()
    close_old_connections()


def undisturbed_result(task: Any, *arguments: Any) -> str | None:
    """Run a task with nothing in its way, here, and return its stored result."""
    from django_tasks_durable.testing import drain
    from tests.store import acts

    before = os.environ.pop(journal.VARIABLE, None)
    run_id = acts.enqueue(task, *arguments)
    drain()
    row = run_of(run_id)
    assert row.status == RunStatus.SUCCESSFUL, row.errors
    if before is not None:
        os.environ[journal.VARIABLE] = before
    return row.result
