"""Runs that runs have started: put in with their parent's commit, read with its history, told of and ended with it.

The end of a child is one fact, its own row. Its parent is woken, and the children of a parent that failed or was cancelled are
cancelled, in short transactions of their own after that; what is lost with a process in between, forgotten() finds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.options import keeps_every_line
from django_tasks_durable.primitives.channels import told_in
from django_tasks_durable.primitives.lanes import spot_of
from django_tasks_durable.primitives.status import FINISHED, LEASED, OPEN, Level, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import Awaited, ChildRecord, ChildRun

from . import channels, intake, keys, slots
from .awaiting import Interest, from_text
from .tables import RUNS, STEPS
from .vendors import Session

AT_ONCE = 500
PARENT_ENDED = "Its parent failed or was cancelled"


def _in(statuses: Iterable[RunStatus]) -> str:
    return f"({', '.join(sorted(repr(status.value) for status in statuses))})"


OVER, UNDER_WAY, HELD, GIVEN_UP = _in(FINISHED), _in(OPEN), _in(LEASED), "('FAILED', 'CANCELLED')"


# --- with the parent's own commit


def insert(session: Session, born: Sequence[tuple[UUID, ChildRun]], now: datetime) -> None:
    """Put children into the store, each with its parent's id. Call inside the parent's fenced transaction."""
    if not born:
        return
    moment = session.moment(now)
    session.execute_many(
        f"INSERT INTO {RUNS} (id, args, kwargs, {intake.SHARED}, {intake.COMMON}, {keys.COLUMNS}, parent_id, parent_path, "
        f"outlives_parent, awaited, enqueued_at, due_at) "
        f"VALUES ({', '.join(['%s'] * intake.SHARED_AND_PAYLOAD)}, {intake.COMMON_VALUES}, "
        f"{intake.WITHOUT_KEYS}, %s, %s, %s, '', %s, %s)",
        [
            (
                session.uuid(child.run_id), child.args, child.kwargs, child.task_path, child.backend, child.queue_name,
                child.priority, -child.priority, session.moment(child.run_after), child.options, child.metadata,
                child.max_attempts, child.max_deliveries, child.code_version, int(keeps_every_line(child.options)),
                *spot_of(child.task_path, child.options).columns,
                session.uuid(parent_id), child.path,
                child.outlives_parent, moment,
                session.moment(max(now, child.run_after) if child.run_after else now),
            )
            for parent_id, child in born
        ],
    )  # fmt: skip
    session.execute_many(
        f"INSERT INTO {STEPS} ({intake.STEP_COLUMNS}) VALUES (%s, 1, '{StepKind.ENQUEUED}', 'info', 0, '', '', '', %s)",
        [(session.uuid(child.run_id), moment) for _, child in born if keeps_every_line(child.options)],
    )
    channels.enter(session, [(child.run_id, told_in(child.options)) for _, child in born])


def have_news(session: Session, awaited: Iterable[Awaited]) -> bool:
    """Tell whether a run that waits so has anything to go on with. A child that is gone counts as ended."""
    return any(_has_news(session, each) for each in awaited)


def _has_news(session: Session, awaited: Awaited) -> bool:
    if awaited.after is not None and session.execute(
        f"SELECT 1 FROM {STEPS} WHERE run_id = %s AND kind = '{StepKind.PARTIAL}' AND sequence > %s LIMIT 1",
        (session.uuid(awaited.children[0]), awaited.after),
    ):
        return True
    return not any(
        session.execute(f"SELECT 1 FROM {RUNS} WHERE id IN ({marks}) AND status IN {UNDER_WAY} LIMIT 1", ids)
        for marks, ids in _portions(session, awaited.children)
    )


# --- with the parent's history


def read(session: Session, interest: Interest) -> dict[UUID, ChildRecord]:
    """Tell how children stand."""
    found: dict[UUID, ChildRecord] = {}
    for marks, ids in _portions(session, interest.children):
        rows = session.execute(f"SELECT id, status, result, errors FROM {RUNS} WHERE id IN ({marks})", ids)
        for run_id, status, result, errors in rows:
            record = as_record(session.as_uuid(run_id), RunStatus(status), result, errors)
            found[record.run_id] = record
    return found


def as_record(run_id: UUID, status: RunStatus, result: str | None, errors: str) -> ChildRecord:
    """Tell how one child stands."""
    if status is not RunStatus.FAILED:
        return ChildRecord(run_id=run_id, status=status, result=result or "null")
    error: dict[str, str] = (json.loads(errors) or [{}])[-1]
    return ChildRecord(
        run_id=run_id,
        status=status,
        exception_class_path=error.get("exception_class_path", ""),
        message=error.get("message", ""),
    )


def streamed(session: Session, interest: Interest) -> dict[str, list[tuple[int, str]]]:
    """Read what children have yielded beyond where their parent's streams stand. Ask after read(): an end is then complete."""
    return {
        path: session.execute(
            f"SELECT sequence, data FROM {STEPS} WHERE run_id = %s AND kind = '{StepKind.PARTIAL}' AND sequence > %s "
            "ORDER BY sequence LIMIT %s",
            (session.uuid(child), after, most),
        )
        for path, (child, after, most) in interest.streams.items()
    }


# --- after somebody's commit


@dataclass(frozen=True, slots=True)
class Woken:
    """Parents that were woken, by their queues, and those whose row somebody held just then: ask for these again."""

    queues: Mapping[UUID, str]
    busy: frozenset[UUID]


def wake_parents(session: Session, parent_ids: Collection[UUID]) -> Woken:
    """Make those of these runs ready that wait for children and have news of them. Never waits for a row's lock.

    A parent that an attempt holds is locked, too: its suspension then comes after what the caller has committed, and finds it.
    """
    queues: dict[UUID, str] = {}
    busy: set[UUID] = set()
    for marks, ids in _portions(session, parent_ids):
        # Who is neither held nor waits for a child will look after this, if ever.
        concerned = session.execute(
            f"SELECT id FROM {RUNS} WHERE id IN ({marks}) AND (status IN {HELD} OR (status = 'WAITING' AND awaited <> ''))",
            ids,
        )
        if not concerned:
            continue
        wanted = [row[0] for row in concerned]
        with session.transaction():
            rows = session.execute(
                f"SELECT id, status, awaited, queue_name FROM {RUNS} WHERE id IN ({', '.join(['%s'] * len(wanted))}) "
                f"AND status IN ('WAITING', 'CLAIMED', 'RUNNING') ORDER BY id {session.brand.lock}{session.brand.skip}",
                wanted,
            )
            for run_id, status, text, queue_name in rows:
                if status == RunStatus.WAITING and text and have_news(session, from_text(text)):
                    _wake(session, run_id)
                    queues[session.as_uuid(run_id)] = queue_name
        busy |= {session.as_uuid(run_id) for run_id in wanted} - {session.as_uuid(row[0]) for row in rows}
    return Woken(queues, frozenset(busy))


def _wake(session: Session, run_id: Any) -> None:
    session.execute(
        f"UPDATE {RUNS} SET status = 'READY', wake_reason = '{WakeReason.CHILD}', due_at = {session.now}, "
        "version = version + 1 WHERE id = %s AND status = 'WAITING'",
        (run_id,),
    )


def cancel_with_parents(session: Session, parent_ids: Collection[UUID], *, waits_for_locks: bool = False) -> list[UUID]:
    """Cancel what is still open below runs that failed or were cancelled; return what was changed.

    A child that somebody holds is asked to stop. Those that outlive their parent are left alone, and so are rows that are
    locked just now, unless ``waits_for_locks``: forgotten() finds them again.
    """
    changed: list[UUID] = []
    generation = list(parent_ids)
    while generation:
        ended: list[UUID] = []
        for marks, ids in _portions(session, generation):
            with session.transaction():
                for run_id, is_over in _cancel(session, marks, ids, "" if waits_for_locks else session.brand.skip):
                    changed.append(run_id)
                    ended += [run_id] if is_over else []
        generation = ended
    return changed


def _cancel(session: Session, marks: str, parents: list[Any], skip: str) -> Iterator[tuple[UUID, bool]]:
    # Parents first: one that is retried meanwhile keeps its children.
    given_up = session.execute(
        f"SELECT id FROM {RUNS} WHERE id IN ({marks}) AND status IN {GIVEN_UP} ORDER BY id {session.brand.lock}{skip}",
        parents,
    )
    if not given_up:
        return
    rows = session.execute(
        f"SELECT id, status, attempts, last_sequence FROM {RUNS} WHERE status IN {UNDER_WAY} "
        f"AND parent_id IN ({', '.join(['%s'] * len(given_up))}) AND NOT outlives_parent AND cancel_requested_at IS NULL "
        f"ORDER BY id {session.brand.lock}{skip}",
        [row[0] for row in given_up],
    )
    for run_id, status, attempts, last_sequence in rows:
        is_over = status not in LEASED
        end = f"status = 'CANCELLED', wake_reason = '', due_at = NULL, finished_at = {session.now}, " if is_over else ""
        session.execute(
            f"UPDATE {RUNS} SET {end}cancel_requested_at = {session.now}, cancel_reason = %s, version = version + 1, "
            "last_sequence = last_sequence + 1 WHERE id = %s",
            (PARENT_ENDED, run_id),
        )
        kind = StepKind.CANCELLED if is_over else StepKind.CANCEL_REQUESTED
        _add_line(session, run_id, last_sequence + 1, kind, Level.WARN, attempts, PARENT_ENDED)
        yield session.as_uuid(run_id), is_over


def revive(session: Session, parent_id: UUID) -> list[str]:
    """Let what was cancelled with a run go on, as the run itself does; return the queues. Call in the transaction of that."""
    queues: list[str] = []
    generation = [session.uuid(parent_id)]
    while generation:
        rows = session.execute(
            f"SELECT id, queue_name, attempts, last_sequence, task_path, options FROM {RUNS} WHERE status = 'CANCELLED' "
            f"AND parent_id IN ({', '.join(['%s'] * len(generation))}) AND cancel_reason = %s ORDER BY id {session.brand.lock}",
            (*generation, PARENT_ENDED),
        )
        for run_id, queue_name, attempts, last_sequence, task_path, options in rows:
            slots.stand_in_line_again(session, session.as_uuid(run_id), task_path, options)
            session.execute(
                f"UPDATE {RUNS} SET status = 'READY', wake_reason = '{WakeReason.OPERATOR}', due_at = {session.now}, "
                "finished_at = NULL, cancel_requested_at = NULL, cancel_reason = '', version = version + 1, "
                "last_sequence = last_sequence + 1 WHERE id = %s",
                (run_id,),
            )
            _add_line(
                session, run_id, last_sequence + 1, StepKind.AUDIT, Level.INFO, attempts, "Retried with its parent"
            )
            queues.append(queue_name)
        generation = [row[0] for row in rows]
    return queues


def _add_line(
    session: Session, run_id: Any, sequence: int, kind: StepKind, level: Level, attempt: int, message: str
) -> None:
    session.execute(
        f"INSERT INTO {STEPS} ({intake.STEP_COLUMNS}) VALUES (%s, %s, %s, %s, %s, '', %s, '', {session.now})",
        (run_id, sequence, kind.value, level.value, attempt, message),
    )


# --- when somebody died in between


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Parents to be woken, and parents whose children are to be cancelled."""

    to_wake: list[UUID]
    given_up: list[UUID]


def forgotten(session: Session) -> Forgotten:
    """Find what nobody did after a child or a parent had ended, because a process died just then."""
    return Forgotten(list(_sleepers(session)), _bereaved(session))


def forgotten_any() -> tuple[str, tuple[str, ...]]:
    """Return SQL for a condition, with its parameters: whether forgotten() might find anything."""
    sleeps, bereft = _SLEEPS.format(more=""), _BEREFT.format(columns="p.id")
    return f"EXISTS (SELECT p.id {sleeps}) OR EXISTS (SELECT {bereft})", (NULLS,)


def tend(session: Session) -> None:
    """Do what forgotten() finds, where no worker's thread is there to do it."""
    found = forgotten(session)
    cancel_with_parents(session, found.given_up)
    wake_parents(session, found.to_wake)


_BELOW = f"SELECT 1 FROM {RUNS} c WHERE c.parent_id = p.id AND c.status IN"
_SLEEPS = (
    f"FROM {RUNS} p WHERE p.status = 'WAITING' AND p.awaited <> '' {{more}}"
    f"AND (p.awaited NOT LIKE %s OR EXISTS ({_BELOW} {OVER}) OR NOT EXISTS ({_BELOW} {UNDER_WAY}))"
)
NULLS = "%null]%"
_BEREFT = (
    f"{{columns}} FROM {RUNS} c JOIN {RUNS} p ON p.id = c.parent_id WHERE c.status IN {UNDER_WAY} "
    f"AND c.parent_id IS NOT NULL AND NOT c.outlives_parent AND c.cancel_requested_at IS NULL AND p.status IN {GIVEN_UP}"
)


def _sleepers(session: Session) -> Iterator[UUID]:
    last: Any = session.uuid(UUID(int=0))
    while True:
        rows = session.execute(
            f"SELECT p.id, p.awaited {_SLEEPS.format(more='AND p.id > %s ')} ORDER BY p.id LIMIT {AT_ONCE}",
            (last, NULLS),
        )
        for run_id, text in rows:
            if have_news(session, from_text(text)):
                yield session.as_uuid(run_id)
        if len(rows) < AT_ONCE:
            return
        last = rows[-1][0]


def _bereaved(session: Session) -> list[UUID]:
    rows = session.execute(f"SELECT {_BEREFT.format(columns='DISTINCT p.id')} LIMIT {AT_ONCE}")
    return [session.as_uuid(row[0]) for row in rows]


def _portions(session: Session, run_ids: Iterable[UUID]) -> Iterator[tuple[str, list[Any]]]:
    ids = [session.uuid(run_id) for run_id in sorted(run_ids)]
    for start in range(0, len(ids), AT_ONCE):
        portion = ids[start : start + AT_ONCE]
        yield ", ".join(["%s"] * len(portion)), portion
