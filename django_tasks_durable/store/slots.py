"""What limits are counted by: locked while somebody counts and claims, and never trusted with a count.

How many runs hold a slot is read off the runs themselves, so a slot cannot leak: whatever ends, suspends or takes over a run
frees it in the same transaction. Only the lock of a Slot's row keeps two claims from counting at once, and a row that is locked
by somebody is left for the next claim. Locks on slots come before those on runs, in the order of (kind, name).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django_tasks_durable.limits import Bucket, Rate
from django_tasks_durable.primitives.lanes import EVERYTHING, SlotKind, SlotName, names_in, said_in, spot_of

from .tables import KEPT_KEYS, RUNS, SLOTS
from .vendors import Session

IDLE_AFTER = timedelta(hours=1)
AT_ONCE = 200
WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Limit:
    """How many runs may hold a slot at a time, and how often one may take it. None is no limit."""

    name: SlotName
    concurrency: int | None = None
    rate: Rate | None = None


def look(session: Session, names: Iterable[SlotName]) -> dict[SlotName, Bucket]:
    """Read slots without a lock, and make those that are missing. Call outside a transaction where there is a choice."""
    wanted = sorted(set(names))
    found = _read(session, wanted)
    missing = [name for name in wanted if name not in found]
    stale = [name for name in wanted if name in found and found[name].is_stale]
    for name in missing:
        _make(session, name)
    for name in stale:
        session.execute(
            f"UPDATE {SLOTS} SET idle_at = {session.brand.plus_seconds(session.now)} WHERE kind = %s AND name = %s",
            (2 * IDLE_AFTER.total_seconds(), name.kind.value, name.name),
        )
    return {name: row.bucket for name, row in found.items()}


@dataclass(frozen=True, slots=True)
class _Row:
    bucket: Bucket
    is_stale: bool


def _read(session: Session, names: Sequence[SlotName], lock: str = "") -> dict[SlotName, _Row]:
    if not names:
        return {}
    rows = session.execute(
        f"SELECT kind, name, tokens, refilled_at, idle_at, {session.now} FROM {SLOTS} "
        f"WHERE {' OR '.join(['(kind = %s AND name = %s)'] * len(names))} ORDER BY kind, name {lock}",
        [part for name in names for part in (name.kind.value, name.name)],
    )
    found: dict[SlotName, _Row] = {}
    for kind, name, tokens, refilled_at, idle_at, now in rows:
        bucket = Bucket(tokens, session.instant(refilled_at), session.instant(now))
        found[SlotName(SlotKind(kind), name)] = _Row(bucket, session.instant(idle_at) < bucket.now + IDLE_AFTER)
    return found


def _make(session: Session, name: SlotName) -> None:
    try:
        with _briefly(session):
            session.insert_unless_there(
                SLOTS,
                "kind, name, tokens, refilled_at, idle_at",
                f"%s, %s, NULL, {session.now}, {session.brand.plus_seconds(session.now)}",
                (name.kind.value, name.name, 2 * IDLE_AFTER.total_seconds()),
            )
    except Exception as error:
        if not (session.survives(error) if session.is_in_transaction else session.is_transient(error)):
            raise  # else somebody makes it just now, and a later look finds it


@contextmanager
def _briefly(session: Session) -> Iterator[None]:
    """Bound how long a worker waits for somebody whose transaction has made the same slot and is still open."""
    if session.is_private and session.is_in_transaction:
        yield  # which a transaction of its own would end
        return
    with session.transaction():
        if session.is_private:
            with session.brand.bounded_waits(session.execute, WAIT_SECONDS):
                yield
        else:
            yield


# --- how many hold a slot


def held(session: Session) -> Counter[SlotName]:
    """Count the runs that hold the slots of tasks and keys: those in workers' hands, and those that keep their key."""
    found: Counter[SlotName] = Counter()
    # One statement: between two, a run that keeps its key could pass from one to the other uncounted.
    rows = session.execute(
        f"SELECT slots, COUNT(*), FALSE FROM {RUNS}{session.brand.among_leased} WHERE slots > '' "
        "AND status IN ('CLAIMED', 'RUNNING') GROUP BY slots UNION ALL "
        f"SELECT k.slots, COUNT(*), TRUE FROM {KEPT_KEYS} k JOIN {RUNS} r ON r.id = k.run_id "
        "WHERE r.status IN ('READY', 'WAITING') GROUP BY k.slots"
    )
    for slots, number, is_kept in rows:
        for name in names_in(slots):
            if name.kind is SlotKind.KEY or not is_kept:
                found[name] += int(number)
    return found


def held_by_queue(session: Session) -> Counter[SlotName]:
    """Count the runs in workers' hands, queue by queue and all together."""
    rows = session.execute(
        f"SELECT queue_name, COUNT(*) FROM {RUNS}{session.brand.among_leased} WHERE status IN ('CLAIMED', 'RUNNING') "
        "GROUP BY queue_name"
    )
    found = Counter({SlotName(SlotKind.QUEUE, queue_name): int(number) for queue_name, number in rows})
    found[EVERYTHING] = sum(found.values())
    return found


@dataclass(slots=True)
class Gate:
    """The slots that one claim has locked, with the room that is left in each."""

    session: Session
    counts: Counter[SlotName]
    buckets: Mapping[SlotName, Bucket]
    tokens: dict[SlotName, tuple[float, Rate]] = field(default_factory=dict)

    @classmethod
    def lock(cls, session: Session, names: Collection[SlotName], *, waits: bool = False) -> Gate:
        """Lock slots and count again: what was counted before the lock may be out of date. Call inside a transaction.

        Without ``waits``, slots that somebody else has locked have no room.
        """
        lock = f"{session.brand.lock}{'' if waits else session.brand.skip}"
        rows = _read(session, sorted(names), lock)
        counts: Counter[SlotName] = Counter()
        if any(name.kind in (SlotKind.TASK, SlotKind.KEY) for name in rows):
            counts += held(session)
        if any(name.kind in (SlotKind.QUEUE, SlotKind.GLOBAL) for name in rows):
            counts += held_by_queue(session)
        return cls(session, counts, {name: row.bucket for name, row in rows.items()})

    def has(self, limits: Iterable[Limit]) -> bool:
        """Tell whether all of these slots could be locked."""
        return all(limit.name in self.buckets for limit in limits)

    def room(self, limits: Iterable[Limit], most: int) -> int:
        """Return how many more may be started, at most ``most``."""
        for limit in limits:
            if limit.concurrency is None and limit.rate is None:
                continue
            if limit.name not in self.buckets:
                return 0
            if limit.concurrency is not None:
                most = min(most, limit.concurrency - self.counts[limit.name])
            if limit.rate is not None:
                most = min(most, int(self._tokens(limit.name, limit.rate)))
        return max(0, most)

    def take(self, limits: Iterable[Limit], number: int = 1) -> None:
        """Note that so many are started."""
        for limit in limits:
            self.counts[limit.name] += number
            if limit.rate is not None and limit.name in self.buckets:
                self.tokens[limit.name] = (self._tokens(limit.name, limit.rate) - number, limit.rate)

    def _tokens(self, name: SlotName, rate: Rate) -> float:
        known = self.tokens.get(name)
        # A whole token may have come out of many small additions.
        return self.buckets[name].filled(rate) + 1e-9 if known is None else known[0]

    def write(self) -> None:
        """Write the tokens that are left."""
        for name, (tokens, rate) in sorted(self.tokens.items()):
            now = self.buckets[name].now
            self.session.execute(
                f"UPDATE {SLOTS} SET tokens = %s, refilled_at = %s, idle_at = %s WHERE kind = %s AND name = %s",
                (
                    tokens,
                    self.session.moment(now),
                    self.session.moment(now + timedelta(seconds=rate.seconds) + 2 * IDLE_AFTER),
                    name.kind.value,
                    name.name,
                ),
            )


# --- keys that are kept while a run waits


def keep(session: Session, run_id: Any, slots: str, lane: str) -> None:
    """Let a run that is being claimed keep its key until it ends: from now on it stands in another lane."""
    session.execute(f"INSERT INTO {KEPT_KEYS} (run_id, slots) VALUES (%s, %s)", (run_id, slots))
    session.execute(f"UPDATE {RUNS} SET lane = %s WHERE id = %s", (lane, run_id))


def stand_in_line_again(session: Session, run_id: UUID, task_path: str, options: str) -> None:
    """Let a run that had ended compete for its key again. Call under the lock of its row."""
    if "hold_key" not in said_in(options):
        return
    session.execute(f"DELETE FROM {KEPT_KEYS} WHERE run_id = %s", (session.uuid(run_id),))
    lane = spot_of(task_path, options).lane
    session.execute(f"UPDATE {RUNS} SET lane = %s WHERE id = %s", (lane, session.uuid(run_id)))


# --- maintenance


def forget_idle(session: Session) -> int:
    """Delete slots that nobody has used for long, and notes of keys whose runs have ended; return how many. Never waits.

    A slot whose bucket is not full again is not idle, and whoever needs one that is gone makes it anew.
    """
    idle = f"SELECT kind, name FROM {SLOTS} WHERE idle_at < {session.now}"
    void = (
        f"SELECT k.run_id FROM {KEPT_KEYS} k LEFT JOIN {RUNS} r ON r.id = k.run_id "
        "WHERE r.id IS NULL OR r.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')"
    )
    gone = 0
    if session.execute(f"{idle} LIMIT 1"):
        with session.transaction():
            rows = session.execute(
                f"{idle} ORDER BY kind, name LIMIT {AT_ONCE} {session.brand.lock}{session.brand.skip}"
            )
            for row in rows:
                session.execute(f"DELETE FROM {SLOTS} WHERE kind = %s AND name = %s", row)
            gone += len(rows)
    for (run_id,) in session.execute(f"{void} LIMIT {AT_ONCE}"):
        gone += _forget_kept(session, run_id)
    return gone


def _forget_kept(session: Session, run_id: Any) -> int:
    with session.transaction():
        # Under the row's lock: a run that is retried just now takes its note with it.
        ended = session.execute(
            f"SELECT status FROM {RUNS} WHERE id = %s {session.brand.lock}{session.brand.skip}", (run_id,)
        )
        if ended and ended[0][0] not in ("SUCCESSFUL", "FAILED", "CANCELLED"):
            return 0
        there = session.execute(f"SELECT 1 FROM {RUNS} WHERE id = %s", (run_id,))
        if there and not ended:
            return 0
        return session.change(f"DELETE FROM {KEPT_KEYS} WHERE run_id = %s", (run_id,))
