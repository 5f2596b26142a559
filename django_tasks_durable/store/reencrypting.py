"""Sealing stored values anew with the newest key, in small bites, so that an older key can be taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django_tasks_durable.exceptions import Unreadable
from django_tasks_durable.primitives import sealing

from .tables import CHECKPOINTS, MESSAGES, RUNS, SCHEDULES, STEPS, WAITS
from .vendors import Session
from .vendors.session import retry_transient

BITE = 50
LOOKS = 3
SEALED = (
    (RUNS, ("args", "kwargs", "metadata", "result", "workflow_state", "progress_meta")),
    (CHECKPOINTS, ("value",)),
    (STEPS, ("data",)),
    (WAITS, ("request", "answer")),
    (MESSAGES, ("payload",)),
    (SCHEDULES, ("args", "kwargs")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What became of the values of a bite: how many were sealed anew, opened by no key, or changed under every look."""

    resealed: int = 0
    unreadable: int = 0
    contended: int = 0

    def __add__(self, other: Resealed) -> Resealed:
        return Resealed(
            resealed=self.resealed + other.resealed,
            unreadable=self.unreadable + other.unreadable,
            contended=self.contended + other.contended,
        )


@dataclass(frozen=True, slots=True)
class _Change:
    """A value that is to be sealed anew, as it was read and as it will be."""

    table: str
    column: str
    row: Any
    before: str
    after: str


def bites(session: Session, *, dry_run: bool = False) -> Iterator[Resealed]:
    """Seal everything anew, bite by bite. What is done stays done: begun again, it goes on with what is left.

    No lock is held while values are opened and sealed, and a value that has changed since it was read is read again.
    """
    for table, columns in SEALED:
        after: Any = None
        while rows := _look(session, table, columns, after):
            after = rows[-1][0]
            yield _bite(session, table, columns, rows, dry_run=dry_run)
            if len(rows) < BITE:
                break


def _look(session: Session, table: str, columns: Sequence[str], after: Any) -> list[tuple[Any, ...]]:
    held = " OR ".join(f"{column} LIKE %s" for column in columns)
    beyond = "id > %s AND " if after is not None else ""
    parameters = ([after] if after is not None else []) + [f"%{sealing.SEALED}%"] * len(columns)
    sql = f"SELECT id, {', '.join(columns)} FROM {table} WHERE {beyond}({held}) ORDER BY id LIMIT {BITE}"
    return session.execute(sql, parameters)


def _bite(
    session: Session, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, dry_run: bool
) -> Resealed:
    done = Resealed()
    for _ in range(LOOKS):
        changes, unreadable = _sealed_anew(table, columns, rows)
        if dry_run:
            return Resealed(resealed=len(changes), unreadable=unreadable)
        lost = retry_transient(session, partial(_write, session, changes)) if changes else []
        done += Resealed(resealed=len(changes) - len(lost))
        if not lost:
            return done + Resealed(unreadable=unreadable)
        rows = _again(session, table, columns, {change.row for change in lost})
    return done + Resealed(unreadable=unreadable, contended=len(lost))


def _sealed_anew(table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> tuple[list[_Change], int]:
    changes, unreadable = [], 0
    for row, *texts in rows:
        for column, text in zip(columns, texts, strict=True):
            try:
                anew = sealing.resealed(text) if text else text
            except Unreadable:
                unreadable += 1
                continue
            if anew != text:
                changes.append(_Change(table, column, row, text, anew))
    return changes, unreadable


def _write(session: Session, changes: Sequence[_Change]) -> list[_Change]:
    """Write each value unless it has changed since it was read; return those that have."""
    with session.transaction():
        return [
            change
            for change in changes
            if not session.change(
                f"UPDATE {change.table} SET {change.column} = %s WHERE id = %s AND {change.column} = %s",
                (change.after, change.row, change.before),
            )
        ]


def _again(session: Session, table: str, columns: Sequence[str], rows: set[Any]) -> list[tuple[Any, ...]]:
    marks = ", ".join(["%s"] * len(rows))
    return session.execute(f"SELECT id, {', '.join(columns)} FROM {table} WHERE id IN ({marks})", list(rows))
