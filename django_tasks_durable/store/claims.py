"""What workers may do: claim what is due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.pins import Pin
from django_tasks_durable.limits import NO_LIMITS, QueueLimits
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import RunStatus, may_move
from django_tasks_durable.primitives.writes import UNSTAGED, ClaimedRun, Stage

from . import entering, lanes, slots
from .lanes import Offer as Offer
from .slots import Limit
from .tables import CHECKPOINTS, QUEUES, RUNS, WORKERS
from .vendors import Session

# What every attempt needs; what only a run has that was claimed before, or that somebody sent something to, is PAST_COLUMNS.
CLAIMED_COLUMNS = (
    "id, lease_token, inbox, task_path, backend, queue_name, priority, args, kwargs, options, attempts, max_attempts, crashes, "
    "enqueued_at, run_after, last_sequence, parent_id, metadata, code_version, "
    "(dedupe_key <> '' OR supersede_key <> '') AS holds_keys"
)
PAST_COLUMNS = "id, started_at, worker_ids, errors, workflow_state, workflow_step, visit, visit_sequence, state_version"

assert may_move(RunStatus.READY, RunStatus.CLAIMED)


class WorkerDeclaredDead(Exception):
    """Somebody swept this worker: it must drop all it holds and register anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worker asks for: whose worker it is, the tasks it knows, the queues it serves (None for all, less the excluded).

    Of tasks with one of the ``pins`` it takes only runs whose code it has.

    Runs with earlier crashes are taken only when ``takes_crashed``, and of runs with limits ``takes_limited``: they are run at
    once, never prefetched. ``concurrency`` is how many runs may be under way in all, ``queue_limits`` what the settings say.
    """

    worker_id: str
    task_paths: Sequence[str]
    pins: Mapping[str, Pin] = field(default_factory=dict)
    queues: Sequence[str] | None = None
    excluded_queues: Sequence[str] = ()
    takes_crashed: bool = True
    takes_limited: int = 1000
    concurrency: int | None = None
    queue_limits: Mapping[str, QueueLimits] = field(default_factory=dict)
    turns: lanes.Turns = field(default_factory=lanes.Turns)

    def serves(self, queue_name: str) -> bool:
        """Tell whether this worker serves a queue."""
        return (self.queues is None or queue_name in self.queues) and queue_name not in self.excluded_queues

    def known(self, session: Session, runs: str = RUNS) -> tuple[str, tuple[Any, ...]]:
        """Return the condition for runs of the tasks that it knows, with its parameters; it is never NULL.

        ``runs`` is what the statement calls the table of runs.
        """
        known, parameters = self._named(session)
        for path, pin in self.pins.items():
            # A fork was never begun, and has a history all the same.
            known += (
                f" AND (task_path <> %s OR code_version IN ({_marks(pin.versions)}) OR (code_version < %s "
                f"AND started_at IS NULL AND NOT EXISTS (SELECT 1 FROM {CHECKPOINTS} c WHERE c.run_id = {runs}.id)))"
            )
            parameters = (*parameters, path, *pin.versions, pin.version)
        return known, parameters

    def _named(self, session: Session) -> tuple[str, tuple[Any, ...]]:
        if session.brand.has_arrays:
            return "task_path = ANY(%s)", (list(self.task_paths),)
        return f"task_path IN ({_marks(self.task_paths)})", tuple(self.task_paths)


def _marks(parameters: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(parameters)) or "''"


@dataclass(frozen=True, slots=True)
class Head:
    """One (queue, rank) pair: whether runs without limits are due there, and whether there are lanes of runs with limits.

    ``limits`` are those of the whole queue.
    """

    queue_name: str
    rank: int
    is_due: bool
    has_lanes: bool
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Heads:
    """Where a claim finds what is due, best rank first. ``paused`` are queues that nothing is taken of."""

    pairs: Sequence[Head]
    paused: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.pairs)


def claim(
    session: Session,
    wanted: Wanted,
    *,
    limit: int,
    heads: Heads | None = None,
    offers: Sequence[Offer] | None = None,
) -> list[ClaimedRun]:
    """Claim up to ``limit`` due runs, best rank first; of those without limits the oldest due time next.

    ``heads`` is what ready_heads() returned a moment ago, ``offers`` what look() made of it; without them, they are asked here.

    Takes a share of the worker's row first, so that a sweep cannot pass by (locking rule 5); raises WorkerDeclaredDead when
    the worker was swept. Call inside ``session.transaction()``. Never waits for a run's row lock.
    """
    if limit <= 0 or not wanted.task_paths:
        return []
    heads = ready_heads(session, wanted) if heads is None else heads
    if not heads:
        return []
    offers = look(session, wanted, heads, limit=limit) if offers is None else offers
    names = lanes.names_of([*(head.limits for head in heads.pairs), *(offer.limits for offer in offers)])
    is_held = not session.brand.has_arrays or bool(names or offers)
    if is_held:
        hold_worker(session, wanted.worker_id)
    taking = _Taking(session, wanted, limit, slots.Gate.lock(session, names), offers)
    for head in heads.pairs:
        if len(taking.claimed) < limit:
            taking.at(head)
    taking.gate.write()
    if not is_held and not taking.claimed:
        # The claim itself holds the worker's row; that it brought nothing may mean that there is none to hold.
        hold_worker(session, wanted.worker_id)
    return taking.claimed


def look(session: Session, wanted: Wanted, heads: Heads, *, limit: int) -> list[Offer]:
    """Find the lanes that seem to have room, before the claim's transaction; see lanes.look()."""
    if limited := [head for head in heads.pairs if head.limits]:
        slots.look(session, lanes.names_of(head.limits for head in limited))
    if not any(head.has_lanes for head in heads.pairs):
        return []
    return lanes.look(session, wanted, heads.pairs, most=min(limit, wanted.takes_limited))


@dataclass(slots=True)
class _Taking:
    """One claim, pair by pair."""

    session: Session
    wanted: Wanted
    limit: int
    gate: slots.Gate
    offers: Sequence[Offer]
    claimed: list[ClaimedRun] = field(default_factory=list)
    limited: int = 0

    def at(self, head: Head) -> None:
        """Take what is due of one (queue, rank). Where both wait, lanes get half of the room, and what is left over."""
        line = entering.Line(self.session, self.wanted, self.gate, [each for each in self.offers if each.head == head])
        room = self._room(head)
        if line.offers:
            self._of_lanes(head, line, (room + 1) // 2 if head.is_due else room)
        if head.is_due:
            self._without_limits(head)
        if line.offers:
            self._of_lanes(head, line, self._room(head))

    def _room(self, head: Head) -> int:
        room = self.limit - len(self.claimed)
        if head.limits:
            room = self.gate.room(head.limits, min(room, self.wanted.takes_limited - self.limited))
        return room

    def _of_lanes(self, head: Head, line: entering.Line, most: int) -> None:
        if ids := line.take(min(most, self.wanted.takes_limited - self.limited)):
            line.keep_keys()
            self._count(head, self._limited(_claim_chosen(self.session, self.wanted.worker_id, ids)))

    def _without_limits(self, head: Head) -> None:
        if (room := self._room(head)) > 0:
            found = _claim_head(self.session, self.wanted, head.queue_name, head.rank, room)
            self._count(head, self._limited(found) if head.limits else found)

    @staticmethod
    def _limited(found: Sequence[ClaimedRun]) -> list[ClaimedRun]:
        return [replace(run, is_limited=True) for run in found]

    def _count(self, head: Head, found: Sequence[ClaimedRun]) -> None:
        self.claimed += found
        self.limited += sum(run.is_limited for run in found)
        if head.limits:
            self.gate.take(head.limits, len(found))


def ready_heads(session: Session, wanted: Wanted) -> Heads:
    """Walk the few distinct (queue, rank) pairs of the ready index; return those this worker serves, best rank first."""
    pairs: list[Head] = []
    paused: set[str] = set()
    for queue_name, rank, is_paused, is_due, has_lanes, concurrency, rate in session.execute(
        _HEADS.format(now=session.now)
    ):
        if is_paused:
            paused.add(queue_name)
        elif wanted.serves(queue_name) and (is_due or has_lanes):
            own = wanted.queue_limits.get(queue_name, NO_LIMITS).overruled(concurrency, rate)
            limits = lanes.limits_of_queue(queue_name, own, wanted.concurrency)
            pairs.append(Head(queue_name, rank, bool(is_due), bool(has_lanes), limits))
    return Heads(sorted(pairs, key=lambda head: (head.rank, head.queue_name)), frozenset(paused))


# One index probe a pair, instead of a look at every ready row. PostgreSQL, SQLite and MariaDB all read it so. The few queues
# that somebody paused come with it, so that a worker hears of a pause although nothing is due there. The first in order is asked
# for, not EXISTS: PostgreSQL takes one among many for found at once, reads the table, and passes by every run that has ended.
_HEADS = f"""
WITH RECURSIVE pairs(queue_name, ready_rank) AS (
  SELECT * FROM (SELECT queue_name, ready_rank FROM {RUNS} WHERE status = 'READY'
                 ORDER BY queue_name, ready_rank LIMIT 1) AS first_pair
  UNION ALL
  SELECT
    COALESCE(
      (SELECT queue_name FROM {RUNS} r WHERE status = 'READY' AND r.queue_name = p.queue_name
         AND r.ready_rank > p.ready_rank ORDER BY queue_name, ready_rank LIMIT 1),
      (SELECT queue_name FROM {RUNS} r WHERE status = 'READY' AND r.queue_name > p.queue_name
         ORDER BY queue_name, ready_rank LIMIT 1)),
    COALESCE(
      (SELECT ready_rank FROM {RUNS} r WHERE status = 'READY' AND r.queue_name = p.queue_name
         AND r.ready_rank > p.ready_rank ORDER BY queue_name, ready_rank LIMIT 1),
      (SELECT ready_rank FROM {RUNS} r WHERE status = 'READY' AND r.queue_name > p.queue_name
         ORDER BY queue_name, ready_rank LIMIT 1))
  FROM pairs p WHERE p.queue_name IS NOT NULL
)
SELECT p.queue_name, p.ready_rank, FALSE,
  (SELECT 1 FROM {RUNS} r WHERE r.status = 'READY' AND r.queue_name = p.queue_name AND r.ready_rank = p.ready_rank
    AND r.lane = '' AND r.due_at <= {{now}} ORDER BY r.due_at LIMIT 1) IS NOT NULL,
  (SELECT 1 FROM {RUNS} r WHERE r.status = 'READY' AND r.queue_name = p.queue_name AND r.ready_rank = p.ready_rank
    AND r.lane > '' ORDER BY r.lane LIMIT 1) IS NOT NULL,
  q.concurrency, q.rate
FROM pairs p LEFT JOIN {QUEUES} q ON q.name = p.queue_name WHERE p.queue_name IS NOT NULL AND q.paused_at IS NULL
UNION ALL
SELECT q.name, 0, TRUE, FALSE, FALSE, NULL, '' FROM {QUEUES} q WHERE q.paused_at IS NOT NULL"""


def claim_one(session: Session, worker_id: str, run_id: UUID) -> ClaimedRun | None:
    """Claim this run if it is due; None when it is not. Waits for its row, and raises LimitReached when it may not start now.

    Call inside ``session.transaction()``, after hold_worker() (locking rule 1).
    """
    due = session.execute(
        "SELECT task_path, options, lane, slots, queue_name, backend, "
        f"(SELECT q.concurrency FROM {QUEUES} q WHERE q.name = r.queue_name), "
        f"(SELECT q.rate FROM {QUEUES} q WHERE q.name = r.queue_name) "
        f"FROM {RUNS} r WHERE id = %s AND status = 'READY' AND due_at <= {session.now} {session.brand.lock}",
        (session.uuid(run_id),),
    )
    if not due:
        return None
    entering.enter_one(session, run_id, *due[0])
    return _claim_chosen(session, worker_id, [session.uuid(run_id)])[0]


_CLAIM = f"UPDATE {RUNS} SET status = 'CLAIMED', lease_token = lease_token + 1, lease_worker = %s, version = version + 1 WHERE"


def hold_worker(session: Session, worker_id: str) -> None:
    """Take a share of a worker's row, so that a sweep cannot pass by. Raise WorkerDeclaredDead when it was swept."""
    alive = session.execute(
        f"SELECT 1 FROM {WORKERS} WHERE id = %s AND dead_at IS NULL{session.brand.share_worker}", (worker_id,)
    )
    if not alive:
        raise WorkerDeclaredDead(worker_id)


def _claim_head(session: Session, wanted: Wanted, queue_name: str, rank: int, limit: int) -> list[ClaimedRun]:
    """Take the due head of one (queue, rank): the ready index in its own order, nothing in front of it to be searched."""
    known = wanted.known(session)
    crashed = "" if wanted.takes_crashed else " AND crashes = 0"
    choose = (
        f"SELECT id FROM {RUNS}{session.brand.in_ready_order} WHERE status = 'READY' AND queue_name = %s "
        f"AND ready_rank = %s AND lane = '' AND due_at <= {session.now}"
        f"{crashed} AND {known[0]} {{held}}ORDER BY due_at, id LIMIT %s "
    )
    parameters = (queue_name, rank, *known[1], limit)
    lock = f"{session.brand.lock}{session.brand.skip}"
    if session.brand.has_arrays:
        # ARRAY(...) makes the planner run the choice once; the worker's row is held before the first run is looked at.
        choose = choose.format(held="AND EXISTS (SELECT 1 FROM me) ")
        rows = session.execute(
            f"WITH me AS MATERIALIZED (SELECT 1 FROM {WORKERS} WHERE id = %s AND dead_at IS NULL{session.brand.share_worker}), "
            f"taken AS ({_CLAIM} id = ANY(ARRAY({choose}{lock})) RETURNING {CLAIMED_COLUMNS}, {session.now}, due_at) "
            "SELECT * FROM taken ORDER BY due_at, id",  # what an UPDATE returns comes in no order
            (wanted.worker_id, wanted.worker_id, *parameters),
        )
    else:
        ids = [row[0] for row in session.execute(choose.format(held="") + lock, parameters)]
        return _claim_chosen(session, wanted.worker_id, ids)
    return _claimed_runs(session, rows, wanted.worker_id)


def _claim_chosen(session: Session, worker_id: str, ids: Sequence[Any]) -> list[ClaimedRun]:
    """Claim runs whose rows are locked, and return them in this order."""
    if not ids:
        return []
    marks = ", ".join(["%s"] * len(ids))
    session.execute(f"{_CLAIM} id IN ({marks})", (worker_id, *ids))
    found = session.execute(f"SELECT {CLAIMED_COLUMNS}, {session.now} FROM {RUNS} WHERE id IN ({marks})", ids)
    rows = {row[0]: row for row in found}
    return _claimed_runs(session, [rows[run_id] for run_id in ids], worker_id)


@dataclass(frozen=True, slots=True)
class _Past:
    """What earlier slices of a run, or somebody outside, left in its row; ``worker_ids`` and ``errors`` are JSON text."""

    started_at: datetime | None = None
    worker_ids: str = "[]"
    errors: str = "[]"
    stage: Stage = UNSTAGED


NO_PAST = _Past()


def _claimed_runs(session: Session, rows: Sequence[tuple[Any, ...]], worker_id: str) -> list[ClaimedRun]:
    """Make what a claim returned fit for the attempts, in its order."""
    monotonic = clock.monotonic()
    pasts = _pasts(session, [row[0] for row in rows if row[1] > 1 or row[2]])
    return [_claimed_run(session, row, monotonic, worker_id, pasts.get(row[0], NO_PAST)) for row in rows]


def _pasts(session: Session, ids: Sequence[Any]) -> dict[Any, _Past]:
    if not ids:
        return {}
    rows = session.execute(f"SELECT {PAST_COLUMNS} FROM {RUNS} WHERE id IN ({', '.join(['%s'] * len(ids))})", ids)
    return {row[0]: _Past(session.instant_or_none(row[1]), row[2], row[3], _stage(*row[4:])) for row in rows}


def _stage(state: str | None, step: str, visit: int, sequence: int, version: int) -> Stage:
    if not visit and state is None:
        return UNSTAGED
    return Stage(state=state, step=step, visit=visit, sequence=sequence, version=version)


def _claimed_run(session: Session, row: tuple[Any, ...], monotonic: float, worker_id: str, past: _Past) -> ClaimedRun:
    return ClaimedRun(
        lease=Lease(run_id=session.as_uuid(row[0]), token=row[1]),
        inbox=row[2],
        task_path=row[3],
        backend=row[4],
        queue_name=row[5],
        priority=row[6],
        args=row[7],
        kwargs=row[8],
        options=row[9],
        attempts=row[10],
        max_attempts=row[11],
        crashes=row[12],
        enqueued_at=session.instant(row[13]),
        run_after=session.instant_or_none(row[14]),
        last_sequence=row[15],
        parent_id=None if row[16] is None else session.as_uuid(row[16]),
        metadata=row[17],
        code_version=row[18],
        holds_keys=bool(row[19]),
        now_at=session.instant(row[20]),
        claimed_monotonic=monotonic,
        worker_id=worker_id,
        started_at=past.started_at,
        worker_ids=past.worker_ids,
        errors=past.errors,
        stage=past.stage,
    )
