"""What others hear of runs, once it is durable and off the writer's thread."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from uuid import UUID

from django.db import connections

from django_tasks_durable import signals
from django_tasks_durable.executors.thread import check_connections
from django_tasks_durable.primitives.writes import Outcome, Verdict

from .held import HeldRun

logger = logging.getLogger("django_tasks_durable.worker")
Pair = tuple[HeldRun, Outcome, Verdict]


class News:
    """Sends ``run_changed`` and Django's ``task_finished`` after the commit, when anybody listens."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._inbox: queue.SimpleQueue[tuple[list[UUID], list[Pair]] | None] = queue.SimpleQueue()

    def settled(self, pairs: list[Pair]) -> None:
        """Take committed outcomes. Never blocks."""
        if signals.run_changed.receivers or signals.run_ended.receivers:
            self._inbox.put(([held.claimed.run_id for held, _, _ in pairs], pairs))

    def moved(self, run_ids: Callable[[], list[UUID]]) -> None:
        """Take the runs that a commit moved on without an end; not even listed when nobody listens. Never blocks."""
        if signals.run_changed.receivers and (found := run_ids()):
            self._inbox.put((found, []))

    def stop(self) -> None:
        """Send what is there, then end."""
        self._inbox.put(None)

    def run(self) -> None:
        """Send until stopped."""
        while (news := self._inbox.get()) is not None:
            run_ids, pairs = news
            signals.run_changed.send_robust(sender=None, using=self.using, run_ids=run_ids)
            for held, outcome, verdict in pairs:
                self._tell_end(held, outcome, verdict)
            check_connections()
        connections.close_all()

    def _tell_end(self, held: HeldRun, outcome: Outcome, verdict: Verdict) -> None:
        for _, answer in signals.run_ended.send_robust(
            sender=None, using=self.using, claimed=held.claimed, outcome=outcome, status=verdict.status
        ):
            if isinstance(answer, Exception):
                logger.error("A receiver failed on run %s: %s", held.claimed.run_id, answer, exc_info=answer)
