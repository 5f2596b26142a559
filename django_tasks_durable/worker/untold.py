"""Ends that no line of a timeline tells: counted here, and written for the charts now and then."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Outcome, Verdict
from django_tasks_durable.store import rollups, vendors
from django_tasks_durable.store.telling import tells_all

from .held import HeldRun


class Untold:
    """Counts the successes of runs that keep only failures in their timeline, from which all else is counted.

    What is counted here and not yet written is lost with this process: it is a figure of a chart, and of nothing else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: Counter[rollups.Kind] = Counter()

    def settled(self, runs: Iterable[tuple[HeldRun, Outcome, Verdict]]) -> None:
        """Hear how runs have ended."""
        ends = [
            rollups.Kind(held.claimed.task_path, held.claimed.queue_name)
            for held, _, verdict in runs
            if verdict.status is RunStatus.SUCCESSFUL and not tells_all(held.claimed)
        ]
        if ends:
            with self._lock:
                self._ends.update(ends)

    def write(self, session: vendors.Session) -> None:
        """Add what was counted since the last time to the charts."""
        with self._lock:
            ends, self._ends = self._ends, Counter()
        if not ends:
            return
        try:
            rollups.add_successes(session, ends)
        except Exception:
            with self._lock:
                self._ends.update(ends)
            raise
