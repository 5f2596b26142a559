"""Worker processes to measure: the real ``runtasks`` on the stage of this run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from django_tasks_durable.compat import Task
from django_tasks_durable.primitives import clock

from . import rows
from .stage import MODULE

START_SECONDS = 60.0
STOP_SECONDS = 15.0
PATIENCE_SECONDS = 300.0


class WorkerFailed(Exception):
    """A worker process ended, or did not begin."""


class Crew:
    """A number of worker processes, from their registration to their end, as a context.

    ``arguments`` go to ``runtasks``. They poll ten times a second, so that on a database that cannot tell of new work
    they begin together.
    """

    def __init__(self, count: int, *arguments: str, role: str = "work") -> None:
        command = [sys.executable, "-m", MODULE, role, "--interval", "0.1", *arguments]
        self._command = command
        self._count = count
        self._before = rows.workers_alive()
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Crew:
        self.start()
        self.wait_until_registered()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the processes."""
        for _ in range(self._count):
            self.processes.append(
                subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            )

    def wait_until_registered(self) -> None:
        """Wait until every worker has entered itself. Raise WorkerFailed."""
        self.wait_until(lambda: rows.workers_alive() >= self._before + self._count, "their registration", START_SECONDS)

    def wait_until(self, happened: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for something that the workers bring about. Raise WorkerFailed when one has ended, TookTooLong in the end."""
        end = clock.monotonic() + seconds
        while not happened():
            self.look_after()
            if clock.monotonic() > end:
                raise rows.TookTooLong(f"Waited {seconds:g} s for the workers: {what}.")
            rows.pause(rows.LOOK_SECONDS)

    @contextmanager
    def drained(self) -> Iterator[None]:
        """Wait, on leaving, until all is done that is due."""
        yield
        self.wait_until(rows.is_drained, "the end of all runs that are due")

    def warm(self, task: Task[..., Any], count: int) -> None:
        """Let the workers do something that nobody measures."""
        rows.empty()
        with self.drained():
            rows.fill(task, count)

    def drain(self, task: Task[..., Any], count: int, *, anew: bool = True) -> float:
        """Let the workers run a task so many times, in a table that is empty if ``anew``; return how many a second."""
        if anew:
            rows.empty()
        begun = rows.now()
        with self.drained():
            rows.fill(task, count)
        return rows.rate_of_the_drain(begun)

    def look_after(self) -> None:
        """Raise WorkerFailed when a worker has ended by itself."""
        for process in self.processes:
            if process.poll() is not None:
                raise WorkerFailed(f"A worker process ended with {process.returncode}.")

    def stop(self) -> None:
        """Let them end, or end them."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.processes.clear()

    def processor_seconds(self) -> float | None:
        """Return how long they have worked so far, None where the system does not tell."""
        found = [processor_seconds(process.pid) for process in self.processes]
        known = [seconds for seconds in found if seconds is not None]
        return sum(known) if len(known) == len(found) else None

    def memory(self, *, peak: bool = False) -> float | None:
        """Return the resident megabytes of the largest of them, None where the system does not tell."""
        found = [_resident(process.pid, "VmHWM" if peak else "VmRSS") for process in self.processes]
        known = [size for size in found if size is not None]
        return max(known) if known else None

    def counts(self) -> dict[str, int]:
        """Ask the first of them, started in the role ``count``, for the statements and commits that it has sent so far."""
        return dict(json.loads(self._answer()))

    def claims(self) -> list[tuple[float, int]]:
        """Ask the first of them, started in the role ``clock``, how many milliseconds each claim took and what it brought."""
        return [(took, brought) for took, brought in json.loads(self._answer())]

    def _answer(self) -> str:
        process = self.processes[0]
        process.send_signal(signal.SIGUSR1)
        assert process.stdout is not None
        return process.stdout.readline()


def processor_seconds(pid: int) -> float | None:
    """Return how long a process of this machine has worked, None where the system does not tell."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int, field: str) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        if field != "VmRSS":
            return None
        answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(answer.stdout) / 1024 if answer.stdout.strip().isdigit() else None
    sizes = [int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")]
    return sizes[0] if sizes else None
