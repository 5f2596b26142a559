"""Runs whose worker is alive but that give no sign of going on: marked for people, and left to run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.options import WITHOUT_LINES
from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.primitives.status import Level, StepKind

from .tables import CHECKPOINTS, RUNS, STEPS
from .vendors import Session

MARKED_AT_ONCE = 500
# What changes with every sign that a run gives.
SEEN = "r.lease_token, r.last_sequence, r.attempts, r.last_attempted_at, r.progress_at, r.version"


@dataclass(frozen=True, slots=True)
class _Run:
    run_id: UUID
    options: str
    seen: tuple[Any, ...]
    sign_at: datetime

    def patience(self, usual: float | None) -> float | None:
        """How many seconds this run may be silent."""
        own = json.loads(self.options).get("stalled_after") if "stalled_after" in self.options else None
        return usual if own is None else float(own)


def mark(session: Session, usual: float | None) -> list[UUID]:
    """Mark the running runs that have written nothing for longer than they may, and return their ids.

    That is ``usual`` seconds, or what their task says by ``stalled_after``; None is for ever. Progress, a line, a checkpoint: any
    write of the attempt is a sign, and takes the mark away. A row that somebody has locked shows a sign just now.
    """
    now = session.now_at()
    late = [run for run in _running(session) if _is_late(run, usual, now)]
    marked: list[UUID] = []
    for start in range(0, len(late), MARKED_AT_ONCE):
        with session.transaction():
            marked += [run.run_id for run in late[start : start + MARKED_AT_ONCE] if _mark(session, run, now)]
    return marked


def are_asked_for(task_paths: Iterable[str]) -> bool:
    """Tell whether one of these tasks says how long its runs may be silent."""
    known = registered()
    return any(options_of(known[path]).stalled_after is not None for path in task_paths if path in known)


def _is_late(run: _Run, usual: float | None, now: datetime) -> bool:
    patience = run.patience(usual)
    return patience is not None and run.sign_at < now - timedelta(seconds=patience)


def _running(session: Session) -> list[_Run]:
    """Read the running runs without a mark, each with its last sign. There are no more than workers have slots."""
    rows = session.execute(
        f"SELECT r.id, r.options, {SEEN}, (SELECT s.created_at FROM {STEPS} s WHERE s.run_id = r.id "
        f"AND s.sequence = r.last_sequence), CASE WHEN r.options LIKE %s THEN (SELECT MAX(c.created_at) FROM {CHECKPOINTS} c "
        f"WHERE c.run_id = r.id) END FROM {RUNS} r WHERE r.status = 'RUNNING' AND r.stalled_at IS NULL",
        (f"%{WITHOUT_LINES}%",),
    )
    return [
        _Run(
            session.as_uuid(run_id), options, (token, last, attempts, begun_at, progress_at, version),
            max(session.instant(sign) for sign in (begun_at, progress_at, told_at, kept_at) if sign is not None),
        )
        for run_id, options, token, last, attempts, begun_at, progress_at, version, told_at, kept_at in rows
    ]  # fmt: skip


def _mark(session: Session, run: _Run, now: datetime) -> bool:
    rows = session.execute(
        f"SELECT {SEEN} FROM {RUNS} r WHERE id = %s AND status = 'RUNNING' AND stalled_at IS NULL "
        f"{session.brand.lock}{session.brand.skip}",
        (session.uuid(run.run_id),),
    )
    if not rows or tuple(rows[0]) != run.seen:  # it is locked, or gave a sign since it was looked at
        return False
    _, last, attempts, *_ = run.seen
    moment, seconds = session.moment(now), (now - run.sign_at).total_seconds()
    session.execute(
        f"UPDATE {RUNS} SET stalled_at = %s, last_sequence = last_sequence + 1, version = version + 1 WHERE id = %s",
        (moment, session.uuid(run.run_id)),
    )
    session.execute(
        f"INSERT INTO {STEPS} (run_id, sequence, kind, level, attempt, path, message, data, created_at) "
        "VALUES (%s, %s, %s, %s, %s, '', %s, '', %s)",
        (
            session.uuid(run.run_id), last + 1, StepKind.STALLED.value, Level.WARN.value, attempts + 1,
            f"No progress for {seconds:.0f} s", moment,
        ),
    )  # fmt: skip
    return True
