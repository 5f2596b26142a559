"""Starts and ends that no line of a timeline tells: counted here, and written for the charts now and then."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Failed, Outcome, Succeeded, Verdict
from django_tasks_durable.store import rollups, vendors
from django_tasks_durable.store.telling import tells_all

from .held import HeldRun


class Untold:
    """Counts what the timelines of runs do not tell that keep only failures; all else is counted from the lines.

    What is counted here and not yet written is lost with this process: it is a figure of a chart, and of nothing else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: Counter[rollups.Kind] = Counter()
        self._succeeded: Counter[rollups.Kind] = Counter()

    def settled(self, runs: Iterable[tuple[HeldRun, Outcome, Verdict]]) -> None:
        """Hear how runs have ended. A first attempt that failed is told by its line, but not that it had begun."""
        for held, outcome, verdict in runs:
            claimed = held.claimed
            if tells_all(claimed) or not isinstance(outcome, Succeeded | Failed):
                continue
            kind = rollups.Kind(claimed.task_path, claimed.queue_name)
            with self._lock:
                self._started[kind] += 1
                self._succeeded[kind] += verdict.status is RunStatus.SUCCESSFUL

    def write(self, session: vendors.Session) -> None:
        """Add what was counted since the last time to the charts."""
        with self._lock:
            started, self._started = self._started, Counter()
            succeeded, self._succeeded = self._succeeded, Counter()
        if not started:
            return
        try:
            rollups.add_untold(session, started, succeeded)
        except Exception:
            with self._lock:
                self._started.update(started)
                self._succeeded.update(succeeded)
            raise
