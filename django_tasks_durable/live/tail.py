"""The thread that looks at what was committed and makes news of it, for a hub.

It is woken by hints, and looks by itself now and then. What it was told is never believed: the rows are read.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connections

from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED
from django_tasks_durable.snapshots import read, tail
from django_tasks_durable.snapshots.shapes import RunSnapshot
from django_tasks_durable.snapshots.tail import Reached

from .audience import Audience
from .known import Known, core_of
from .news import Position, RunNews
from .watch import Watch

logger = logging.getLogger("django_tasks_durable.live")

# The first hint is followed at once; those that come meanwhile are followed together.
TICK_SECONDS = 0.02
PROGRESS_SECONDS = 0.2
RESYNC_SECONDS = 30.0
RETRY_SECONDS = 1.0
RUNS_AT_ONCE = 200
LINES_AT_ONCE = 5_000
BACKLOG = 2_000
KNOWN = 10_000
CHECKED = 1_000
# Ids of lines become visible out of order: one that is missing is waited for so long.
MISSING_SECONDS = 60.0
MISSING = 1_000


@dataclass(frozen=True)
class News:
    """What one look found: news of runs, each with the audiences that may hear it; and whether there was too much to tell."""

    runs: list[RunNews] = field(default_factory=list)
    seen_by: Mapping[str, frozenset[UUID]] = field(default_factory=dict)
    is_too_much: bool = False


class Tail(threading.Thread):
    """Tails one database for one hub. ``deliver(news)`` is called on this thread, for the first time when it has begun."""

    def __init__(self, using: str, watch: Watch, deliver: Callable[[News], None], *, poll_seconds: float) -> None:
        super().__init__(name="dtd-live-tail", daemon=True)
        self.using = using
        self.watch = watch
        self.poll_seconds = poll_seconds
        self.last_error = ""
        # Whether hints come in; while they do not, the tail looks every ``poll_seconds``.
        self.is_hinted = False
        self._deliver = deliver
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._hinted: dict[UUID, None] = {}
        self._notes: dict[UUID, Position] = {}
        self._look_everywhere = False
        self._resync_asked = True
        self._has_looked = False
        self._postponed: dict[UUID, None] = {}
        self._known: OrderedDict[UUID, Known] = OrderedDict()
        self._cursor = 0
        self._missing: dict[int, float] = {}
        self._next_resync = 0.0

    # --- from other threads

    def hint(self, run_ids: Iterable[UUID]) -> None:
        """Hear that these runs have changed."""
        with self._lock:
            self._hinted.update(dict.fromkeys(run_ids))
        self._woken.set()

    def look_everywhere(self) -> None:
        """Hear that something has changed."""
        self._look_everywhere = True
        self._woken.set()

    def resync(self) -> None:
        """Hear that changes may have been missed."""
        self._resync_asked = True
        self._woken.set()

    def note(self, positions: Mapping[UUID, Position]) -> None:
        """Hear what somebody was told at the beginning, so that what follows is seen."""
        with self._lock:
            self._notes.update(positions)

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._woken.set()

    # --- the thread

    def run(self) -> None:
        """Look until stopped."""
        try:
            while not self._stopping.is_set():
                started = clock.monotonic()
                try:
                    self.turn()
                    self.last_error = ""
                except Exception as error:
                    self._fail(error)
                self._stopping.wait(max(0.0, TICK_SECONDS - (clock.monotonic() - started)))
                self._woken.wait(self._patience())
        finally:
            connections.close_all()

    def turn(self) -> None:
        """Look once, and deliver what is new."""
        self._woken.clear()
        ids, is_broad, audiences = self.watch.now()
        changed = self._changed(ids, is_broad)
        if not is_broad:
            changed = {run_id: None for run_id in changed if run_id in ids}
        elif len(changed) > BACKLOG:
            self._deliver(News(is_too_much=True))
            changed = {run_id: None for run_id in changed if run_id in ids}
        at_once = list(changed)[:RUNS_AT_ONCE]
        if len(changed) > len(at_once):
            self.hint(list(changed)[RUNS_AT_ONCE:])
        news = self._read(at_once, audiences) if at_once and audiences else News()
        if news.runs or not self._has_looked:
            self._deliver(news)
        self._has_looked = True

    def _patience(self) -> float:
        if self._postponed:
            return PROGRESS_SECONDS
        until_resync = max(0.0, self._next_resync - clock.monotonic())
        return until_resync if self.is_hinted else min(self.poll_seconds, until_resync)

    def _fail(self, error: Exception) -> None:
        if not self.last_error:
            logger.warning("Live pages cannot read what has changed (%s); trying again", error)
        self.last_error = str(error) or type(error).__name__
        connections.close_all()
        self._resync_asked = True
        self._stopping.wait(RETRY_SECONDS)

    # --- which runs have changed

    def _changed(self, ids: frozenset[UUID], is_broad: bool) -> dict[UUID, None]:
        with self._lock:
            changed, self._hinted = self._hinted, {}
            notes, self._notes = self._notes, {}
        for run_id, told in notes.items():
            if run_id not in self._known:
                self._know(run_id, Known(told.version, told.sequence, told.progress_at))
        changed |= self._take_postponed()
        look, self._look_everywhere = self._look_everywhere, False
        if self._resync_asked or clock.monotonic() >= self._next_resync:
            self._resync_asked = False
            changed |= dict.fromkeys(self._all_that_moved(ids, is_broad))
            self._next_resync = clock.monotonic() + RESYNC_SECONDS
        elif look or not self.is_hinted:
            changed |= dict.fromkeys(self._written())
            changed |= dict.fromkeys(self._moved(self._checked(ids, is_broad)))
        return changed

    def _take_postponed(self) -> dict[UUID, None]:
        postponed, self._postponed = self._postponed, {}
        return postponed

    def _all_that_moved(self, ids: frozenset[UUID], is_broad: bool) -> Iterable[UUID]:
        """Compare all that is known with the rows, and begin to follow the lines from here."""
        lines = tail.last_lines(MISSING // 2, using=self.using)
        now = clock.monotonic()
        self._cursor = lines[-1] if lines else 0
        held = set(lines)
        self._missing = {each: now for each in range(lines[0], self._cursor) if each not in held} if lines else {}
        self._bound_missing()
        moved = dict.fromkeys(self._moved([*ids, *(each for each in self._known if each not in ids)]))
        newest = tail.newest(RUNS_AT_ONCE, using=self.using)
        if is_broad and self._has_looked:
            moved |= {each: None for each, place in newest.items() if self._is_news(each, place)}
        for run_id, place in reversed(newest.items()):
            if run_id not in self._known and run_id not in moved:
                self._know(run_id, Known(place.version, place.sequence))
        return moved

    def _written(self) -> list[UUID]:
        """Read whose lines were written since the last look."""
        rows = tail.written_since(self._cursor, self._missing, limit=LINES_AT_ONCE, using=self.using)
        now = clock.monotonic()
        for line_id, _ in rows:
            if line_id > self._cursor:
                self._missing.update(dict.fromkeys(range(max(self._cursor + 1, line_id - MISSING), line_id), now))
                self._cursor = line_id
            else:
                self._missing.pop(line_id, None)
        self._bound_missing()
        if len(rows) == LINES_AT_ONCE:
            self.look_everywhere()
        return [run_id for _, run_id in rows]

    def _bound_missing(self) -> None:
        now = clock.monotonic()
        kept = [(each, at) for each, at in self._missing.items() if now - at < MISSING_SECONDS]
        self._missing = dict(sorted(kept)[-MISSING:])

    def _checked(self, ids: frozenset[UUID], is_broad: bool) -> list[UUID]:
        """Choose the runs whose changes may have left no line: those that somebody looks at."""
        found = list(ids)
        if is_broad:
            seen = (each for each in reversed(self._known) if each not in ids and not self._known[each].is_finished)
            found += [each for each, _ in zip(seen, range(CHECKED - len(found)), strict=False)]
        return found

    def _moved(self, run_ids: list[UUID]) -> list[UUID]:
        moved: list[UUID] = []
        for start in range(0, len(run_ids), CHECKED):
            places = tail.places(run_ids[start : start + CHECKED], using=self.using)
            moved += [run_id for run_id, place in places.items() if self._is_news(run_id, place)]
        return moved

    def _is_news(self, run_id: UUID, place: Reached) -> bool:
        known = self._known.get(run_id)
        return known is None or (known.version, known.sequence) != (place.version, place.sequence)

    # --- what is new of them

    def _read(self, run_ids: list[UUID], audiences: list[Audience]) -> News:
        """Read some runs and what is new of their lines: two queries, and one for each audience."""
        runs = read.many(read.runs(using=self.using).filter(pk__in=run_ids))
        fresh = [run for run in runs if self._is_news(run.id, Reached(run.version, run.last_sequence))]
        fresh = [run for run in fresh if not self._is_postponed(run)]
        bounds = {run.id: (self._after(run), run.last_sequence) for run in fresh}
        bounds = {run_id: bound for run_id, bound in bounds.items() if bound[0] < bound[1]}
        lines = tail.lines_between(bounds, limit=LINES_AT_ONCE, using=self.using)
        told = [self._news_of(run, lines.get(run.id, [])) for run in fresh]
        ids = [each.id for each in told]
        seen_by = {each.key: tail.kept(ids, read.runs(using=self.using), each.narrow) for each in audiences if ids}
        return News(told, seen_by)

    def _after(self, run: RunSnapshot) -> int:
        known = self._known.get(run.id)
        if known is not None and known.sequence <= run.last_sequence:
            return known.sequence
        return max(0, run.last_sequence - RUNS_AT_ONCE)

    def _is_postponed(self, run: RunSnapshot) -> bool:
        """Tell whether only the progress of a run has moved, and the last time was a moment ago."""
        known = self._known.get(run.id)
        if known is None or known.core != core_of(run) or run.status in FINISHED:
            return False
        if clock.monotonic() - known.told_at >= PROGRESS_SECONDS:
            return False
        self._postponed[run.id] = None
        return True

    def _news_of(self, run: RunSnapshot, lines: list[Any]) -> RunNews:
        known = self._known.get(run.id)
        before = None if known is None else Position(known.sequence, known.version, known.progress_at)
        core = core_of(run)
        is_cut = bool(lines) and lines[-1].sequence < run.last_sequence
        if is_cut:
            self.hint([run.id])  # the limit of lines cut them off; the rest comes with the next look
        self._know(
            run.id,
            Known(
                version=-1 if is_cut else run.version,
                sequence=lines[-1].sequence if lines else run.last_sequence,
                progress_at=run.progress.updated_at,
                core=core,
                is_finished=run.status in FINISHED,
                told_at=clock.monotonic(),
            ),
        )
        return RunNews(run, lines, before, bare=known is not None and known.core == core)

    def _know(self, run_id: UUID, known: Known) -> None:
        self._known[run_id] = known
        self._known.move_to_end(run_id)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
