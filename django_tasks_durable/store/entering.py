"""Letting runs with limits start: under the locks of what they count towards, after a second count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import LimitReached
from django_tasks_durable.limits import NO_LIMITS
from django_tasks_durable.primitives.lanes import BEYOND, Lane, SlotKind, said_in

from . import slots
from .lanes import WAITING_COLUMNS, Offer, WaitingRun, limits_of, limits_of_queue, names_of
from .slots import Gate
from .tables import RUNS
from .vendors import Session

if TYPE_CHECKING:
    from .claims import Wanted

FILLED_AT_ONCE = 16
BUSY_SECONDS = 0.01


@dataclass(slots=True)
class Line:
    """The offers of one (queue, rank) in one claim, and the runs that were taken of them."""

    session: Session
    wanted: Wanted
    gate: Gate
    offers: list[Offer]
    ids: list[Any] = field(default_factory=list)
    keepers: list[tuple[Any, str, str]] = field(default_factory=list)

    def take(self, most: int) -> list[Any]:
        """Lock up to so many runs that may be started, a round of heads first, and return their ids."""
        before = len(self.ids)
        served = self._heads(most)
        for offer in served[:FILLED_AT_ONCE]:
            room = min(most - (len(self.ids) - before), self.gate.room(offer.limits, most))
            if room > 0:
                self._more(offer, room)
        return self.ids[before:]

    def _heads(self, most: int) -> list[Offer]:
        chosen: list[Offer] = []
        for offer in self.offers:
            if len(chosen) < most and self.gate.room(offer.limits, 1):
                self.gate.take(offer.limits)
                chosen.append(offer)
            elif not self.gate.has(offer.limits):
                self.wanted.turns.note(BUSY_SECONDS)  # somebody counts there just now
        if not chosen:
            return []
        rows = self._lock(f"id IN ({', '.join(['%s'] * len(chosen))})", [offer.run_id for offer in chosen])
        there = {row.run_id: row for row in rows}
        for offer in chosen:
            if (row := there.get(offer.run_id)) is None:
                self.gate.take(offer.limits, -1)
            else:
                self._took(row, offer.lane)
        self.offers = [offer for offer in self.offers if offer not in chosen]
        last = chosen[-1].head
        self.wanted.turns.cursors[(last.queue_name, last.rank)] = f"{chosen[-1].lane.turn}{BEYOND}"
        return [offer for offer in chosen if offer.run_id in there]

    def _more(self, offer: Offer, room: int) -> None:
        """Take what comes next in a lane; each run in it has to find room by what it says itself."""
        known, paths = self.wanted.known(self.session)
        rows = self._lock(
            f"queue_name = %s AND ready_rank = %s AND lane = %s AND {known}",
            (offer.head.queue_name, offer.head.rank, str(offer.lane), *paths),
            room + 1,  # the head is among them
        )
        for row in rows:
            if row.run_id in self.ids:
                continue
            limits = limits_of(row.task_path, row.options, offer.lane)
            if room <= 0 or not self.gate.room(limits, 1):
                return
            self.gate.take(limits)
            self._took(row, offer.lane)
            room -= 1

    def _lock(self, which: str, parameters: Sequence[Any], most: int | None = None) -> list[WaitingRun]:
        hint = "" if most is None else self.session.brand.in_ready_order
        end = "" if most is None else f"ORDER BY due_at, id LIMIT {most}"
        rows = self.session.execute(
            f"SELECT {WAITING_COLUMNS} FROM {RUNS}{hint} WHERE status = 'READY' AND {which} AND due_at <= {self.session.now} "
            f"{end} {self.session.brand.lock}{self.session.brand.skip}",
            parameters,
        )
        return [WaitingRun(*row) for row in rows]

    def _took(self, row: WaitingRun, lane: Lane) -> None:
        self.ids.append(row.run_id)
        if _keeps_key(row.options, lane):
            self.keepers.append((row.run_id, row.slots, str(lane.keeping())))

    def keep_keys(self) -> None:
        """Let those that want it keep their keys from now on."""
        for keeper in self.keepers:
            slots.keep(self.session, *keeper)


# --- one run by itself


def enter_one(
    session: Session,
    run_id: UUID,
    task_path: str,
    options: str,
    lane: str,
    own_slots: str,
    queue_name: str,
    backend: str,
    concurrency: int | None,
    rate: str | None,
) -> None:
    """Find room for a run whose row is locked, waiting for others that count just now. Raise LimitReached."""
    settings, place = get_options(backend), Lane.of(lane)
    own = settings.queue_limits.get(queue_name, NO_LIMITS).overruled(concurrency, rate)
    limits = limits_of_queue(queue_name, own, settings.global_concurrency)
    limits += limits_of(task_path, options, place) if lane else ()
    if not limits:
        return
    slots.look(session, names_of([limits]))
    # Nobody waits for a run while holding a slot, so that this wait ends.
    gate = Gate.lock(session, names_of([limits]), waits=True)
    if not gate.room(limits, 1):
        raise LimitReached(run_id)
    gate.take(limits)
    gate.write()
    if _keeps_key(options, place):
        slots.keep(session, session.uuid(run_id), own_slots, str(place.keeping()))


def _keeps_key(options: str, lane: Lane) -> bool:
    return bool(said_in(options).get("hold_key")) and any(name.kind is SlotKind.KEY for name in lane.names)
