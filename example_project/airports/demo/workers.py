"""The worker and the site as child processes, which never outlive the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from django.conf import settings

from example_project.airports import tasks

GRACE_SECONDS = 10
TAIL_LINES = 15


class ChildDied(RuntimeError):
    """A child process ended that should have gone on."""


class Child:
    """A child process whose output goes to a log file."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._output = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def has_stopped_itself(self) -> bool:
        """Tell whether the process sent itself SIGSTOP. Raise ChildDied when it is gone."""
        if self._process.returncode is None:
            # Popen.poll() does not tell a stopped process from a running one.
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                return True
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
        self.must_be_alive()
        return False

    def must_be_alive(self) -> None:
        """Raise ChildDied, with the end of the log, when the process is gone."""
        code = self._process.poll()
        if code is not None:
            raise ChildDied(f"{self.name} ended with {code}. The end of {self.log}:\n{self.tail()}")

    def kill(self) -> int:
        """Send SIGKILL and return how the process ended: -9 when that is what ended it."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait()

    def end(self) -> None:
        """End the process, gently at first; nothing if it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
            # A process that stopped itself gets to see no signal but this one.
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._output.close()

    def tail(self) -> str:
        """Return the end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


class Children:
    """All child processes of the demo; they end with the block, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._all: list[Child] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for child in reversed(self._all):
            child.end()

    def start(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> Child:
        """Start a Python process. ``name`` also names its log file."""
        log = self._directory / f"{name.replace(' ', '-')}.log"
        child = Child(name, command, log=log, environment=environment or {})
        self._all.append(child)
        return child


def start_worker(children: Children, name: str, environment: Mapping[str, str] | None = None) -> Child:
    """Start a worker for the queue of the import."""
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    return children.start(
        name,
        manage,
        "runtasks",
        "--queue-name",
        tasks.QUEUE,
        "--concurrency",
        "1",
        "--interval",
        "0.2",
        environment=environment,
    )
