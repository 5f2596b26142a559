"""Attempts of synchronous tasks, each on a thread of a fixed set."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable

from django.db import connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper

from django_tasks_durable.conf import Options
from django_tasks_durable.engine import attempt
from django_tasks_durable.store.vendors.opened import is_closed, opened

from .base import Carried, announce_start

logger = logging.getLogger("django_tasks_durable.executors")
TASKS_BETWEEN_CHECKS = 100


class ThreadExecutor:
    """Carries synchronous tasks on ``slots`` threads. A thread cannot be killed: a task stops at its next primitive."""

    can_kill = False

    def __init__(self, slots: int, options: Options) -> None:
        self.slots = slots
        self._inbox: queue.SimpleQueue[Carried | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"dtd-task-{number}", daemon=True)
            for number in range(1, slots + 1)
        ]

    def start(self) -> None:
        """See Executor.start()."""
        for thread in self._threads:
            thread.start()

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """See Executor.hand_over()."""
        for carried in batch:
            self._inbox.put(carried)

    def stop(self) -> None:
        """See Executor.stop()."""
        for _ in self._threads:
            self._inbox.put(None)

    def _work(self) -> None:
        since_check = 0
        while (carried := self._next(since_check)) is not None:
            if not carried.begin():
                continue
            announce_start(carried.claimed)
            try:
                carried.ended(attempt.execute(carried.claimed, carried.store, carried.control))
            except BaseException:
                logger.exception(
                    "Run %s fails, for this library itself failed while it carried it; please report this",
                    carried.claimed.run_id,
                )
                carried.ended(None)
            since_check = leave_clean(since_check)
        connections.close_all()

    def _next(self, since_check: int) -> Carried | None:
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            if since_check:  # idle: the time to look after connections
                check_connections()
            return self._inbox.get()


def leave_clean(since_check: int) -> int:
    """Make this thread's connections fit for the next task, without a query; return how many tasks went without a full check.

    A connection that a task left in a transaction, without autocommit or after an error is closed.
    """
    for connection in opened():
        if connection.connection is not None and (
            connection.in_atomic_block
            or not connection.get_autocommit()
            or connection.needs_rollback
            or connection.errors_occurred
            or connection.savepoint_ids
            or is_closed(connection.connection)
        ):
            _close(connection)
    if since_check + 1 >= TASKS_BETWEEN_CHECKS:
        check_connections()
        return 0
    return since_check + 1


def check_connections() -> None:
    """Close what is too old or broken, and forget the queries that DEBUG collects."""
    reset_queries()
    for connection in opened():
        try:
            connection.close_if_unusable_or_obsolete()
        except Exception:  # a driver's connection that a task broke may refuse to be closed
            _close(connection)


def _close(connection: BaseDatabaseWrapper) -> None:
    """Close a connection whatever state a task left it in."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.run_on_commit = []
    try:
        connection.close()
    except Exception:  # broken beyond closing; Django opens a new one on the next use
        connection.connection = None
