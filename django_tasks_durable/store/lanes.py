"""Whose turn it is: runs with limits wait in lanes of the ready index, where one probe passes a whole lane that is blocked.

A look finds, outside the claim's transaction, lanes that seem to have room; the claim locks what they count towards, counts
again, and takes their heads. Lanes take turns, each worker going round from where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.limits import Bucket, QueueLimits, Rate
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.lanes import (
    BEYOND,
    EVERYTHING,
    Lane,
    SlotKind,
    SlotName,
    said_in,
    slot_of_task,
)

from . import slots
from .slots import Limit
from .tables import RUNS
from .vendors import Session

if TYPE_CHECKING:
    from .claims import Head, Wanted

LANES_AT_ONCE = 100
LOOKS_AT_MOST = 8
REST_SECONDS = 0.05


class Turns:
    """What one worker remembers between its claims: where it goes on, and until when it need not look.

    ``look_at`` is the instant of the monotonic clock at which a lane may be free that is not now.
    """

    def __init__(self) -> None:
        self.cursors: dict[tuple[str, int], str] = {}
        self.rests_until = 0.0
        self.look_at: float | None = None

    def rest(self) -> None:
        """Look no more for a moment: all is blocked, and nothing of this worker's has ended."""
        self.rests_until = clock.monotonic() + REST_SECONDS

    @property
    def rests(self) -> bool:
        """Whether it is too early to look again; whoever asks is to come back."""
        left = self.rests_until - clock.monotonic()
        if left > 0:
            self.note(left)
        return left > 0

    def wake(self) -> None:
        """Look at once: something may have become free."""
        self.rests_until = 0.0

    def note(self, seconds: float) -> None:
        """Note that something may be free in so many seconds."""
        moment = clock.monotonic() + seconds
        self.look_at = moment if self.look_at is None else min(self.look_at, moment)


@dataclass(frozen=True, slots=True)
class Offer:
    """A lane that seems to have room, with its first run that is due."""

    head: Head
    lane: Lane
    run_id: Any
    due_at: datetime
    limits: tuple[Limit, ...]


class WaitingRun(NamedTuple):
    run_id: Any
    lane: str
    slots: str
    due_at: Any
    task_path: str
    options: str


WAITING_COLUMNS = "id, lane, slots, due_at, task_path, options"


def limits_of(task_path: str, options: str, lane: Lane) -> tuple[Limit, ...]:
    """Return what limits a run in a lane: of a task that is known here, the code says how much."""
    said = said_in(options)
    rate = Rate.of(said["rate"]) if "rate" in said else None
    found = []
    for name in lane.names:
        if name.kind is SlotKind.KEY:
            found.append(Limit(name, said.get("concurrency_limit", 1), rate))
        else:
            own = options_of(registered()[task_path]) if task_path in registered() else None
            concurrency = said.get("concurrency") if own is None else own.concurrency
            found.append(Limit(name, concurrency, None if "concurrency_key" in said else rate))
    return tuple(found)


def limits_of_queue(queue_name: str, own: QueueLimits, everything: int | None) -> tuple[Limit, ...]:
    """Return what limits all runs of a queue."""
    found = []
    if everything is not None:
        found.append(Limit(EVERYTHING, everything))
    if own:
        found.append(Limit(SlotName(SlotKind.QUEUE, queue_name), own.concurrency, own.rate))
    return tuple(found)


# --- the look, without a lock


def look(session: Session, wanted: Wanted, heads: Sequence[Head], *, most: int) -> list[Offer]:
    """Find lanes with room, as many as are wanted, in the order of their turns; the slots that they count towards are there.

    A lane that is blocked is passed by one probe, whatever waits in it, and all lanes of a task that is, by one.
    """
    turns = wanted.turns
    if most <= 0 or turns.rests:
        return []
    search = _Search(session, wanted, most)
    for head in heads:
        if head.has_lanes and len(search.offers) < most:
            search.through(head)
    if not search.offers:
        turns.rest()
    return search.offers


@dataclass(slots=True)
class _Search:
    """One look through the lanes."""

    session: Session
    wanted: Wanted
    most: int
    offers: list[Offer] = field(default_factory=list)
    held: Counter[SlotName] = field(init=False)
    full: frozenset[SlotName] = field(init=False)

    def __post_init__(self) -> None:
        self.held = slots.held(self.session)
        told = {slot_of_task(path): options_of(task).concurrency for path, task in registered().items()}
        self.full = frozenset(name for name, most in told.items() if most is not None and self.held[name] >= most)

    def through(self, head: Head) -> None:
        """Go once round the lanes of one (queue, rank), from where the last round stopped."""
        place = (head.queue_name, head.rank)
        start = self.wanted.turns.cursors.get(place, "")
        found: dict[str, list[Offer]] = {}
        looks = LOOKS_AT_MOST
        last = start
        for after, until in ((start, ""), ("", start)) if start else (("", ""),):
            while looks and len(found) + len(self.offers) < self.most:
                looks -= 1
                page = list(self._page(head, after, until))
                if not page:
                    break
                for offer in self._free(head, [row for row in page if row.run_id is not None]):
                    found.setdefault(offer.lane.turn, []).append(offer)
                after = last = self._beyond(page[-1].lane, found)
        if not found and not looks:
            self.wanted.turns.cursors[place] = last  # the next look goes on there
        self.offers += _in_turns(found)

    def _page(self, head: Head, after: str, until: str) -> Iterator[WaitingRun]:
        """Read the next lanes, each with the first of its runs that is due, or without one."""
        known, paths = self.wanted.known(self.session, "r")
        ready = "r.status = 'READY' AND r.queue_name = %s AND r.ready_rank = %s"
        place = (head.queue_name, head.rank)
        bound, last = (" AND r.lane <= %s", (until,)) if until else ("", ())
        rows = self.session.execute(
            f"WITH RECURSIVE lanes(lane, number) AS (SELECT * FROM (SELECT r.lane, 1 FROM {RUNS} r WHERE {ready} "
            f"AND r.lane > %s{bound} ORDER BY r.lane LIMIT 1) AS first_lane UNION ALL "
            f"SELECT (SELECT r.lane FROM {RUNS} r WHERE {ready} AND r.lane > l.lane{bound} ORDER BY r.lane LIMIT 1), "
            f"l.number + 1 FROM lanes l WHERE l.lane IS NOT NULL AND l.number < {LANES_AT_ONCE}) "
            f"SELECT l.lane, (SELECT r.id FROM {RUNS} r WHERE {ready} AND r.lane = l.lane AND r.due_at <= {self.session.now} "
            f"AND {known} ORDER BY r.due_at, r.id LIMIT 1) FROM lanes l WHERE l.lane IS NOT NULL ORDER BY l.number",
            (*place, after, *last, *place, *last, *place, *paths),
        )
        heads = self._heads([run_id for _, run_id in rows if run_id is not None])
        for lane, run_id in rows:
            yield heads.get(run_id) or WaitingRun(None, lane, "", None, "", "")

    def _heads(self, ids: Sequence[Any]) -> dict[Any, WaitingRun]:
        # Outside a transaction another worker may have taken one since, and be done with it.
        if not ids:
            return {}
        rows = self.session.execute(
            f"SELECT {WAITING_COLUMNS} FROM {RUNS} WHERE status = 'READY' AND id IN ({', '.join(['%s'] * len(ids))})",
            ids,
        )
        return {row[0]: WaitingRun(*row) for row in rows}

    def _free(self, head: Head, rows: Sequence[WaitingRun]) -> Iterator[Offer]:
        """Give those of the lanes that have room, as far as can be seen."""
        lanes = [(row, Lane.of(row.lane)) for row in rows]
        told = [(row, lane, limits_of(row.task_path, row.options, lane)) for row, lane in lanes]
        open_ones = [
            (row, lane, limits)
            for row, lane, limits in told
            if all(limit.concurrency is None or self.held[limit.name] < limit.concurrency for limit in limits)
        ]
        buckets = slots.look(self.session, names_of(limits for _, _, limits in open_ones))
        for row, lane, limits in open_ones:
            if wait := max((_wait(limit, buckets) for limit in limits), default=0.0):
                self.wanted.turns.note(wait)
                continue
            yield Offer(head, lane, row.run_id, self.session.instant(row.due_at), limits)

    def _beyond(self, lane: str, found: Collection[str]) -> str:
        """Return what the next page begins after: past all lanes of a task that is full, or of a tenant that has its turn."""
        parts = Lane.of(lane)
        if not self.full.isdisjoint(parts.names):
            return f"{parts.task}{BEYOND}"
        return f"{parts.turn}{BEYOND}" if parts.turn != lane and parts.turn in found else lane


def _wait(limit: Limit, buckets: Mapping[SlotName, Bucket]) -> float:
    bucket = buckets.get(limit.name)
    return 0.0 if limit.rate is None or bucket is None else bucket.wait(limit.rate)


def names_of(limits: Iterable[Iterable[Limit]]) -> set[SlotName]:
    """Return the slots that limits are counted by."""
    return {limit.name for each in limits for limit in each}


def _in_turns(found: Mapping[str, list[Offer]]) -> Iterator[Offer]:
    """Give the lanes round by round: of each tenant the one whose head has been due the longest, then the next."""
    rounds = [sorted(offers, key=lambda offer: offer.due_at) for offers in found.values()]
    for number in range(max(map(len, rounds), default=0)):
        yield from (offers[number] for offers in rounds if number < len(offers))
