"""What workers may do: claim what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import RunStatus, may_move
from django_tasks_durable.primitives.writes import UNSTAGED, ClaimedRun, Stage

from .tables import RUNS, WORKERS
from .vendors import Session

CLAIMED_COLUMNS = (
    "id, lease_token, task_path, backend, queue_name, priority, args, kwargs, options, attempts, max_attempts, crashes, inbox, "
    "enqueued_at, run_after, started_at, worker_ids, errors, last_sequence, due_at, "
    "(dedupe_key <> '' OR supersede_key <> ''), parent_id, "
    "workflow_state, workflow_step, visit, visit_sequence, state_version, metadata, code_version"
)

assert may_move(RunStatus.READY, RunStatus.CLAIMED)


class WorkerDeclaredDead(Exception):
    """Somebody swept this worker: it must drop all it holds and register anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worker asks for: whose worker it is, the tasks it knows, the queues it serves (None for all, less the excluded).

    Runs with earlier crashes are taken only when ``takes_crashed``: they are run at once, never prefetched.
    """

    worker_id: str
    task_paths: Sequence[str]
    queues: Sequence[str] | None = None
    excluded_queues: Sequence[str] = ()
    takes_crashed: bool = True

    def serves(self, queue_name: str) -> bool:
        """Tell whether this worker serves a queue."""
        return (self.queues is None or queue_name in self.queues) and queue_name not in self.excluded_queues


def claim(
    session: Session, wanted: Wanted, *, limit: int, heads: Sequence[tuple[str, int]] | None = None
) -> list[ClaimedRun]:
    """Claim up to ``limit`` due runs, best rank first, oldest due time next.

    ``heads`` is what ready_heads() returned a moment ago; without it, it is asked here.

    Takes a share of the worker's row first, so that a sweep cannot pass by (locking rule 5); raises WorkerDeclaredDead when
    the worker was swept. Call inside ``session.transaction()``. Never waits for a run's row lock.
    """
    if limit <= 0 or not wanted.task_paths:
        return []
    claimed: list[ClaimedRun] = []
    heads = ready_heads(session, wanted) if heads is None else heads
    if not heads:
        return claimed
    if not session.brand.has_arrays:
        hold_worker(session, wanted.worker_id)
    for queue_name, rank in heads:
        claimed += _claim_head(session, wanted, queue_name, rank, limit - len(claimed))
        if len(claimed) >= limit:
            break
    if session.brand.has_arrays and not claimed:
        # The claim itself holds the worker's row; that it brought nothing may mean that there is none to hold.
        hold_worker(session, wanted.worker_id)
    return claimed


def ready_heads(session: Session, wanted: Wanted) -> list[tuple[str, int]]:
    """Walk the few distinct (queue, rank) pairs of the ready index; return those this worker serves, best rank first."""
    rows = session.execute(_HEADS.format(now=session.now))
    return sorted(
        ((queue_name, rank) for queue_name, rank in rows if wanted.serves(queue_name)),
        key=lambda head: (head[1], head[0]),
    )


# One index probe a pair, instead of a look at every ready row. PostgreSQL, SQLite and MariaDB all read it so.
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
SELECT queue_name, ready_rank FROM pairs p WHERE queue_name IS NOT NULL AND EXISTS (
  SELECT 1 FROM {RUNS} r WHERE r.status = 'READY' AND r.queue_name = p.queue_name AND r.ready_rank = p.ready_rank
    AND r.due_at <= {{now}})"""


def claim_one(session: Session, worker_id: str, run_id: UUID) -> ClaimedRun | None:
    """Claim this run if it is due; None when it is not. Waits for its row.

    Call inside ``session.transaction()``, after hold_worker() (locking rule 1).
    """
    chosen = (session.uuid(run_id),)
    due = session.execute(
        f"SELECT 1 FROM {RUNS} WHERE id = %s AND status = 'READY' AND due_at <= {session.now} {session.brand.lock}",
        chosen,
    )
    if not due:
        return None
    session.execute(f"{_CLAIM} id = %s", (worker_id, *chosen))
    (row,) = session.execute(f"SELECT {CLAIMED_COLUMNS}, {session.now} FROM {RUNS} WHERE id = %s", chosen)
    return _claimed_run(session, row, clock.monotonic(), worker_id)


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
    known = _known(session, wanted)
    crashed = "" if wanted.takes_crashed else " AND crashes = 0"
    choose = (
        f"SELECT id FROM {RUNS}{session.brand.in_ready_order} WHERE status = 'READY' AND queue_name = %s "
        f"AND ready_rank = %s AND due_at <= {session.now}"
        f"{crashed} AND {known[0]} {{held}}ORDER BY due_at, id LIMIT %s "
    )
    parameters = (queue_name, rank, *known[1], limit)
    lock = f"{session.brand.lock}{session.brand.skip}"
    if session.brand.has_arrays:
        # ARRAY(...) makes the planner run the choice once; the worker's row is held before the first run is looked at.
        choose = choose.format(held="AND EXISTS (SELECT 1 FROM me) ")
        rows = session.execute(
            f"WITH me AS MATERIALIZED (SELECT 1 FROM {WORKERS} WHERE id = %s AND dead_at IS NULL{session.brand.share_worker}) "
            f"{_CLAIM} id = ANY(ARRAY({choose}{lock})) RETURNING {CLAIMED_COLUMNS}, {session.now}",
            (wanted.worker_id, wanted.worker_id, *parameters),
        )
    else:
        ids = [row[0] for row in session.execute(choose.format(held="") + lock, parameters)]
        if not ids:
            return []
        marks = ", ".join(["%s"] * len(ids))
        session.execute(f"{_CLAIM} id IN ({marks})", (wanted.worker_id, *ids))
        rows = session.execute(f"SELECT {CLAIMED_COLUMNS}, {session.now} FROM {RUNS} WHERE id IN ({marks})", ids)
    monotonic = clock.monotonic()
    # What an UPDATE returns comes in no order.
    in_order = sorted(rows, key=lambda row: (session.instant(row[19]), session.as_uuid(row[0])))
    return [_claimed_run(session, row, monotonic, wanted.worker_id) for row in in_order]


def _known(session: Session, wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
    if session.brand.has_arrays:
        return "task_path = ANY(%s)", (list(wanted.task_paths),)
    return f"task_path IN ({', '.join(['%s'] * len(wanted.task_paths))})", tuple(wanted.task_paths)


def _claimed_run(session: Session, row: tuple[Any, ...], monotonic: float, worker_id: str) -> ClaimedRun:
    return ClaimedRun(
        lease=Lease(run_id=session.as_uuid(row[0]), token=row[1]),
        task_path=row[2],
        backend=row[3],
        queue_name=row[4],
        priority=row[5],
        args=row[6],
        kwargs=row[7],
        options=row[8],
        attempts=row[9],
        max_attempts=row[10],
        crashes=row[11],
        inbox=row[12],
        enqueued_at=session.instant(row[13]),
        run_after=session.instant_or_none(row[14]),
        started_at=session.instant_or_none(row[15]),
        worker_ids=row[16],
        errors=row[17],
        last_sequence=row[18],
        parent_id=None if row[21] is None else session.as_uuid(row[21]),
        metadata=row[-3],
        code_version=row[-2],
        now_at=session.instant(row[-1]),
        claimed_monotonic=monotonic,
        worker_id=worker_id,
        holds_keys=bool(row[20]),
        stage=_stage(row),
    )


def _stage(row: tuple[Any, ...]) -> Stage:
    state, step, visit, sequence, version = row[22:27]
    if not visit and state is None:
        return UNSTAGED
    return Stage(state=state, step=step, visit=visit, sequence=sequence, version=version)
