"""Tells other processes that work was enqueued, or that runs changed, off the caller's thread and connection.

A NOTIFY inside the enqueue's own transaction would make commits queue up behind one lock of the whole server. So a
thread with a connection of its own sends it after the commit: the first one at once, then one batch every few
milliseconds. It is a hint: whatever goes wrong here, polling finds the work. Whoever listens for changed runs, a hub or a
consumer of the project's own, is told their ids, by NOTIFY and by the channel layer, where there is one.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Collection
from typing import Any, NamedTuple
from uuid import UUID

from django.core import mail
from django.core.signals import setting_changed

from django_tasks_durable import signals
from django_tasks_durable.conf import InvalidOptions, Options, durable_aliases, get_options
from django_tasks_durable.primitives import clock
from django_tasks_durable.store import vendors
from django_tasks_durable.store.vendors import listening, notifying

from . import layers

logger = logging.getLogger("django_tasks_durable.live")

BATCH_SECONDS = 0.01
IDLE_SECONDS = 30.0
# A test database cannot be dropped while somebody is connected to it.
IDLE_SECONDS_IN_TESTS = 0.1
RETRY_SECONDS = 1.0
EXIT_SECONDS = 0.2

# More ids than this are not told one by one: whoever listens looks for himself.
IDS_IN_A_HINT = 100
LAYER = "layer"


class Address(NamedTuple):
    """Where a hint goes: the alias of a database (or of a channel layer) and what the news is about."""

    using: str
    channel: str


Send = Callable[[Address, Collection[str]], None]


class Sender:
    """Sends hints over one connection of its own for each database, for one thread only."""

    def __init__(self) -> None:
        self._sessions: dict[str, vendors.Session] = {}

    def __call__(self, address: Address, words: Collection[str]) -> None:
        """Send, and close a connection that failed, so that the next time opens a new one."""
        session = self._sessions.get(address.using)
        if session is None:
            session = self._sessions[address.using] = vendors.private_session(address.using)
        if address.channel == listening.RUNS:
            words = [",".join(words) if len(words) <= IDS_IN_A_HINT else ""]
        try:
            notifying.notify(session, address.channel, words)
        except BaseException:
            self._sessions.pop(address.using).close()
            raise

    def close(self) -> None:
        """Close all connections."""
        while self._sessions:
            self._sessions.popitem()[1].close()


class Notifier:
    """Takes hints from any thread at once and sends them from a thread of its own, batched. Never raises."""

    def __init__(self, send: Send | None = None, *, sender: Callable[[], Sender | layers.LayerSender] = Sender) -> None:
        self._send = send
        self._sender = sender
        self._pending: dict[Address, set[str]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Set by the first hint after a batch only: a flood must not wake the thread for each.
        self._has_work = threading.Event()
        self._closing = threading.Event()
        self._deaf_until = 0.0

    def hint(self, address: Address, *words: str) -> None:
        """Have those who listen there told: the names of queues with work, or the ids of runs that changed."""
        with self._lock:
            is_first = not self._pending
            self._pending.setdefault(address, set()).update(words)
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
        sender = self._sender()
        try:
            while (batch := self._next_batch()) is not None:
                for address, words in batch.items():
                    self._try_to_send(self._send or sender, address, words)
                self._closing.wait(BATCH_SECONDS)
        finally:
            sender.close()

    def _next_batch(self) -> dict[Address, set[str]] | None:
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

    def _try_to_send(self, send: Send, address: Address, words: set[str]) -> None:
        if clock.monotonic() < self._deaf_until:
            return
        try:
            send(address, sorted(words))
        except Exception as error:
            # What is away is asked again after a while; meanwhile hints are dropped.
            self._deaf_until = clock.monotonic() + RETRY_SECONDS
            logger.warning("Cannot send hints to %r (%s); those who listen find out by polling", address.using, error)


def _idle_seconds() -> float:
    # Django makes this attribute while tests run, and only then.
    return IDLE_SECONDS_IN_TESTS if hasattr(mail, "outbox") else IDLE_SECONDS


_notifier = Notifier()
# With a thread of its own: a layer that hangs must not hold up what wakes workers.
_layer_notifier = Notifier(sender=layers.LayerSender)
_wanted: dict[str, tuple[Address, ...]] = {}


def listen() -> None:
    """Hear of new work and of changed runs in this process. Called once, when the app is ready."""
    signals.work_available.connect(tell, dispatch_uid="django_tasks_durable.live.notify")
    _connect()
    setting_changed.connect(_forget, dispatch_uid="django_tasks_durable.live.notify")
    atexit.register(close)
    os.register_at_fork(after_in_child=_start_anew)


def tell(using: str, queue_name: str, **kwargs: Any) -> None:
    """Have other processes' workers told that there may be work in a queue. Touches no database on this thread."""
    for address in _addresses(using):
        if address.channel == listening.WORK:
            _notifier.hint(address, queue_name)


def tell_runs(using: str, run_ids: Collection[UUID], **kwargs: Any) -> None:
    """Have those who watch runs told that these have changed. Touches no database on this thread."""
    for address in _addresses(using):
        if address.channel == listening.RUNS:
            _notifier.hint(address, *(run_id.hex for run_id in run_ids))
        elif address.channel == LAYER:
            _layer_notifier.hint(address, *(run_id.hex for run_id in run_ids))


def close() -> None:
    """Send what is there and let go of the connections."""
    _notifier.close()
    _layer_notifier.close()


def _addresses(using: str) -> tuple[Address, ...]:
    found = _wanted.get(using)
    if found is None:
        found = _wanted[using] = _addresses_of(using)
    return found


def _addresses_of(using: str) -> tuple[Address, ...]:
    options = [options for alias in durable_aliases() if (options := _options(alias)) and options.database == using]
    found = []
    if any(each.listen for each in options) and notifying.can_notify(using):
        found += [Address(using, listening.WORK), Address(using, listening.RUNS)]
    found += [Address(name, LAYER) for each in options if (name := each.channel_layer) and layers.crosses(name)]
    return tuple(dict.fromkeys(found))


def _options(alias: str) -> Options | None:
    try:
        return get_options(alias)
    except InvalidOptions:
        return None  # The system check tells; here only a hint is lost.


def _connect() -> None:
    """Hear of changed runs only where somebody can be told: a worker asks who listens before it says anything."""
    databases = {options.database for alias in durable_aliases() if (options := _options(alias))}
    if any(len(_addresses(using)) for using in databases):
        signals.run_changed.connect(tell_runs, dispatch_uid="django_tasks_durable.live.notify")
    else:
        signals.run_changed.disconnect(dispatch_uid="django_tasks_durable.live.notify")


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in {"TASKS", "DATABASES", "CHANNEL_LAYERS"}:
        _wanted.clear()
        _connect()


def _start_anew() -> None:
    global _notifier, _layer_notifier
    # The parent's threads are not here, and their connections are not ours to use or to close.
    _notifier = Notifier()
    _layer_notifier = Notifier(sender=layers.LayerSender)
