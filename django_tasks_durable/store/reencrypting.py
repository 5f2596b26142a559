"""Sealing stored values anew with the newest key, in small bites, so that an older key can be taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

from django_tasks_durable.exceptions import Unreadable
from django_tasks_durable.primitives import sealing

from .tables import CHECKPOINTS, MESSAGES, RUNS, SCHEDULES, STEPS, WAITS
from .vendors import Session
from .vendors.session import retry_transient

BITE = 50
WINDOW = 2000
LOOKS = 3
TRIES = 3
PASSES = 3
BLIND_PASSES = 2
LOCK_SECONDS = 2.0
# Sealed texts are copied as they are from one table to another: what they come from is before what they go to.
SEALED = (
    (SCHEDULES, ("args", "kwargs")),
    (MESSAGES, ("payload",)),
    (WAITS, ("request", "answer")),
    (RUNS, ("args", "kwargs", "metadata", "result", "workflow_state", "progress_meta")),
    (STEPS, ("data",)),
    (CHECKPOINTS, ("value",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What became of some values: how many were sealed anew, opened by no key, or changed or held by others all the while."""

    resealed: int = 0
    unreadable: int = 0
    contended: int = 0

    def __add__(self, other: Resealed) -> Resealed:
        return Resealed(
            resealed=self.resealed + other.resealed,
            unreadable=self.unreadable + other.unreadable,
            contended=self.contended + other.contended,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What all passes came to: the values that were sealed anew, and those that the last pass had to leave."""

    resealed: int
    unreadable: int
    contended: int
    passes: int
    is_settled: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """A value that is to be sealed anew, as it was read and as it will be."""

    table: str
    column: str
    row: Any
    before: str
    after: str


def reencrypt(session: Session, *, dry_run: bool = False) -> Ended:
    """Seal everything anew, pass by pass, until a whole pass finds nothing: a text may be copied to where one has been.

    It is settled when the last pass found nothing. A codec that cannot tell what is current always finds everything.
    """
    is_blind = not sealing.tells_what_is_current()
    most = 1 if dry_run else BLIND_PASSES if is_blind else PASSES
    resealed, passes, is_settled = 0, 0, False
    while passes < most and not is_settled:
        found = sum(bites(session, dry_run=dry_run), Resealed())
        passes += 1
        resealed = found.resealed + (0 if is_blind else resealed)
        is_settled = not (found.resealed or found.contended)
    return Ended(
        resealed=resealed,
        unreadable=found.unreadable,
        contended=found.contended,
        passes=passes,
        is_settled=is_settled,
    )


def bites(session: Session, *, dry_run: bool = False) -> Iterator[Resealed]:
    """Seal everything anew once, bite by bite. What is done stays done: begun again, it goes on with what is left.

    No lock is held while values are opened and sealed, and a value that has changed since it was read is read again.
    """
    for table, columns in SEALED:
        for after, upto in _windows(session, table):
            while rows := _look(session, table, columns, after, upto):
                after = rows[-1][0]
                yield _bite(session, table, columns, rows, dry_run=dry_run)
                if len(rows) < BITE:
                    break


def _windows(session: Session, table: str) -> Iterator[tuple[Any, Any]]:
    """Part a table into pieces that one statement may read through: the ids after the first up to the second.

    What is added meanwhile is left out, or there would be no end to it.
    """
    last = session.execute(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")
    after: Any = None
    while last:
        within, parameters = _within(after, last[0][0])
        found = session.execute(
            f"SELECT id FROM {table} WHERE {within} ORDER BY id LIMIT 1 OFFSET {WINDOW - 1}", parameters
        )
        yield after, (found or last)[0][0]
        if not found:
            return
        after = found[0][0]


def _within(after: Any, upto: Any) -> tuple[str, list[Any]]:
    return ("id <= %s", [upto]) if after is None else ("id > %s AND id <= %s", [after, upto])


def _look(session: Session, table: str, columns: Sequence[str], after: Any, upto: Any) -> list[tuple[Any, ...]]:
    within, parameters = _within(after, upto)
    held = " OR ".join(f"{column} LIKE %s" for column in columns)
    sql = f"SELECT id, {', '.join(columns)} FROM {table} WHERE {within} AND ({held}) ORDER BY id LIMIT {BITE}"
    return session.execute(sql, [*parameters, *[f"%{sealing.SEALED}%"] * len(columns)])


def _bite(
    session: Session, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, dry_run: bool
) -> Resealed:
    done = Resealed()
    unreadable: set[tuple[Any, str]] = set()
    for _ in range(LOOKS):
        looked = {row for row, *_ in rows}
        changes, closed = _sealed_anew(table, columns, rows)
        unreadable = {place for place in unreadable if place[0] not in looked} | closed
        if dry_run:
            return Resealed(resealed=len(changes), unreadable=len(unreadable))
        lost: list[_Change] = []
        for _row, of_row in groupby(changes, key=attrgetter("row")):
            written, missed = _write(session, list(of_row))
            done += written
            lost += missed
        if not lost:
            return done + Resealed(unreadable=len(unreadable))
        rows = _again(session, table, columns, {change.row for change in lost})
    return done + Resealed(unreadable=len(unreadable), contended=len(lost))


def _sealed_anew(
    table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> tuple[list[_Change], set[tuple[Any, str]]]:
    """Seal rows anew; return the changes, row by row, and where nothing opens what is there."""
    changes, unreadable = [], set()
    for row, *texts in rows:
        for column, text in zip(columns, texts, strict=True):
            try:
                anew = sealing.resealed(text) if text else text
            except Unreadable:
                unreadable.add((row, column))
                continue
            if anew != text:
                changes.append(_Change(table, column, row, text, anew))
    return changes, unreadable


def _write(session: Session, changes: Sequence[_Change]) -> tuple[Resealed, list[_Change]]:
    """Write the values of one row; return what came of it, and those that have changed since they were read.

    A row that somebody holds is left to him after a few short waits.
    """
    try:
        lost = retry_transient(session, partial(_write_unchanged, session, changes), tries=TRIES)
    except Exception as error:
        if not session.is_transient(error):
            raise
        return Resealed(contended=len(changes)), []
    return Resealed(resealed=len(changes) - len(lost)), lost


def _write_unchanged(session: Session, changes: Sequence[_Change]) -> list[_Change]:
    with session.transaction(), session.brand.bounded_waits(session.execute, LOCK_SECONDS):
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
