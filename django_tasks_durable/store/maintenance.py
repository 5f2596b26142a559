"""What keeps the queue moving by itself: deadlines, and runs whose code nobody here has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives.status import RunStatus, WakeReason, may_move

from . import children, workers
from .claims import Wanted
from .tables import RUNS
from .vendors import Session

WOKEN_AT_ONCE = 500
UNKNOWN_AFTER_SECONDS = 5
# Where both versions of the code are at work, a run that is due for so long may only wait for its turn.
PINNED_AFTER_SECONDS = 60
PUSHED_BY_SECONDS = 45

assert may_move(RunStatus.WAITING, RunStatus.READY)


def wake_overdue(session: Session) -> list[UUID]:
    """Make waiting runs ready whose deadline has passed, and return their ids."""
    overdue = f"SELECT id FROM {RUNS} WHERE status = 'WAITING' AND due_at <= {session.now}"
    if not session.execute(f"{overdue} LIMIT 1"):
        return []
    with session.transaction():
        rows = session.execute(
            f"{overdue} ORDER BY due_at LIMIT {WOKEN_AT_ONCE} {session.brand.lock}{session.brand.skip}"
        )
        for (run_id,) in rows:
            session.execute(
                f"UPDATE {RUNS} SET status = 'READY', wake_reason = %s, version = version + 1 "
                "WHERE id = %s AND status = 'WAITING'",
                (WakeReason.DEADLINE.value, run_id),
            )
    return [session.as_uuid(run_id) for (run_id,) in rows]


def is_anything_astray(session: Session, wanted: Wanted) -> bool:
    """Tell in one look whether a sweep would find anything: silent workers, runs of dead ones, forgotten kin, unknown heads."""
    kin, kin_parameters = children.forgotten_any()
    unknown, unknown_parameters = _unknown_heads(session, wanted)
    return bool(
        session.execute(
            f"SELECT 1 WHERE {workers.lost(session)} OR {kin} OR EXISTS ({unknown})",
            (*kin_parameters, *unknown_parameters),
        )
    )


def _unknown_heads(session: Session, wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
    known, parameters = wanted.known(session)
    soon = session.brand.plus_seconds(session.now)
    unknown = (
        f"SELECT id, queue_name, task_path FROM {RUNS} WHERE status = 'READY' AND due_at <= {soon} AND NOT ({known})"
    )
    parameters = (-UNKNOWN_AFTER_SECONDS, *parameters)
    if wanted.pins:
        unknown += f" AND (task_path NOT IN ({', '.join(['%s'] * len(wanted.pins))}) OR due_at <= {soon})"
        parameters = (*parameters, *wanted.pins, -PINNED_AFTER_SECONDS)
    return unknown, parameters


def push_unknown_heads(session: Session, wanted: Wanted) -> int:
    """Push back, by 45 s, due runs at the head of the queue that nobody has taken because no worker has their code.

    That is: knows their task, and has the version that they are pinned to.
    Otherwise every claim would have to read past them. They stay queued and are shown by ``tasks doctor``.
    """
    unknown, parameters = _unknown_heads(session, wanted)
    if not session.execute(f"{unknown} LIMIT 1", parameters):
        return 0
    with session.transaction():
        rows = session.execute(
            f"{unknown} ORDER BY due_at LIMIT {WOKEN_AT_ONCE} {session.brand.lock}{session.brand.skip}", parameters
        )
        unknown_ids = [
            run_id for run_id, queue_name, path in rows if wanted.serves(queue_name) and path not in wanted.pins
        ]
        pinned_ids = [run_id for run_id, queue_name, path in rows if wanted.serves(queue_name) and path in wanted.pins]
        _push(session, unknown_ids)
        _push(
            session,
            pinned_ids,
            f", wake_reason = CASE WHEN wake_reason = '' THEN '{WakeReason.VERSION}' ELSE wake_reason END",
        )
    return len(unknown_ids) + len(pinned_ids)


def _push(session: Session, ids: Sequence[Any], change: str = "") -> None:
    if ids:
        session.execute(
            f"UPDATE {RUNS} SET due_at = {session.brand.plus_seconds(session.now)}, version = version + 1{change} "
            f"WHERE id IN ({', '.join(['%s'] * len(ids))}) AND status = 'READY'",
            (PUSHED_BY_SECONDS, *ids),
        )
