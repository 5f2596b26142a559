"""Tells another system what happens to runs: their entries, each once, after the commit that made it true."""

from __future__ import annotations

import logging
import threading
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from django_tasks_durable import signals
from django_tasks_durable.conf import get_options
from django_tasks_durable.snapshots import entries, read
from django_tasks_durable.snapshots.entries import Entry
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.shapes import RunSummary

logger = logging.getLogger("django_tasks_durable.live")
Sink = Callable[[Entry], object]
KEPT_PLACES = 10_000
RUNS_AT_ONCE = 100


def forward(sink: Sink, *, backend: str = "default") -> Callable[[], None]:
    """Call ``sink`` with each entry of the runs that change in this process, and return what ends that.

    Called on the thread that hears of the change, one call at a time, so keep it quick. What it raises is logged, and no
    task sees it. The values of secret names are hidden (``redact_keys``).
    """
    forwarder = Forwarder(sink, backend)
    signals.run_changed.connect(forwarder.hear, weak=False)
    return forwarder.leave


class Forwarder:
    """Remembers how far each run was told. One thread tells at a time; the others leave it their runs and go on."""

    def __init__(self, sink: Sink, backend: str) -> None:
        options = get_options(backend)
        self.sink = sink
        self.using = options.database
        self.veil = Veil(sees_payloads=True, keys=tuple(options.redact_keys))
        self._lock = threading.Lock()
        self._is_telling = False
        self._changed: dict[UUID, None] = {}
        self._places: OrderedDict[UUID, tuple[int, datetime | None]] = OrderedDict()

    def leave(self) -> None:
        """Hear no more."""
        signals.run_changed.disconnect(self.hear)

    def hear(self, using: str, run_ids: Collection[UUID], **kwargs: Any) -> None:
        """Tell what is new of these runs, unless a thread is telling already, which then does it."""
        if using != self.using:
            return
        with self._lock:
            self._changed |= dict.fromkeys(run_ids)
            if self._is_telling:
                return
            self._is_telling = True
        try:
            while batch := self._next_batch():
                self._tell(batch)
        except DatabaseError as error:
            logger.warning("Entries could not be read; the next change tells them: %s", error)
            self._put_off(batch)
        except BaseException:
            self._put_off(batch)
            raise

    def _next_batch(self) -> list[UUID]:
        with self._lock:
            batch = list(self._changed)[:RUNS_AT_ONCE]
            for run_id in batch:
                del self._changed[run_id]
            self._is_telling = bool(batch)
            return batch

    def _put_off(self, batch: list[UUID]) -> None:
        with self._lock:
            self._changed |= dict.fromkeys(batch)
            self._is_telling = False

    def _tell(self, run_ids: list[UUID]) -> None:
        stale: list[Entry] = []
        for run in read.summaries(read.runs(using=self.using).filter(pk__in=run_ids).order_by("id")):
            for entry in self._news(run):
                self._give(entry)
                if entry.type == "stale":
                    stale.append(entry)
        if stale:
            self._give(entries.stale_requeued(stale))

    def _news(self, run: RunSummary) -> Iterator[Entry]:
        """Give what was not told of a run, and move its place along before each entry goes out."""
        sequence, progress_at = self._places.pop(run.id, (0, None))
        self._places[run.id] = sequence, progress_at
        while len(self._places) > KEPT_PLACES:
            self._places.popitem(last=False)
        progress = entries.progress_entry(run, show=self.veil) if run.progress.updated_at != progress_at else None
        while lines := read.timeline(run.id, after=sequence, using=self.using):
            found = [entries.as_entry(line, run, show=self.veil) for line in lines]
            sequence = lines[-1].sequence
            if progress is not None and sequence >= run.last_sequence:
                place = bisect(found, progress.timestamp, key=lambda entry: entry.timestamp)
                found.insert(min(place, len(found) - run.is_finished), progress)
                progress_at, progress = progress.timestamp, None
            self._places[run.id] = sequence, progress_at
            yield from found
        if progress is not None:
            self._places[run.id] = sequence, progress.timestamp
            yield progress

    def _give(self, entry: Entry) -> None:
        try:
            self.sink(entry)
        except Exception as error:
            logger.exception("A sink failed on the entry %s of run %s: %s", entry.type, entry.task_id, error)
