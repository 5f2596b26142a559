"""The names that runs hold: found, taken, locked and let go.

Locks on names come before locks on runs (locking rule 1), in the order of (kind, name), and always by the primary key.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from django_tasks_durable.exceptions import KeyHeld
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.keys import LET_GO, Key, KeyKind, input_digest, key_of

from .tables import KEYS, RUNS
from .vendors import Session

T = TypeVar("T")
# What the run's row keeps of its keys, in the order of KeyKind.
COLUMNS = "dedupe_key, idempotency_key, caller_id, supersede_key"
HOLDS_KEYS = "(r.dedupe_key <> '' OR r.supersede_key <> '')"
PATIENCE_SECONDS = 60.0
SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.05
FORGOTTEN_AT_ONCE = 200
IDEMPOTENT_FOR = timedelta(hours=24)
_LET_GO = ", ".join(f"'{kind}'" for kind in LET_GO)


class Overtaken(Exception):
    """Somebody else took or left a name between the look and the deed: look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name that a run is to hold: as it was given, and as it is stored. ``keeps`` is for how long it may be found again."""

    key: Key
    text: str
    digest: str = ""
    keeps: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a name: a run that is open or not, or one that is gone."""

    key: Key
    run_id: UUID
    digest: str
    is_open: bool
    is_kept: bool

    @property
    def is_live(self) -> bool:
        """Whether the name still stands for that run."""
        return self.is_open or self.is_kept


def names_of(
    task_path: str, args: str, kwargs: str, texts: Iterable[tuple[KeyKind, str | None]], keeps: timedelta
) -> list[Named]:
    """Return the names of a run in the order in which they are taken."""
    given = [(kind, text) for kind, text in texts if text]
    finds_again = any(kind not in LET_GO for kind, _ in given)
    digest = input_digest(task_path, args, kwargs) if finds_again else ""
    return sorted(
        (
            Named(
                key=key_of(kind, task_path, text),
                text=text,
                digest="" if kind in LET_GO else digest,
                keeps=keeps if kind is KeyKind.IDEMPOTENCY else None,
            )
            for kind, text in given
        ),
        key=lambda named: named.key,
    )


def holders(session: Session, keys: Sequence[Key]) -> dict[Key, Holder]:
    """Look who holds these names, without a lock."""
    rows = session.execute(
        "SELECT k.kind, k.name, k.run_id, k.digest, COALESCE(r.status NOT IN ('SUCCESSFUL', 'FAILED', 'CANCELLED'), FALSE), "
        f"r.id IS NOT NULL AND k.expires_at > {session.now} "
        f"FROM {KEYS} k LEFT JOIN {RUNS} r ON r.id = k.run_id WHERE {_any_of(keys, 'k.')}",
        _parts(keys),
    )
    found = (
        Holder(
            key=Key(KeyKind(kind), name),
            run_id=session.as_uuid(run_id),
            digest=digest,
            is_open=bool(is_open),
            is_kept=bool(is_kept),
        )
        for kind, name, run_id, digest, is_open, is_kept in rows
    )
    return {holder.key: holder for holder in found}


def take(session: Session, named: Named, run_id: UUID, holder: Holder | None) -> None:
    """Give a free name, or the one that ``holder`` has, to a run. Waits for whoever is taking it.

    Raise Overtaken when it went to somebody else.
    """
    expires = "NULL" if named.keeps is None else session.brand.plus_seconds(session.now)
    seconds = () if named.keeps is None else (named.keeps.total_seconds(),)
    owner = session.uuid(run_id)
    if holder is None:
        taken = session.insert_unless_there(
            KEYS,
            "kind, name, run_id, digest, expires_at",
            f"%s, %s, %s, %s, {expires}",
            (named.key.kind.value, named.key.name, owner, named.digest, *seconds),
        )
    else:
        changed = session.change(
            f"UPDATE {KEYS} SET run_id = %s, digest = %s, expires_at = {expires} "
            "WHERE kind = %s AND name = %s AND run_id = %s",
            (owner, named.digest, *seconds, named.key.kind.value, named.key.name, session.uuid(holder.run_id)),
        )
        taken = changed == 1
    if not taken:
        raise Overtaken


def of_runs(session: Session, run_ids: Collection[UUID]) -> list[tuple[Key, UUID]]:
    """Look which names these runs let go of at their end, in the order of the names and without a lock."""
    marks = ", ".join(["%s"] * len(run_ids))
    rows = session.execute(
        f"SELECT kind, name, run_id FROM {KEYS} WHERE run_id IN ({marks}) AND kind IN ({_LET_GO})",
        [session.uuid(run_id) for run_id in run_ids],
    )
    return sorted((Key(KeyKind(kind), name), session.as_uuid(run_id)) for kind, name, run_id in rows)


def lock(session: Session, *run_ids: UUID) -> None:
    """Lock the names that runs let go of at their end, and wait for them."""
    for key, _ in of_runs(session, run_ids):
        lock_one(session, key)


def lock_one(session: Session, key: Key) -> None:
    """Lock a name, if it is there, and wait for it."""
    session.execute(
        f"SELECT 1 FROM {KEYS} WHERE kind = %s AND name = %s {session.brand.lock}", (key.kind.value, key.name)
    )


def lock_at_once(session: Session, run_ids: Collection[UUID]) -> set[UUID]:
    """Lock the names that these runs let go of at their end, without waiting; return the runs that miss none."""
    there = of_runs(session, run_ids) if run_ids else []
    if not there:
        return set(run_ids)
    keys = [key for key, _ in there]
    rows = session.execute(
        f"SELECT run_id FROM {KEYS} WHERE {_any_of(keys)} ORDER BY kind, name {session.brand.lock}{session.brand.skip}",
        _parts(keys),
    )
    locked = Counter(session.as_uuid(run_id) for (run_id,) in rows)
    wanted = Counter(run_id for _, run_id in there)
    return {run_id for run_id in run_ids if locked[run_id] >= wanted[run_id]}


def let_go(session: Session, run_ids: Collection[UUID]) -> None:
    """Free the names of runs that have ended. They are locked already."""
    for key, run_id in of_runs(session, run_ids):
        session.execute(
            f"DELETE FROM {KEYS} WHERE kind = %s AND name = %s AND run_id = %s",
            (key.kind.value, key.name, session.uuid(run_id)),
        )


def forget_expired(session: Session) -> int:
    """Free idempotency keys whose time is over and whose run has ended; return how many. Never waits for a lock."""
    over = (
        f"SELECT k.name FROM {KEYS} k LEFT JOIN {RUNS} r ON r.id = k.run_id WHERE k.expires_at <= {session.now} "
        f"AND k.kind = '{KeyKind.IDEMPOTENCY}' AND (r.id IS NULL OR r.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')) "
        f"LIMIT {FORGOTTEN_AT_ONCE}"
    )
    keys = [Key(KeyKind.IDEMPOTENCY, name) for (name,) in session.execute(over)]
    if not keys:
        return 0
    with session.transaction():
        rows = session.execute(
            f"SELECT name FROM {KEYS} WHERE {_any_of(keys)} AND expires_at <= {session.now} ORDER BY kind, name "
            f"{session.brand.lock}{session.brand.skip}",
            _parts(keys),
        )
        for (name,) in rows:
            session.execute(f"DELETE FROM {KEYS} WHERE kind = '{KeyKind.IDEMPOTENCY}' AND name = %s", (name,))
    return len(rows)


def take_again(session: Session, run_id: UUID) -> None:
    """Give an ended run its names back, for a retry. Raise KeyHeld when another run has one of them by now."""
    rows = session.execute(
        f"SELECT task_path, args, kwargs, {COLUMNS} FROM {RUNS} WHERE id = %s",
        (session.uuid(run_id),),
    )
    for task_path, args, kwargs, *texts in rows:
        names = names_of(task_path, args, kwargs, zip(KeyKind, texts, strict=True), IDEMPOTENT_FOR)
        if names:
            patiently(session, partial(_take_again, session, run_id, names))


def _take_again(session: Session, run_id: UUID, names: Sequence[Named]) -> None:
    with session.transaction():
        found = holders(session, [named.key for named in names])
        for named in names:
            holder = found.get(named.key)
            if holder is not None and holder.run_id == run_id:
                continue
            if holder is not None and holder.is_live:
                raise KeyHeld(named.key.kind.value, named.text, holder.run_id)
            take(session, named, run_id, holder)


def patiently(session: Session, deed: Callable[[], T]) -> T:
    """Do something about names until nobody was quicker. Inside the caller's transaction, that goes on unharmed.

    ``deed`` opens ``session.transaction()`` itself. What is wrong with the caller's own transaction is raised.
    """
    end, pause = clock.monotonic() + PATIENCE_SECONDS, SHORTEST_PAUSE_SECONDS
    is_inside = session.connection.in_atomic_block
    while True:
        try:
            return deed()
        except Overtaken:
            if clock.monotonic() > end:
                raise
        except Exception as error:
            goes_on = session.survives(error) if is_inside else session.is_transient(error)
            if not goes_on or clock.monotonic() > end:
                raise
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


def _any_of(keys: Sequence[Key], prefix: str = "") -> str:
    one = f"({prefix}kind = %s AND {prefix}name = %s)"
    return f"({' OR '.join([one] * len(keys))})"


def _parts(keys: Sequence[Key]) -> list[str]:
    return [part for key in keys for part in (key.kind.value, key.name)]
