"""What is deleted in the end: runs by age and number, lines of long timelines, in small bites; nothing open is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.conf import RetentionPolicy
from django_tasks_durable.primitives.status import FINISHED, OPEN, TRIMMABLE, RunStatus

from . import rollups
from .tables import CHANNELS, CHECKPOINTS, KEYS, MESSAGES, RUNS, STEPS, WAITS
from .vendors import Session

BITE = 500
_FINISHED = ", ".join(f"'{status.value}'" for status in sorted(FINISHED))
_TRIMMABLE = ", ".join(f"'{kind.value}'" for kind in sorted(TRIMMABLE))
_LOOKED_AT = "id, status, finished_at, options, idempotency_key, parent_id, first_sequence, last_sequence"
_OPEN = ", ".join(f"'{status.value}'" for status in sorted(OPEN))


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a bite took, or would take. ``cursor`` is where the next one begins, None when the table's end was reached."""

    deleted_tasks: int = 0
    deleted_steps: int = 0
    compacted_tasks: int = 0
    cursor: UUID | None = None

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.deleted_tasks + other.deleted_tasks,
            self.deleted_steps + other.deleted_steps,
            self.compacted_tasks + other.compacted_tasks,
            other.cursor,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    run_id: UUID
    status: RunStatus
    finished_at: datetime | None
    options: str
    has_idempotency_key: bool
    parent_id: Any
    lines: int


def prune(session: Session, policy: RetentionPolicy, *, after: UUID | None = None, dry_run: bool = False) -> Pruned:
    """Look at the next 500 runs in the order of their ids: trim long timelines, then delete what has been kept long enough.

    A row that somebody has locked is left for the next time. With ``dry_run`` nothing is changed.
    """
    rows = _look(session, after)
    pruned = Pruned(cursor=rows[-1].run_id if len(rows) == BITE else None)
    now = session.now_at()
    old = [row.run_id for row in rows if _is_over(policy, row, now)]
    kept = set(old)
    if policy.steps is not None:
        for row in rows:
            if row.lines > policy.steps and row.run_id not in kept:
                pruned = replace(_trim(session, row.run_id, policy.steps, dry_run) + pruned, cursor=pruned.cursor)
    return replace(_delete(session, policy, old, now, dry_run) + pruned, cursor=pruned.cursor)


def prune_surplus(session: Session, policy: RetentionPolicy, *, dry_run: bool = False) -> Pruned:
    """Delete up to 500 of the runs that ended, well or in failure, and are beyond the newest so many of their task.

    With ``dry_run`` they are all counted.
    """
    if policy.latest is None:
        return Pruned()
    surplus = (
        f"FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY task_path, status ORDER BY id DESC) AS place FROM {RUNS} "
        "WHERE status IN ('SUCCESSFUL', 'FAILED')) AS ranked WHERE place > %s"
    )
    if dry_run:
        return Pruned(deleted_tasks=session.execute(f"SELECT COUNT(*) {surplus}", (policy.latest,))[0][0])
    rows = session.execute(f"SELECT id {surplus} LIMIT {BITE}", (policy.latest,))
    return _delete(session, None, [session.as_uuid(run_id) for (run_id,) in rows], session.now_at(), dry_run)


def is_limited_by(task_paths: Iterable[str]) -> bool:
    """Tell whether one of these tasks says how long its own runs are kept."""
    known = registered()
    return any(options_of(known[path]).retention is not None for path in task_paths if path in known)


def _look(session: Session, after: UUID | None) -> list[_Row]:
    beyond, parameters = ("WHERE id > %s ", (session.uuid(after),)) if after is not None else ("", ())
    return _rows(
        session, session.execute(f"SELECT {_LOOKED_AT} FROM {RUNS} {beyond}ORDER BY id LIMIT {BITE}", parameters)
    )


def _rows(session: Session, found: Iterable[Sequence[Any]]) -> list[_Row]:
    return [
        _Row(
            session.as_uuid(run_id), RunStatus(status), session.instant_or_none(finished_at), options, key != "", parent_id,
            last - first + 1,
        )
        for run_id, status, finished_at, options, key, parent_id, first, last in found
    ]  # fmt: skip


def _is_over(policy: RetentionPolicy, row: _Row, now: datetime) -> bool:
    if row.status not in FINISHED or row.finished_at is None:
        return False
    own = json.loads(row.options).get("retention") if row.status is RunStatus.SUCCESSFUL else None
    seconds = getattr(policy, row.status.value.lower()) if own is None else own
    return seconds is not None and row.finished_at <= now - timedelta(seconds=seconds)


def _trim(session: Session, run_id: UUID, steps: int, dry_run: bool) -> Pruned:
    """Delete log lines before the newest so many lines; what replay or an audit needs stays."""
    with session.transaction():
        found = session.execute(
            f"SELECT first_sequence, last_sequence FROM {RUNS} WHERE id = %s {session.brand.lock}{session.brand.skip}",
            (session.uuid(run_id),),
        )
        if not found or (cut := found[0][1] - steps) < found[0][0]:
            return Pruned()
        doomed = f"FROM {STEPS} WHERE run_id = %s AND sequence BETWEEN %s AND %s AND kind IN ({_TRIMMABLE})"
        parameters = (session.uuid(run_id), found[0][0], cut)
        if dry_run:
            lines = session.execute(f"SELECT COUNT(*) {doomed}", parameters)[0][0]
            return Pruned(deleted_steps=lines, compacted_tasks=int(lines > 0))
        lines = session.change(f"DELETE {doomed}", parameters)
        session.change(
            f"UPDATE {RUNS} SET first_sequence = %s, version = version + 1 WHERE id = %s",
            (cut + 1, session.uuid(run_id)),
        )
    return Pruned(deleted_steps=lines, compacted_tasks=int(lines > 0))


def _delete(
    session: Session, policy: RetentionPolicy | None, run_ids: Sequence[UUID], now: datetime, dry_run: bool
) -> Pruned:
    """Delete runs with all that is theirs, having looked again under their locks that nobody has retried them."""
    if not run_ids:
        return Pruned()
    with session.transaction():
        marks = ", ".join(["%s"] * len(run_ids))
        # Not the lock of a tick: whoever wants to lock a row of these to write for it must not get it any more.
        lock = f" FOR UPDATE{session.brand.skip}" if session.brand.lock else ""
        found = session.execute(
            f"SELECT {_LOOKED_AT} FROM {RUNS} WHERE id IN ({marks}) AND status IN ({_FINISHED}) ORDER BY id{lock}",
            [session.uuid(run_id) for run_id in run_ids],
        )
        rows = [row for row in _rows(session, found) if policy is None or _is_over(policy, row, now)]
        spoken_for = _with_live_keys(session, [row.run_id for row in rows if row.has_idempotency_key])
        spoken_for |= _with_open_parents(session, rows)
        spoken_for |= rollups.uncounted(session, [row.run_id for row in rows])
        doomed = [session.uuid(row.run_id) for row in rows if row.run_id not in spoken_for]
        if not doomed:
            return Pruned()
        marks = ", ".join(["%s"] * len(doomed))
        if dry_run:
            steps = session.execute(f"SELECT COUNT(*) FROM {STEPS} WHERE run_id IN ({marks})", doomed)[0][0]
            return Pruned(deleted_tasks=len(doomed), deleted_steps=steps)
        steps = session.change(f"DELETE FROM {STEPS} WHERE run_id IN ({marks})", doomed)
        for table in (CHECKPOINTS, WAITS, MESSAGES, KEYS, CHANNELS):
            session.change(f"DELETE FROM {table} WHERE run_id IN ({marks})", doomed)
        session.change(f"DELETE FROM {RUNS} WHERE id IN ({marks})", doomed)
    return Pruned(deleted_tasks=len(doomed), deleted_steps=steps)


def _with_live_keys(session: Session, run_ids: Sequence[UUID]) -> set[UUID]:
    """Tell which runs still stand for an idempotency key: who calls again with it must find them."""
    if not run_ids:
        return set()
    rows = session.execute(
        f"SELECT run_id FROM {KEYS} WHERE run_id IN ({', '.join(['%s'] * len(run_ids))}) "
        f"AND kind = 'idempotency' AND expires_at > {session.now}",
        [session.uuid(run_id) for run_id in run_ids],
    )
    return {session.as_uuid(run_id) for (run_id,) in rows}


def _with_open_parents(session: Session, rows: Sequence[_Row]) -> set[UUID]:
    """Tell which runs have a parent that is not at its end: it may not have looked at them yet."""
    parents = {row.parent_id for row in rows if row.parent_id is not None}
    if not parents:
        return set()
    found = session.execute(
        f"SELECT id FROM {RUNS} WHERE id IN ({', '.join(['%s'] * len(parents))}) AND status IN ({_OPEN})", list(parents)
    )
    open_parents = {session.as_uuid(run_id) for (run_id,) in found}
    return {row.run_id for row in rows if row.parent_id is not None and session.as_uuid(row.parent_id) in open_parents}
