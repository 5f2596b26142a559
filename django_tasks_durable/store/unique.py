"""What becomes of a call with keys: a run of its own, one that is there already, or one that takes another's place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django_tasks_durable import signals
from django_tasks_durable.authoring.keys import DEBOUNCE, REJECT, Keys
from django_tasks_durable.exceptions import DuplicateTask, IdempotencyConflict, Superseded
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.keys import Key, KeyKind
from django_tasks_durable.primitives.status import LEASED, OPEN, Level, RunStatus, StepKind, may_move

from . import keys
from .keys import Holder, Named, Overtaken
from .news import tell
from .tables import RUNS, STEPS
from .vendors import Session

assert all(may_move(_before, RunStatus.CANCELLED) for _before in OPEN)


@dataclass(frozen=True, slots=True)
class Entered:
    """A new run, when it was enqueued, and the runs that it took the place of."""

    run_id: UUID
    enqueued_at: datetime
    superseded: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Reused:
    """The run that was there already."""

    run_id: UUID


# Writes the row of a new run: its id, and how long it is put off.
Insert = Callable[[UUID, timedelta], datetime]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a task with keys."""

    task_path: str
    args: str
    kwargs: str
    keys: Keys
    names: Mapping[KeyKind, Named] = field(init=False)

    def __post_init__(self) -> None:
        told = keys.names_of(
            self.task_path, self.args, self.kwargs, _texts(self.keys).items(), self.keys.idempotency_window
        )
        object.__setattr__(self, "names", {named.key.kind: named for named in told})

    @property
    def columns(self) -> tuple[str, ...]:
        """What the run keeps of its keys, in the order of its columns."""
        return tuple(text or "" for text in _texts(self.keys).values())


def enter(session: Session, call: Call, insert: Insert) -> Entered | Reused:
    """Put a call with keys into the store, or find the run that it stands for.

    Whoever takes the same name at the same moment is waited for. Raise DuplicateTask or IdempotencyConflict.
    """
    return keys.patiently(session, lambda: _enter(session, call, insert))


def _enter(session: Session, call: Call, insert: Insert) -> Entered | Reused:
    with session.transaction():
        session.begin_writing()
        found = keys.holders(session, [named.key for named in call.names.values()])
        holders = {key.kind: holder for key, holder in found.items()}
        known = _asked_before(call, holders) or _duplicate(session, call, holders.get(KeyKind.DEDUPE))
        if known is not None:
            return Reused(known)
        run_id = new_id()
        victim = holders.get(KeyKind.SUPERSEDE)
        _take_all(session, call, holders, run_id)
        superseded = victim is not None and _supersede(session, victim.run_id, run_id)
        delay = call.keys.debounce or timedelta(0)
        return Entered(run_id, insert(run_id, delay), (victim.run_id,) if victim and superseded else ())


def _asked_before(call: Call, holders: Mapping[KeyKind, Holder]) -> UUID | None:
    """Find the run that an idempotency key or the caller's own id stands for; with another input it is refused."""
    for kind in (KeyKind.IDEMPOTENCY, KeyKind.RUN):
        holder = holders.get(kind)
        if holder is None or not holder.is_live:
            continue
        named = call.names[kind]
        if holder.digest != named.digest:
            raise IdempotencyConflict(named.text, holder.run_id, is_open=holder.is_open)
        return holder.run_id
    return None


def _duplicate(session: Session, call: Call, holder: Holder | None) -> UUID | None:
    """Find the open run with the same dedupe key, and do what the call says about duplicates."""
    if holder is None or not holder.is_open:
        return None
    if call.keys.on_duplicate == REJECT:
        raise DuplicateTask(call.names[KeyKind.DEDUPE].text, holder.run_id)
    if call.keys.on_duplicate == DEBOUNCE and not _put_off(session, call, holder):
        return None
    return holder.run_id


def _put_off(session: Session, call: Call, holder: Holder) -> bool:
    """Give a run that nobody has claimed yet the new arguments, and put it off. Return False for one that was claimed."""
    keys.lock_one(session, holder.key)
    rows = session.execute(
        f"SELECT status, lease_token, enqueued_at, run_after, last_sequence FROM {RUNS} WHERE id = %s {session.brand.lock}",
        (session.uuid(holder.run_id),),
    )
    if not rows or keys.holders(session, [holder.key]).get(holder.key) != holder:
        raise Overtaken
    status, token, enqueued_at, run_after, last_sequence = rows[0]
    if status != RunStatus.READY or token:
        return False
    assert call.keys.debounce is not None, "only a debounced run is put off"
    now = session.now_at()
    due = min(now + call.keys.debounce, session.instant(enqueued_at) + call.keys.longest_wait)
    due = max(due, session.instant(run_after)) if run_after is not None else due
    session.execute(
        f"UPDATE {RUNS} SET args = %s, kwargs = %s, due_at = %s, version = version + 1, last_sequence = %s WHERE id = %s",
        (call.args, call.kwargs, session.moment(due), last_sequence + 1, session.uuid(holder.run_id)),
    )
    _say(session, holder.run_id, last_sequence + 1, StepKind.ENQUEUED, "Enqueued again: put off, with new arguments")
    _tell(session, holder.run_id)
    return True


def _take_all(session: Session, call: Call, holders: Mapping[KeyKind, Holder], run_id: UUID) -> None:
    """Take the names of the call, and lock those that the run to be superseded will let go of, in one order."""
    deeds: dict[Key, Callable[[], None]] = {}
    victim = holders.get(KeyKind.SUPERSEDE)
    if victim is not None:
        deeds = {key: partial(keys.lock_one, session, key) for key, _ in keys.of_runs(session, [victim.run_id])}
    for kind, named in call.names.items():
        deeds[named.key] = partial(keys.take, session, named, run_id, holders.get(kind))
    for key in sorted(deeds):
        deeds[key]()


def _supersede(session: Session, victim: UUID, run_id: UUID) -> bool:
    """Cancel a run for one that takes its place, whoever runs it. Its names are locked. Return whether it was open."""
    rows = session.execute(
        f"SELECT status, attempts, last_sequence FROM {RUNS} WHERE id = %s {session.brand.lock}",
        (session.uuid(victim),),
    )
    if not rows or rows[0][0] not in OPEN:
        return False
    status, attempts, last_sequence = rows[0]
    reason = f"Superseded by {run_id}"
    session.execute(
        f"UPDATE {RUNS} SET status = %s, wake_reason = '', due_at = NULL, finished_at = {session.now}, error_code = %s, "
        f"cancel_requested_at = COALESCE(cancel_requested_at, {session.now}), cancel_reason = %s, version = version + 1, "
        "last_sequence = %s WHERE id = %s",
        (RunStatus.CANCELLED.value, Superseded.code, reason, last_sequence + 1, session.uuid(victim)),
    )
    attempt = attempts + (RunStatus(status) in LEASED)
    _say(session, victim, last_sequence + 1, StepKind.CANCELLED, reason, level=Level.WARN, attempt=attempt)
    keys.let_go(session, [victim])
    _tell(session, victim)
    return True


def _say(
    session: Session,
    run_id: UUID,
    sequence: int,
    kind: StepKind,
    message: str,
    *,
    level: Level = Level.INFO,
    attempt: int = 0,
) -> None:
    session.execute(
        f"INSERT INTO {STEPS} (run_id, sequence, kind, level, attempt, path, message, data, created_at) "
        f"VALUES (%s, %s, %s, %s, %s, '', %s, '', {session.now})",
        (session.uuid(run_id), sequence, kind.value, level.value, attempt, message),
    )


def _tell(session: Session, run_id: UUID) -> None:
    news = partial(signals.run_changed.send, None, using=session.alias, run_ids=[run_id])
    tell(news, session.alias)


def _texts(given: Keys) -> dict[KeyKind, str | None]:
    return {
        KeyKind.DEDUPE: given.dedupe_key,
        KeyKind.IDEMPOTENCY: given.idempotency_key,
        KeyKind.RUN: given.run_id,
        KeyKind.SUPERSEDE: given.supersede_key,
    }


def refuse_for_many(given: Keys, name: str) -> None:
    """Raise ValueError for keys on a call of many: they are for one run, and all others would be its duplicates."""
    told: Sequence[str] = [kind.value for kind, text in _texts(given).items() if text]
    if told:
        raise ValueError(
            f"{name}.enqueue_many() with a key ({', '.join(told)}): all but the first would be duplicates. Inside "
            "transaction.atomic(), call .using(...).enqueue() with a key of its own for each."
        )
