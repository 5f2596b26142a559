"""Workers that start in a moment: forked from a process that has loaded the project and has touched no database.

Loading costs a second of a core, and the faults start some hundred workers. A worker that is started here differs from one of
the command line only in that its modules are loaded already; ``Yard.start(cold=True)`` loads them again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
#: Names the seconds by which the clocks of a worker are ahead.
WRONG_CLOCK = "CLOCK_IS_WRONG_BY"
#: What every process of the tests is told.
OURS = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class Nursery:
    """The process that the workers are forked from. They are gone when it is."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the one who tests; what was started here ends with the pipe.
            start_new_session=True,
        )

    def start(self, arguments: list[str], environment: dict[str, str], log: Path) -> Nursling:
        """Start a command whose words go to a file."""
        return Nursling(self, self.ask(arguments=arguments, environment=environment, log=str(log)), arguments)

    def ask(self, **request: Any) -> Any:
        """Ask for a start or for the end of a process, and return the answer."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Kill what was started, and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Nursling:
    """A process that was started in a nursery; it is used as a ``Popen`` is."""

    def __init__(self, nursery: Nursery, pid: int, arguments: list[str]) -> None:
        self.pid = pid
        self.args = arguments
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """See Popen.poll()."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See Popen.wait()."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """See Popen.send_signal(): a process that has ended is left alone, because another may have its id."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """See Popen.kill()."""
        self.send_signal(signal.SIGKILL)


def _serve() -> dict[str, Any] | None:
    """Answer until the pipe ends; return, in a child, what it was started for."""
    alive: set[int] = set()
    # No iteration: it reads ahead, and a child would have lines in its hands that are not its own.
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "ended" in request:
            answer = _end_of(request["ended"])
            if answer is not None:
                alive.discard(request["ended"])
        else:
            answer = os.fork()
            if not answer:
                return dict(request)
            alive.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    return None


def _end_of(pid: int) -> int | None:
    """Return how a child has ended, as Popen tells it; None while it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _load() -> None:
    """Load all that a worker loads."""
    import django

    django.setup()
    from django.core import checks
    from django.core.management import load_command_class
    from django.db import DatabaseError

    load_command_class("django_tasks_durable", "runtasks")
    # MariaDB's checks of fields ask the database that the URL names, and that of the tests has another name.
    with contextlib.suppress(DatabaseError):
        checks.run_checks()
    # A connection that two processes share would be the fault of the tests.
    _forget_databases()


def _forget_databases() -> None:
    """Close what was opened, and let the aliases be read from the settings anew."""
    from asgiref.local import Local
    from django.db import connections

    connections.close_all()
    connections._connections = Local(connections.thread_critical)
    connections.__dict__.pop("settings", None)
    connections._settings = None


def _become(request: dict[str, Any]) -> None:
    """Turn this child into the command that it was started for."""
    words = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (words, 1), (words, 2)):
        os.dup2(source, target)
    os.close(words)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = request["arguments"]
    _read_settings_again()


def _read_settings_again() -> None:
    """Read what tests.settings takes from the environment, and have everybody forget what it was."""
    import importlib

    from django.conf import settings
    from django.core.signals import setting_changed

    from django_tasks_durable.primitives import faults

    fresh = importlib.reload(importlib.import_module(os.environ["DJANGO_SETTINGS_MODULE"]))
    for name in ("TASKS", "DATABASES"):
        setattr(settings, name, getattr(fresh, name))
    setting_changed.send(sender=settings, setting="TASKS", value=fresh.TASKS, enter=True)
    _forget_databases()
    faults._armed = faults.parse(os.environ.get("DURABLE_FAULTS", ""))
    if seconds := float(os.environ.get(WRONG_CLOCK, 0)):
        _set_clock_wrong(seconds)


def _set_clock_wrong(seconds: float) -> None:
    """Let every clock of this process but the monotonic one be wrong, as the host's would be."""
    from datetime import timedelta

    from django.utils import timezone

    from django_tasks_durable.primitives import clock

    off = timedelta(seconds=seconds)
    right = time.time, time.time_ns, timezone.now, clock.host_now
    time.time = lambda: right[0]() + seconds
    time.time_ns = lambda: right[1]() + int(seconds * 1e9)
    timezone.now = lambda: right[2]() + off
    clock.host_now = lambda: right[3]() + off


def main() -> None:
    """Load, serve, and be in each child what it was started for."""
    _load()
    request = _serve()
    if request is not None:
        import runpy

        _become(request)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
