"""One client's wish to be told of some runs: joined first, then read, then told in order."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django_tasks_durable.primitives import clock
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.bootstrap import Aggregate

from .audience import Audience
from .beginning import begin
from .news import Frame, Position, RunNews, frame, line_frames
from .wanted import Wanted

if TYPE_CHECKING:
    from .hub import Hub

# News that wait for a client; what is more is dropped, and the client begins again.
QUEUE = 200
POSITIONS = 2_000
RESYNC_PAUSE_SECONDS = 1.0
LINES_AT_ONCE = 500


class Subscription:
    """Holds back what one client was not told yet, in bounds. All but the reading happens on the event loop.

    ``wake()`` is called when there may be something to take.
    """

    def __init__(self, wanted: Wanted, audience: Audience, hub: Hub, wake: Callable[[], None]) -> None:
        self.wanted = wanted
        self.audience = audience
        self.may_begin = False
        self._hub = hub
        self._wake = wake
        self._queue: deque[RunNews] = deque()
        self._positions: OrderedDict[UUID, Position] = OrderedDict()
        self._behind: dict[UUID, int] = {}
        self._lost = ""
        self._has_begun = False
        self._not_before = 0.0
        self._aggregate: Aggregate | None = None
        self._told_aggregate: Aggregate | None = None

    # --- what the hub calls

    def offer(self, news: RunNews) -> None:
        """Take news of a run that this audience may see, unless it is not asked for."""
        if self._lost or not self.wanted.means(news.run):
            return
        if len(self._queue) >= QUEUE:
            self.lose("slow")
            return
        self._queue.append(news)
        self._wake()

    def lose(self, reason: str) -> None:
        """Hear that something was missed: all that waits is dropped, and the client begins again."""
        self._queue.clear()
        self._behind.clear()
        self._lost = reason
        self._wake()

    def count(self, aggregate: Aggregate) -> None:
        """Take new counts; those that were not told yet are forgotten."""
        if aggregate != (self._aggregate or self._told_aggregate):
            self._aggregate = aggregate
            self._wake()

    # --- what the client's side calls

    @property
    def pause(self) -> float | None:
        """Seconds until there is something to take; None if nothing is there."""
        if not self.may_begin:
            return None
        if not self._has_begun or self._behind:
            return 0.0
        if self._lost:
            return max(0.0, self._not_before - clock.monotonic())
        return 0.0 if self._queue or self._aggregate is not None else None

    async def take(self) -> list[Frame]:
        """Return the next messages, in order."""
        if not self._has_begun:
            self._has_begun = True
            return await self._begin(self.wanted)
        if self._lost:
            if self._not_before > clock.monotonic():
                return []
            return await self._begin_again()
        if self._behind:
            return await self._catch_up()
        found: list[Frame] = []
        while self._queue and not self._behind and len(found) < LINES_AT_ONCE:
            found += self._tell(self._queue.popleft())
        if self._aggregate is not None:
            self._told_aggregate, self._aggregate = self._aggregate, None
            found.append(frame("aggregate", aggregate=self._told_aggregate.as_dict()))
        return found

    async def _begin(self, wanted: Wanted) -> list[Frame]:
        shared = "" if wanted.after else f"{self.audience.key} {wanted.key}"
        beginning = await self._hub.shared(shared, partial(begin, wanted, self.audience, self._hub.using))
        self._positions = OrderedDict((run_id, _copy(each)) for run_id, each in beginning.positions.items())
        self._behind = dict(beginning.behind)
        self._hub.note(beginning.positions)
        return beginning.frames

    async def _begin_again(self) -> list[Frame]:
        reason, self._lost = self._lost, ""
        self._not_before = clock.monotonic() + RESYNC_PAUSE_SECONDS
        again = self.wanted
        if again.ids:
            # So few runs that each is told on from where it was: nothing is told twice.
            after = {run_id: told.sequence for run_id, told in self._positions.items()}
            again = replace(again, after=after)
        elif again.after:
            again = replace(again, after={})
        return [frame("resync", reason=reason), *await self._begin(again)]

    def _tell(self, news: RunNews) -> Iterator[Frame]:
        told = self._positions.get(news.id)
        if told is not None and news.lines and self._misses(news, told):
            self._behind[news.id] = news.run.last_sequence
            self._queue.appendleft(news)
            return
        yield from news.frames(told, self.audience)
        told = self._positions.setdefault(news.id, Position(0, 0))
        self._positions.move_to_end(news.id)
        told.sequence = max([told.sequence, *(line.sequence for line in news.lines[-1:])])
        if news.run.version > told.version:
            told.version, told.progress_at = news.run.version, news.run.progress.updated_at
        while len(self._positions) > max(POSITIONS, len(self.wanted.query.ids)):
            self._positions.popitem(last=False)

    def _misses(self, news: RunNews, told: Position) -> bool:
        """Tell whether lines lie between what was told and what is new, other than trimmed ones."""
        return news.lines[0].sequence > max(told.sequence, news.run.first_sequence - 1) + 1

    async def _catch_up(self) -> list[Frame]:
        """Read the lines that one client misses. They are its own, so this query is not shared."""
        run_id, last = next(iter(self._behind.items()))
        told = self._positions[run_id]
        lines = await self._hub.read(
            read.timeline, run_id, after=told.sequence, limit=LINES_AT_ONCE, using=self._hub.using
        )
        if self._behind.get(run_id) != last:
            return []  # lost meanwhile: it begins again
        found = [each for line in lines for each in line_frames(run_id, line, [], self.audience.veil)]
        if lines:
            told.sequence = lines[-1].sequence
        if not lines or told.sequence >= last:
            told.sequence = max(told.sequence, last)
            del self._behind[run_id]
        return found


def _copy(told: Position) -> Position:
    return Position(told.sequence, told.version, told.progress_at)
