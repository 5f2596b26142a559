"""Wakes workers of other processes when work was enqueued here: NOTIFY, off the caller's thread and connection.

A NOTIFY inside the enqueue's own transaction would make commits queue up behind one lock of the whole server. So a
thread with a connection of its own sends it after the commit: the first one at once, then one batch every few
milliseconds. It is a hint: whatever goes wrong here, polling finds the work.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from django.core import mail
from django.core.signals import setting_changed

from django_tasks_durable import signals
from django_tasks_durable.conf import InvalidOptions, durable_aliases, get_options
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import vendors
from django_tasks_durable.store.vendors import notifying

logger = logging.getLogger("django_tasks_durable.live")

BATCH_SECONDS = 0.01
IDLE_SECONDS = 30.0
# A test database cannot be dropped while somebody is connected to it.
IDLE_SECONDS_IN_TESTS = 0.1
RETRY_SECONDS = 1.0
EXIT_SECONDS = 0.2

Send = Callable[[str, Collection[str]], None]


class Sender:
    """Sends hints over one connection of its own for each database, for one thread only."""

    def __init__(self) -> None:
        self._sessions: dict[str, vendors.Session] = {}

    def __call__(self, using: str, queue_names: Collection[str]) -> None:
        """Send, and close a connection that failed, so that the next time opens a new one."""
        session = self._sessions.get(using)
        if session is None:
            session = self._sessions[using] = vendors.private_session(using)
        try:
            notifying.notify(session, queue_names)
        except BaseException:
            self._sessions.pop(using).close()
            raise

    def close(self) -> None:
        """Close all connections."""
        while self._sessions:
            self._sessions.popitem()[1].close()


class Notifier:
    """Takes hints from any thread at once and sends them from a thread of its own, batched. Never raises."""

    def __init__(self, send: Send | None = None) -> None:
        self._send = send
        self._pending: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Set by the first hint after a batch only: a flood must not wake the thread for each.
        self._has_work = threading.Event()
        self._closing = threading.Event()
        self._deaf_until = 0.0

    def hint(self, using: str, queue_name: str) -> None:
        """Have the listeners of a database told that there may be work in a queue."""
        with self._lock:
            is_first = not self._pending
            self._pending.setdefault(using, set()).add(queue_name)
            if self._thread is None and not self._start():
                self._pending.clear()
            elif is_first:
                self._has_work.set()

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Send what is there, for at most ``timeout`` seconds, and end the thread."""
        with self._lock:
            thread = self._thread
            self._closing.set()
            self._has_work.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _start(self) -> bool:
        self._closing.clear()
        thread = threading.Thread(target=self._run, name="dtd-notify", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False  # No new threads at the end of the interpreter; polling finds the work.
        self._thread = thread
        return True

    def _run(self) -> None:
        # Of this thread alone: while it closes its connections, a next thread may open its own.
        sender = Sender()
        try:
            while (batch := self._next_batch()) is not None:
                for using, queue_names in batch.items():
                    self._try_to_send(self._send or sender, using, queue_names)
                self._closing.wait(BATCH_SECONDS)
        finally:
            sender.close()

    def _next_batch(self) -> dict[str, set[str]] | None:
        """Wait for hints and return them; None when it is time to end the thread."""
        if not self._closing.is_set():
            self._has_work.wait(_idle_seconds())
        with self._lock:
            self._has_work.clear()
            if self._pending:
                batch, self._pending = self._pending, {}
                return batch
            # Nothing for long, or closing. Said under the lock, so that the next hint starts a new thread.
            self._thread = None
            return None

    def _try_to_send(self, send: Send, using: str, queue_names: set[str]) -> None:
        if clock.monotonic() < self._deaf_until:
            return
        try:
            send(using, sorted(queue_names))
        except Exception as error:
            # A database that is away is asked again after a while; meanwhile hints are dropped.
            self._deaf_until = clock.monotonic() + RETRY_SECONDS
            logger.warning("Cannot tell workers about new work (%s); they find it by polling", error)


def _idle_seconds() -> float:
    # Django makes this attribute while tests run, and only then.
    return IDLE_SECONDS_IN_TESTS if hasattr(mail, "outbox") else IDLE_SECONDS


_notifier = Notifier()
_wanted: dict[str, bool] = {}


def listen() -> None:
    """Hear of new work in this process. Called once, when the app is ready."""
    signals.work_available.connect(tell, dispatch_uid="django_tasks_durable.live.notify")
    setting_changed.connect(_forget, dispatch_uid="django_tasks_durable.live.notify")
    atexit.register(close)
    os.register_at_fork(after_in_child=_start_anew)


def tell(using: str, queue_name: str, **kwargs: Any) -> None:
    """Have other processes' workers told that there may be work in a queue. Touches no database on this thread."""
    wanted = _wanted.get(using)
    if wanted is None:
        wanted = _wanted[using] = _is_wanted(using)
    if wanted:
        _notifier.hint(using, queue_name)


def close() -> None:
    """Send what is there and let go of the connections."""
    _notifier.close()


def _is_wanted(using: str) -> bool:
    return notifying.can_notify(using) and any(_listens(alias, using) for alias in durable_aliases())


def _listens(alias: str, using: str) -> bool:
    try:
        options = get_options(alias)
    except InvalidOptions:
        return False  # The system check tells; here only a hint is lost.
    return options.listen and options.database == using


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in {"TASKS", "DATABASES"}:
        _wanted.clear()


def _start_anew() -> None:
    global _notifier
    # The parent's thread is not here, and its connection is not ours to use or to close.
    _notifier = Notifier()
