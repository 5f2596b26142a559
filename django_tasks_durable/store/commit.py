"""What an attempt may do: change its run, fenced by its lease, many runs in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django_tasks_durable.exceptions import LeaseLost, StateMoved
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.marks import POLLED, TRY
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind
from django_tasks_durable.primitives.writes import StateRecord, Verdict

from . import children, keys, rewriting
from .awaiting import as_text
from .deltas import Delta
from .tables import CHECKPOINTS, MESSAGES, RUNS, STEPS, WAITS
from .vendors import Session
from .vendors.arrays import array_literal

HELD = "status IN ('CLAIMED', 'RUNNING')"
# The same, said so that the planner cannot choose the index of leased runs: its statistics are always stale, and where it
# believed that index nearly empty, a batch of 250 was joined row by row.
HELD_BY_ID = "status NOT IN ('READY', 'WAITING', 'SUCCESSFUL', 'FAILED', 'CANCELLED')"

# Beyond so many, arrays are quicker than a statement of their own for each number of rows, which takes a parameter a value.
ROWS_WITHOUT_ARRAYS = 16
STEP_COLUMNS = "run_id, sequence, kind, level, attempt, path, message, percent, data, created_at"
CHECKPOINT_COLUMNS = "run_id, path, kind, position, fingerprint, failed, value, attempt, seconds, created_at"
WAIT_COLUMNS = (
    "run_id, path, kind, position, fingerprint, token, request, permission, form, event, deadline, has_default, created_at, "
    "answered_by"
)


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else holds the row's lock for a moment, and the lease is still good: ask again later."""


BUSY = Busy()
Answer = Verdict | LeaseLost | Busy


def commit(session: Session, deltas: Sequence[Delta], *, waits_for_locks: bool = False) -> dict[UUID, Answer]:
    """Commit the changes of many runs in one transaction and tell what became of each.

    Never waits for somebody's row lock unless ``waits_for_locks``: what it did not get is BUSY, or LeaseLost when another
    token or status is in the row. Call inside ``session.transaction()``, or alone when ``is_one_statement(...)``.
    """
    answers: dict[UUID, Answer] = {}
    leases = [delta.lease for delta in deltas]
    ending = [delta.lease.run_id for delta in deltas if delta.may_free_keys]
    if ending:
        deltas = _with_their_keys(session, deltas, ending, waits_for_locks)
    deltas = sorted(deltas, key=lambda delta: delta.lease.run_id.int)  # one order of locks everywhere
    unconditional = [delta for delta in deltas if session.brand.has_arrays and delta.is_unconditional]
    if unconditional:
        answers.update(_commit_in_one_statement(session, unconditional, waits_for_locks))
    conditional = [delta for delta in deltas if not (session.brand.has_arrays and delta.is_unconditional)]
    if conditional:
        answers.update(_commit_under_lock(session, conditional, waits_for_locks))
    if ended := [run_id for run_id in ending if run_id in answers and _is_over(answers[run_id])]:
        keys.let_go(session, ended)
    answers.update(_look(session, [lease for lease in leases if lease.run_id not in answers]))
    crash_point("during_outcome" if any(delta.status for delta in deltas) else "during_checkpoint")
    return answers


def is_one_statement(session: Session, deltas: Sequence[Delta]) -> bool:
    """Tell whether commit() needs no transaction around it."""
    return session.brand.has_arrays and all(delta.is_unconditional and not delta.may_free_keys for delta in deltas)


def _with_their_keys(session: Session, deltas: Sequence[Delta], ending: Sequence[UUID], waits: bool) -> list[Delta]:
    """Lock the keys of runs that may end, before the runs; leave out those whose keys somebody else is about to change."""
    if waits:
        keys.lock(session, *ending)
        return list(deltas)
    got = keys.lock_at_once(session, ending)
    return [delta for delta in deltas if not delta.may_free_keys or delta.lease.run_id in got]


def _is_over(answer: Answer) -> bool:
    return isinstance(answer, Verdict) and answer.status in FINISHED


def _look(session: Session, leases: Sequence[Lease]) -> dict[UUID, Answer]:
    """Tell lost leases from rows that are only locked by somebody, without a lock."""
    if not leases:
        return {}
    marks = ", ".join(["%s"] * len(leases))
    rows = session.execute(
        f"SELECT id, lease_token FROM {RUNS} WHERE {HELD} AND id IN ({marks})",
        [session.uuid(lease.run_id) for lease in leases],
    )
    tokens = {session.as_uuid(run_id): token for run_id, token in rows}
    return {
        lease.run_id: BUSY if tokens.get(lease.run_id) == lease.token else LeaseLost(lease.run_id, lease.token)
        for lease in leases
    }


# --- one statement: what holds whatever is in the row, given the lease

# What the row takes over from the change `w`. Everything is fenced by id, token and status, under the row's lock.
_CHANGES = f"""
    last_sequence = r.last_sequence + w.lines,
    version = r.version + 1,
    status = CASE WHEN w.result IS NOT NULL THEN '{RunStatus.SUCCESSFUL}' WHEN w.started THEN '{RunStatus.RUNNING}'
                  ELSE r.status END,
    result = COALESCE(w.result, r.result),
    started_at = CASE WHEN w.started THEN COALESCE(r.started_at, {{now}}) ELSE r.started_at END,
    last_attempted_at = CASE WHEN w.started THEN {{now}} ELSE r.last_attempted_at END,
    finished_at = CASE WHEN w.result IS NOT NULL THEN {{now}} END,
    stalled_at = NULL,
    crashes = CASE WHEN w.kept THEN 0 ELSE r.crashes END,
    deliveries = CASE WHEN w.kept THEN 0 ELSE r.deliveries END,
    progress_percent = COALESCE(w.percent, r.progress_percent),
    progress_label = COALESCE(w.label, r.progress_label),
    progress_meta = COALESCE(w.meta, r.progress_meta),
    progress_at = CASE WHEN w.percent IS NULL AND w.label IS NULL AND w.meta IS NULL THEN r.progress_at ELSE {{now}} END
  FROM w
  WHERE r.id = w.id AND r.lease_token = w.token AND r.{HELD_BY_ID}
  RETURNING r.id, w.place, r.last_sequence - w.lines AS base, w.lines, r.status, r.cancel_requested_at IS NOT NULL AS cancelling"""
_CHANGE_TYPES = ("int", "uuid", "bigint", "int", "bool", "bool", "text", "float8", "text", "text")
_CHANGE_NAMES = "place, id, token, lines, started, kept, result, percent, label, meta"
_CHECKPOINT_TYPES = ("text", "text", "int", "text", "bool", "text", "int", "float8")
_CHECKPOINT_NAMES = "path, kind, position, fingerprint, failed, value, attempt, seconds"
_LINE_TYPES = ("int", "text", "text", "int", "text", "text", "float8", "text")
_LINE_NAMES = "number, kind, level, attempt, path, message, percent, data"


def _told(given: str, now: str, lock: str, checkpoints: str, lines: str, on: tuple[str, str]) -> str:
    return f"""
WITH given AS ({given}), w AS MATERIALIZED (
  SELECT given.* FROM given CROSS JOIN LATERAL (
    SELECT r.id FROM {RUNS} r WHERE r.id = given.id AND r.lease_token = given.token AND r.{HELD_BY_ID} {lock}
  ) AS held
), up AS (UPDATE {RUNS} r SET {_CHANGES.format(now=now)}
), c AS (
  INSERT INTO {CHECKPOINTS} ({CHECKPOINT_COLUMNS})
  SELECT up.id, c.path, c.kind, c.position, c.fingerprint, c.failed, c.value, c.attempt, c.seconds, {now}
  FROM ({checkpoints}) c JOIN up ON {on[0]}
), s AS (
  INSERT INTO {STEPS} ({STEP_COLUMNS})
  SELECT up.id, up.base + s.number, s.kind, s.level, s.attempt, s.path, s.message, s.percent, s.data, {now}
  FROM ({lines}) s JOIN up ON {on[1]}
)
SELECT id, status, cancelling, base + lines FROM up"""


def _arrays(types: Sequence[str], names: str) -> str:
    return f"SELECT * FROM unnest({', '.join(f'%s::{each}[]' for each in types)}) AS t({names})"


@lru_cache(maxsize=8)
def _many_sql(now: str, lock: str) -> str:
    return _told(
        _arrays(_CHANGE_TYPES, _CHANGE_NAMES),
        now,
        lock,
        _arrays(("int", *_CHECKPOINT_TYPES), f"place, {_CHECKPOINT_NAMES}"),
        _arrays(("int", *_LINE_TYPES), f"place, {_LINE_NAMES}"),
        ("up.place = c.place", "up.place = s.place"),
    )


def _values(types: Sequence[str], names: str, rows: int) -> str:
    if not rows:
        nothing = ", ".join(f"NULL::{each}" for each in types)
        return f"SELECT * FROM (SELECT {nothing} WHERE FALSE) AS t({names})"
    row = f"({', '.join(f'%s::{each}' for each in types)})"
    return f"SELECT * FROM (VALUES {', '.join([row] * rows)}) AS t({names})"


@lru_cache(maxsize=64)
def _single_sql(now: str, lock: str, checkpoints: int, lines: int) -> str:
    """One run's change without arrays: planned in half the time, and one plan for all when prepared."""
    return _told(
        _values(_CHANGE_TYPES, _CHANGE_NAMES, 1),
        now,
        lock,
        _values(_CHECKPOINT_TYPES, _CHECKPOINT_NAMES, checkpoints),
        _values(_LINE_TYPES, _LINE_NAMES, lines),
        ("TRUE", "TRUE"),
    )


def _commit_in_one_statement(session: Session, deltas: Sequence[Delta], waits: bool) -> dict[UUID, Answer]:
    lock = f"{session.brand.lock} OF r{'' if waits else session.brand.skip}"
    changes, checkpoints, lines = _change_rows(deltas), list(_checkpoint_rows(deltas)), list(_line_rows(deltas))
    parameters: list[Any]
    if len(deltas) == 1 and len(checkpoints) + len(lines) <= ROWS_WITHOUT_ARRAYS:
        sql = _single_sql(session.now, lock, len(checkpoints), len(lines))
        parameters = [*changes[0], *(value for row in (*checkpoints, *lines) for value in row[1:])]
    else:
        sql = _many_sql(session.now, lock)
        parameters = [*_columns(changes, 10), *_columns(checkpoints, 9), *_columns(lines, 9)]
    return {
        run_id: Verdict(status=RunStatus(status), cancel_requested=cancelling, last_sequence=last)
        for run_id, status, cancelling, last in session.execute_often(sql, parameters)
    }


def _change_rows(deltas: Sequence[Delta]) -> list[tuple[Any, ...]]:
    return [
        (
            place, d.lease.run_id, d.lease.token, len(d.lines), d.started, bool(d.checkpoints), d.result, d.percent, d.label, d.meta
        )
        for place, d in enumerate(deltas)
    ]  # fmt: skip


def committed(session: Session, deltas: Sequence[Delta], known: Mapping[UUID, int]) -> dict[UUID, Verdict]:
    """Tell which changes are in the store after a commit whose answer never came, and how those runs stand now.

    ``known`` gives the number of each run's last line before it. Every change leaves a line of the attempt or a checkpoint
    behind, or ends the lease, except one of progress or of the start alone, which may be written twice.
    """
    found: dict[UUID, Verdict] = {}
    for delta in deltas:
        if _is_stored(session, delta, known.get(delta.lease.run_id, 0)):
            found |= _stands(session, delta.lease.run_id)
    return found


def _is_stored(session: Session, delta: Delta, known: int) -> bool:
    run_id = session.uuid(delta.lease.run_id)
    kinds = {line.kind.value for line in delta.lines}
    if delta.status is not None:
        if not delta.tells_all and _has_let_go(session, delta.lease):
            return True
        kinds.add(StepKind.CANCELLED.value)  # what settle() may have made of the last line
    if kinds:
        is_told = bool(
            session.execute(
                f"SELECT 1 FROM {STEPS} WHERE run_id = %s AND sequence > %s AND attempt = %s "
                f"AND kind IN ({', '.join(['%s'] * len(kinds))}) LIMIT 1",
                (run_id, known, delta.attempt, *sorted(kinds)),
            )
        )
        if is_told or delta.tells_all:
            return is_told
    return bool(delta.checkpoints) and bool(
        session.execute(
            f"SELECT 1 FROM {CHECKPOINTS} WHERE run_id = %s AND path = %s", (run_id, delta.checkpoints[0].path)
        )
    )


def _has_let_go(session: Session, lease: Lease) -> bool:
    """Tell whether the attempt that held this lease has ended, and nobody has claimed the run since."""
    return bool(
        session.execute(
            f"SELECT 1 FROM {RUNS} WHERE id = %s AND lease_token = %s AND NOT ({HELD})",
            (session.uuid(lease.run_id), lease.token),
        )
    )


def _stands(session: Session, run_id: UUID) -> dict[UUID, Verdict]:
    rows = session.execute(
        f"SELECT status, cancel_requested_at, last_sequence FROM {RUNS} WHERE id = %s", (session.uuid(run_id),)
    )
    if not rows:
        return {}
    status, cancelling, last = rows[0]
    return {run_id: Verdict(status=RunStatus(status), cancel_requested=cancelling is not None, last_sequence=last)}


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[str]:
    return [array_literal(column) for column in zip(*rows, strict=True)] or ["{}"] * width


def _checkpoint_rows(deltas: Iterable[Delta]) -> Iterable[tuple[Any, ...]]:
    for place, delta in enumerate(deltas):
        for c in delta.checkpoints:
            yield (
                place, c.path, c.kind.value, c.position, c.fingerprint, c.failed, c.value, delta.attempt, c.seconds
            )  # fmt: skip


def _line_rows(deltas: Iterable[Delta]) -> Iterable[tuple[Any, ...]]:
    for place, delta in enumerate(deltas):
        attempt = delta.attempt
        for number, s in enumerate(delta.lines, start=1):
            yield place, number, s.kind.value, s.level.value, attempt, s.path, s.message, s.percent, s.data


# --- lock, decide, write: what depends on the row, and databases without arrays


@dataclass(frozen=True, slots=True)
class _Row:
    last_sequence: int
    inbox: int
    status: str
    cancelling: bool
    state_version: int
    deliveries: int
    max_deliveries: int


def _commit_under_lock(session: Session, deltas: Sequence[Delta], waits: bool) -> dict[UUID, Answer]:
    rows = _lock(session, [delta.lease for delta in deltas], waits)
    held = [delta for delta in deltas if delta.lease.run_id in rows]
    now = session.now_at()
    answers: dict[UUID, Answer] = {}
    for delta in held:
        row = rows[delta.lease.run_id]
        has_moved = delta.give_way(row.state_version)
        delta.count_loss(row.deliveries, row.max_deliveries)
        # Looked at under the lock, so that a child that ends just now is seen here, or sees that its parent waits.
        has_news = bool(delta.awaited) and children.have_news(session, delta.awaited)
        status = delta.settle(cancel_requested=row.cancelling, inbox=row.inbox, has_news=has_news) or (
            RunStatus.RUNNING if delta.started else RunStatus(row.status)
        )
        _update(session, delta, status, now, row)
        answers[delta.lease.run_id] = (
            StateMoved(delta.lease.run_id, delta.lease.token)
            if has_moved
            else Verdict(
                status=status, cancel_requested=row.cancelling, last_sequence=row.last_sequence + len(delta.lines)
            )
        )
    children.insert(session, [(delta.lease.run_id, child) for delta in held for child in delta.children], now)
    _insert_history(session, held, rows, session.moment(now))
    return answers


def _lock(session: Session, leases: Sequence[Lease], waits: bool) -> dict[UUID, _Row]:
    tokens = {lease.run_id: lease.token for lease in leases}
    marks = ", ".join(["%s"] * len(tokens))
    rows = session.execute(
        "SELECT id, lease_token, last_sequence, inbox, status, cancel_requested_at, state_version, deliveries, max_deliveries "
        f"FROM {RUNS} WHERE {HELD} AND id IN ({marks}) ORDER BY id {session.brand.lock}{'' if waits else session.brand.skip}",
        [session.uuid(run_id) for run_id in sorted(tokens)],
    )
    found = {session.as_uuid(row[0]): row for row in rows}
    return {
        run_id: _Row(row[2], row[3], row[4], row[5] is not None, row[6], row[7], row[8])
        for run_id, row in found.items()
        if row[1] == tokens[run_id]
    }


def _update(session: Session, delta: Delta, status: RunStatus, now: datetime, row: _Row) -> None:
    moment = session.moment(now)
    changes: dict[str, Any] = {"status": status.value, "stalled_at": None}
    if delta.started:
        changes["last_attempted_at"] = moment
    if delta.status is not None:
        changes |= _ending(session, delta, status, now)
    if delta.checkpoints:
        changes |= {"crashes": 0, "deliveries": 0}
    if delta.lost is not None:
        changes |= {"crashes": delta.claimed.crashes + 1, "deliveries": delta.deliveries}
    if delta.rewritten is not None:
        changes["code_version"] = delta.rewritten.code_version
    if delta.has_progress:
        changes["progress_at"] = moment
        changes |= {
            column: value
            for column, value in (
                ("progress_percent", delta.percent),
                ("progress_label", delta.label),
                ("progress_meta", delta.meta),
            )
            if value is not None
        }
    if delta.state is not None:
        changes |= _stage(delta, delta.state, row)
    started = ", started_at = COALESCE(started_at, %s)" if delta.started else ""
    if delta.attempts and status is RunStatus.READY:  # the next attempt tells its own progress
        changes |= {"progress_percent": None, "progress_label": "", "progress_meta": "", "progress_at": None}
    assignments = ", ".join(f"{column} = %s" for column in changes)
    changed = session.change(
        f"UPDATE {RUNS} SET last_sequence = last_sequence + %s, version = version + 1, {assignments}{started} "
        f"WHERE id = %s AND lease_token = %s AND {HELD}",
        (
            len(delta.lines),
            *changes.values(),
            *((moment,) if delta.started else ()),
            session.uuid(delta.lease.run_id),
            delta.lease.token,
        ),
    )
    if changed != 1:
        raise AssertionError(f"Run {delta.lease.run_id} was locked, but its fenced update changed {changed} rows.")


def _stage(delta: Delta, state: StateRecord, row: _Row) -> dict[str, Any]:
    changes: dict[str, Any] = {"workflow_step": state.step, "visit": state.visit}
    if state.state is not None:
        changes["workflow_state"] = state.state
    if delta.lines_before_visit is not None:
        changes["visit_sequence"] = row.last_sequence + delta.lines_before_visit
    return changes


def _ending(session: Session, delta: Delta, status: RunStatus, now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "wake_reason": delta.reason.value,
        "due_at": session.moment(delta.due_at or (now if status is RunStatus.READY else None)),
        "error_code": delta.error_code,
    }
    if delta.is_suspension:
        changes["awaited"] = as_text(delta.awaited)
    if delta.result is not None:
        changes["result"] = delta.result
    if delta.attempts:
        changes |= {
            "errors": delta.errors,
            "worker_ids": delta.worker_ids,
            "attempts": delta.claimed.attempts + delta.attempts,
            "crashes": 0,
            "deliveries": 0,
        }
    elif delta.errors is not None:
        changes |= {"errors": delta.errors, "worker_ids": delta.worker_ids}
    if status in FINISHED:
        changes["finished_at"] = session.moment(now)
    return changes


def _insert_history(session: Session, deltas: Sequence[Delta], rows: dict[UUID, _Row], moment: Any) -> None:
    ids = [session.uuid(delta.lease.run_id) for delta in deltas]
    for delta in deltas:
        if delta.rewritten is not None:
            rewriting.clear(session, delta.lease.run_id, delta.rewritten)
        for path in delta.forget:
            session.execute(
                f"DELETE FROM {CHECKPOINTS} WHERE run_id = %s "
                "AND (path = %s OR path LIKE %s ESCAPE '|' OR path LIKE %s ESCAPE '|')",
                (session.uuid(delta.lease.run_id), path, *(f"{_escape_like(path)}{mark}%" for mark in (TRY, POLLED))),
            )
        for path in delta.abandon:
            session.execute(
                f"DELETE FROM {WAITS} WHERE run_id = %s AND path = %s AND answer IS NULL",
                (session.uuid(delta.lease.run_id), path),
            )
    session.execute_many(
        f"INSERT INTO {CHECKPOINTS} ({CHECKPOINT_COLUMNS}) VALUES ({', '.join(['%s'] * 10)})",
        [(ids[row[0]], *row[1:], moment) for row in _checkpoint_rows(deltas)],
    )
    for delta in deltas:
        for message_id, path in delta.consumed:
            _consume(session, delta, message_id, path)
    session.execute_many(
        f"INSERT INTO {WAITS} ({WAIT_COLUMNS}) VALUES ({', '.join(['%s'] * 14)})",
        [
            (
                session.uuid(d.lease.run_id), w.path, w.kind, w.position, w.fingerprint, w.token, w.request, w.permission,
                w.form, w.event, session.moment(w.deadline), w.has_default, moment, "",
            )
            for d in deltas
            for w in d.waits
        ],
    )  # fmt: skip
    session.execute_many(
        f"INSERT INTO {STEPS} ({STEP_COLUMNS}) VALUES ({', '.join(['%s'] * 10)})",
        [
            (ids[row[0]], rows[deltas[row[0]].lease.run_id].last_sequence + row[1], *row[2:], moment)
            for row in _line_rows(deltas)
        ],
    )


def _consume(session: Session, delta: Delta, message_id: int, path: str) -> None:
    taken = session.change(
        f"UPDATE {MESSAGES} SET consumed_path = %s WHERE id = %s AND run_id = %s AND consumed_path = ''",
        (path, message_id, session.uuid(delta.lease.run_id)),
    )
    if taken != 1:
        raise AssertionError(f"Run {delta.lease.run_id}: the message {message_id} was taken before {path}.")


def _escape_like(text: str) -> str:
    return text.replace("|", "||").replace("%", "|%").replace("_", "|_")
