"""Worker processes to measure: the real ``runtasks`` on the stage of this run."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType

from django_tasks_durable.primitives import clock

from . import rows
from .stage import MODULE

START_SECONDS = 60.0
STOP_SECONDS = 15.0


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
        end = clock.monotonic() + START_SECONDS
        while rows.workers_alive() < self._before + self._count:
            self.look_after()
            if clock.monotonic() > end:
                raise WorkerFailed(f"A worker did not register within {START_SECONDS:g} s.")
            rows.pause(0.02)

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

    def memory(self, *, peak: bool = False) -> float | None:
        """Return the resident megabytes of the largest of them, None where the system does not tell."""
        found = [_resident(process.pid, "VmHWM" if peak else "VmRSS") for process in self.processes]
        known = [size for size in found if size is not None]
        return max(known) if known else None

    def statements(self) -> int:
        """Ask the first of them, started in the role ``count``, how many statements it has sent so far."""
        process = self.processes[0]
        process.send_signal(signal.SIGUSR1)
        assert process.stdout is not None
        return int(process.stdout.readline())


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


# --- inside the worker's process


def work(arguments: Sequence[str]) -> None:
    """Be a worker that knows the tasks of the benchmark."""
    from django.core.management import call_command

    from . import tasks  # noqa: F401  (registers them)

    call_command("runtasks", "--verbosity", "0", *arguments)


def work_and_count(arguments: Sequence[str]) -> None:
    """Be such a worker, and print on SIGUSR1 how many statements it has sent."""
    from django.db.backends.utils import CursorWrapper

    from django_tasks_durable.store.vendors.session import Session

    counted = _Counted()
    for owner, name in ((CursorWrapper, "execute"), (CursorWrapper, "executemany"), (Session, "execute")):
        setattr(owner, name, counted.counting(getattr(owner, name)))
    signal.signal(signal.SIGUSR1, counted.tell)
    work(arguments)


class _Counted:
    def __init__(self) -> None:
        self.statements = 0
        self._lock = threading.Lock()
        self._here = threading.local()

    def counting(self, send: object) -> object:
        def counted(cursor: object, *arguments: object, **named: object) -> object:
            if getattr(self._here, "is_counted", False):  # one goes through the other
                return send(cursor, *arguments, **named)  # type: ignore[operator]
            self._here.is_counted = True
            with self._lock:
                self.statements += 1
            try:
                return send(cursor, *arguments, **named)  # type: ignore[operator]
            finally:
                self._here.is_counted = False

        return counted

    def tell(self, number: int, frame: FrameType | None) -> None:
        sys.stdout.write(f"{self.statements}\n")
        sys.stdout.flush()
