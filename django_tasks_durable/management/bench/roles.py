"""What a worker process of ``benchtasks`` is: a worker, or one that also keeps count or time of something."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from django_tasks_durable.primitives import clock

# Not the lock that a reader takes: FOR UPDATE, FOR NO KEY UPDATE.
WRITES = re.compile(r"(?<!FOR )(?<!KEY )\b(INSERT|UPDATE|DELETE)\b")


def work(arguments: Sequence[str]) -> None:
    """Be a worker that knows the tasks of the benchmark."""
    from django.core.management import call_command

    from . import tasks  # noqa: F401  (registers them)

    call_command("runtasks", "--verbosity", "0", *arguments)


def work_and_count(arguments: Sequence[str]) -> None:
    """Be such a worker, and print on SIGUSR1 how many statements it has sent and how many commits these were."""
    from django.db.backends.utils import CursorWrapper

    from django_tasks_durable.store.vendors.session import Session

    counted = _Counted()
    for owner, name in ((CursorWrapper, "execute"), (CursorWrapper, "executemany"), (Session, "execute")):
        setattr(owner, name, counted.counting(getattr(owner, name)))
    signal.signal(signal.SIGUSR1, counted.tell)
    work(arguments)


def work_and_clock(arguments: Sequence[str]) -> None:
    """Be such a worker, and print on SIGUSR1 how many milliseconds each claim took that brought something, and how much."""
    from django_tasks_durable.store import claims

    clocked = _Clocked()
    for name in ("ready_heads", "look", "claim"):
        setattr(claims, name, clocked.clocking(name, getattr(claims, name)))
    signal.signal(signal.SIGUSR1, clocked.tell)
    work(arguments)


class _Clocked:
    """Times the three parts of a claim, which one thread calls one after the other."""

    def __init__(self) -> None:
        self._claims: list[tuple[float, int]] = []
        self._took = 0.0

    def clocking(self, name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*arguments: Any, **named: Any) -> Any:
            if name == "ready_heads":
                self._took = 0.0
            begun = clock.monotonic()
            found = part(*arguments, **named)
            self._took += clock.monotonic() - begun
            if name == "claim" and found:
                self._claims.append((round(1000 * self._took, 3), len(found)))
            return found

        return clocked

    def tell(self, number: int, frame: FrameType | None) -> None:
        sys.stdout.write(json.dumps(self._claims) + "\n")
        sys.stdout.flush()
        self._claims = []


class _Counted:
    """Counts statements, and the commits of those that wrote on the worker's own connection."""

    def __init__(self) -> None:
        self.statements = 0
        self.commits = 0
        self._lock = threading.Lock()
        self._here = threading.local()

    def counting(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def counted(owner: Any, sql: str, *arguments: Any, **named: Any) -> Any:
            if getattr(self._here, "is_counted", False):  # one goes through the other
                return send(owner, sql, *arguments, **named)
            self._here.is_counted = True
            with self._lock:
                self.statements += 1
                self._count_commit(owner, sql)
            try:
                return send(owner, sql, *arguments, **named)
            finally:
                self._here.is_counted = False

        return counted

    def _count_commit(self, owner: Any, sql: str) -> None:
        if WRITES.search(sql):
            if getattr(owner, "is_in_transaction", False):
                self._here.has_written = True
            else:
                self.commits += 1
        elif sql == "COMMIT" and getattr(self._here, "has_written", False):
            self._here.has_written = False
            self.commits += 1

    def tell(self, number: int, frame: FrameType | None) -> None:
        sys.stdout.write(json.dumps({"statements": self.statements, "commits": self.commits}) + "\n")
        sys.stdout.flush()


ROLES: Mapping[str, Callable[[Sequence[str]], None]] = {
    "work": work,
    "count": work_and_count,
    "clock": work_and_clock,
}
