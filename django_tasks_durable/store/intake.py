"""What producers may do: put runs into the store, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import transaction

from django_tasks_durable import signals
from django_tasks_durable.authoring.keys import NO_KEYS
from django_tasks_durable.authoring.middleware import Call
from django_tasks_durable.authoring.options import keeps_every_line
from django_tasks_durable.authoring.tasks import TaskOptions, options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.conf import Options, get_options
from django_tasks_durable.primitives import codec, lanes
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import StepKind

from . import channels, keys, unique, vendors
from .admission import admitted
from .tables import RUNS, STEPS
from .unique import Reused as Reused
from .vendors.arrays import array_literal

ROWS_PER_STATEMENT = 1000

# Columns that are the same for every run of one enqueue_many() call, then those that are not.
SHARED = (
    "task_path, backend, queue_name, priority, ready_rank, run_after, options, metadata, max_attempts, max_deliveries, "
    f"code_version, last_sequence, {lanes.COLUMNS}"
)
# With the id, args and kwargs of the run in front.
SHARED_AND_PAYLOAD = 3 + len(SHARED.split(","))
COMMON = (
    "status, wake_reason, version, attempts, crashes, deliveries, worker_ids, errors, error_code, lease_worker, lease_token, "
    "cancel_reason, first_sequence, inbox, progress_label, progress_meta"
)
COMMON_VALUES = "'READY', '', 1, 0, 0, 0, '[]', '[]', '', '', 0, '', 1, 0, '', ''"
# What a child has of its own; see store.children.
FIXED = f"{COMMON}, parent_path, outlives_parent, awaited"
FIXED_VALUES = f"{COMMON_VALUES}, '', FALSE, ''"
WITHOUT_KEYS = "'', '', '', ''"
STEP_COLUMNS = "run_id, sequence, kind, level, attempt, path, message, data, created_at"


@dataclass(frozen=True, slots=True)
class _Order:
    """What all runs of one call of a task have in common."""

    values: tuple[Any, ...]
    run_after: datetime | None
    limit: int
    channels: tuple[str, ...]
    tells_all: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """A run that was put into the store: its id, when by the database's clock, and its arguments as they are stored.

    ``superseded`` are the runs that it took the place of.
    """

    run_id: UUID
    enqueued_at: datetime
    args: str
    kwargs: str
    superseded: tuple[UUID, ...] = ()


def enqueue(
    task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, using: str, backend_alias: str
) -> UUID:
    """See accept(); return only the id."""
    return accept(task, args, kwargs, using=using, backend_alias=backend_alias).run_id


def accept(
    task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, using: str, backend_alias: str
) -> Accepted | Reused:
    """Put one run into the store, or find the one that the keys of the call stand for.

    Inside the caller's transaction on the same alias it exists if and only if that commits. Raise NotSerializable or
    PayloadTooLarge, naming the place in the arguments, before anything is written; DuplicateTask or IdempotencyConflict.
    Whatever the middleware of the alias raise is raised on, and nothing is written.
    """
    session = vendors.session(using)

    def insert(metadata: Mapping[str, Any]) -> Accepted | Reused:
        return _accept(session, _order(task, session, backend_alias, metadata), task, args, kwargs)

    return admitted(task, ((args, kwargs),), insert, _id_of, backend_alias=backend_alias, using=using)


def _id_of(accepted: Accepted | Reused) -> tuple[UUID]:
    return (accepted.run_id,)


def _accept(
    session: vendors.Session, order: _Order, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Accepted | Reused:
    run_id = new_id()
    payload = encode_arguments(args, kwargs, order.limit)
    given = options_of(task).keys
    if given is not NO_KEYS:
        return _accept_with_keys(session, order, unique.Call(task.module_path, *payload, given), task.queue_name)
    if session.brand.has_arrays and not order.channels:
        rows = session.execute_often(_one_sql(session.now, order.tells_all), _one_parameters(order, run_id, payload))
        enqueued_at = session.instant(rows[0][0])
    else:
        with session.transaction():
            enqueued_at = _insert_values(session, order, [(run_id, *payload)])
    announce(session, task.queue_name)
    return Accepted(run_id, enqueued_at, *payload)


def _accept_with_keys(session: vendors.Session, order: _Order, call: unique.Call, queue_name: str) -> Accepted | Reused:
    def insert(run_id: UUID, delay: timedelta) -> datetime:
        return _insert_values(session, order, [(run_id, call.args, call.kwargs)], held=call.columns, delay=delay)

    entered = unique.enter(session, call, insert)
    if isinstance(entered, Reused):
        return entered
    announce(session, queue_name)
    return Accepted(entered.run_id, entered.enqueued_at, call.args, call.kwargs, entered.superseded)


def enqueue_many(task: Task[..., Any], calls: Iterable[Call], *, using: str, backend_alias: str) -> list[UUID]:
    """Put many runs of one task into the store, all or none, and return their ids in order. See accept()."""
    unique.refuse_for_many(options_of(task).keys, task.name)
    calls = list(calls)
    if not calls:
        return []

    session = vendors.session(using)

    def insert(metadata: Mapping[str, Any]) -> list[UUID]:
        return _insert_many(session, _order(task, session, backend_alias, metadata), task.queue_name, calls)

    return admitted(task, calls, insert, list, backend_alias=backend_alias, using=using)


def _insert_many(session: vendors.Session, order: _Order, queue_name: str, calls: Sequence[Call]) -> list[UUID]:
    rows = [(new_id(), *encode_arguments(args, kwargs, order.limit)) for args, kwargs in calls]
    with session.transaction():
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            _insert(session, order, rows[start : start + ROWS_PER_STATEMENT])
    announce(session, queue_name)
    return [row[0] for row in rows]


def encode_arguments(args: Sequence[Any], kwargs: Mapping[str, Any], limit: int) -> tuple[str, str]:
    """Encode the arguments of a call, naming the place of what cannot be stored."""
    return (
        codec.encode(list(args), where="args", limit=limit) if args else "[]",
        codec.encode(dict(kwargs), where="kwargs", limit=limit) if kwargs else "{}",
    )


def announce(session: vendors.Session, queue_name: str) -> None:
    """Tell workers after the commit, once a transaction and queue, that there may be something to do."""
    if not signals.work_available.receivers:
        return
    hint = _Hint(session.alias, queue_name)
    if hint not in (known[1] for known in session.connection.run_on_commit):
        # Its receivers are called one by one, and what they raise is logged there.
        transaction.on_commit(hint, using=session.alias, robust=True)


@dataclass(frozen=True)
class _Hint:
    using: str
    queue_name: str

    def __call__(self) -> None:
        signals.work_available.send_robust(sender=None, using=self.using, queue_name=self.queue_name)


def _order(task: Task[..., Any], session: vendors.Session, backend_alias: str, metadata: Mapping[str, Any]) -> _Order:
    settings = get_options(backend_alias)
    options = options_of(task)
    attempts, deliveries = limits(options, settings)
    kept = options.snapshot()
    tells_all = keeps_every_line(kept)
    return _Order(
        values=(
            task.module_path,
            backend_alias,
            task.queue_name,
            task.priority,
            -task.priority,
            session.moment(task.run_after),
            kept,
            codec.encode(dict(metadata), where="metadata", limit=settings.max_payload_bytes),
            attempts,
            deliveries,
            options.version,
            int(tells_all),
            *lanes.spot_of(task.module_path, kept).columns,
        ),
        run_after=task.run_after,
        limit=settings.max_payload_bytes,
        channels=options.channels,
        tells_all=tells_all,
    )


def limits(options: TaskOptions, settings: Options) -> tuple[int, int]:
    """Return how often a run may be attempted, and how often it may be lost with its worker."""
    attempts = options.max_attempts or settings.max_attempts
    deliveries = options.max_deliveries or settings.max_deliveries or max(3, attempts)
    return attempts, deliveries


@lru_cache(maxsize=32)
def _one_sql(now: str, tells_all: bool) -> str:
    # run_after in the past is due now: due_at must never lie before the enqueue, or old hours would jump the queue.
    run = (
        f"INSERT INTO {RUNS} (id, args, kwargs, {SHARED}, {FIXED}, {keys.COLUMNS}, enqueued_at, due_at) "
        f"VALUES ({', '.join(['%s'] * SHARED_AND_PAYLOAD)}, {FIXED_VALUES}, {WITHOUT_KEYS}, {now}, "
        f"GREATEST({now}, %s::timestamptz))"
    )
    if not tells_all:
        return f"{run} RETURNING enqueued_at"
    return (
        f"WITH run AS ({run}) INSERT INTO {STEPS} ({STEP_COLUMNS}) "
        f"VALUES (%s, 1, '{StepKind.ENQUEUED}', 'info', 0, '', '', '', {now}) "
        "RETURNING created_at"
    )


def _one_parameters(order: _Order, run_id: UUID, payload: tuple[str, str]) -> tuple[Any, ...]:
    parameters = (run_id, *payload, *order.values, order.values[5])
    return (*parameters, run_id) if order.tells_all else parameters


def _insert(session: vendors.Session, order: _Order, rows: Sequence[tuple[UUID, str, str]]) -> None:
    if session.brand.has_arrays:
        _insert_arrays(session, order, rows)
    else:
        _insert_values(session, order, rows)


def _insert_arrays(session: vendors.Session, order: _Order, rows: Sequence[tuple[UUID, str, str]]) -> None:
    ids = array_literal([row[0] for row in rows])
    places = "%s, %s, %s, %s::smallint, %s::smallint, %s::timestamptz, %s, %s, %s::int, %s::int, %s::int, %s::int, %s, %s, %s"
    session.execute(
        f"INSERT INTO {RUNS} (id, args, kwargs, {SHARED}, {FIXED}, {keys.COLUMNS}, enqueued_at, due_at) "
        f"SELECT w.id, w.args, w.kwargs, {places}, {FIXED_VALUES}, {WITHOUT_KEYS}, {session.now}, "
        f"GREATEST({session.now}, %s::timestamptz) "
        "FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS w(id, args, kwargs)",
        (
            *order.values,
            order.values[5],
            ids,
            array_literal([row[1] for row in rows]),
            array_literal([row[2] for row in rows]),
        ),
    )
    if order.tells_all:
        session.execute(
            f"INSERT INTO {STEPS} ({STEP_COLUMNS}) SELECT w.id, 1, '{StepKind.ENQUEUED}', 'info', 0, '', '', '', "
            f"{session.now} FROM unnest(%s::uuid[]) AS w(id)",
            (ids,),
        )
    channels.enter(session, [(row[0], order.channels) for row in rows])


def _insert_values(
    session: vendors.Session,
    order: _Order,
    rows: Sequence[tuple[UUID, str, str]],
    *,
    held: Sequence[str] = ("", "", "", ""),
    delay: timedelta = timedelta(0),
) -> datetime:
    now = session.now_at()
    moment = session.moment(now)
    due = session.moment(max(now + delay, order.run_after) if order.run_after else now + delay)
    session.execute_many(
        f"INSERT INTO {RUNS} (id, args, kwargs, {SHARED}, {FIXED}, {keys.COLUMNS}, enqueued_at, due_at) "
        f"VALUES ({', '.join(['%s'] * SHARED_AND_PAYLOAD)}, {FIXED_VALUES}, %s, %s, %s, %s, %s, %s)",
        [(session.uuid(run_id), args, kwargs, *order.values, *held, moment, due) for run_id, args, kwargs in rows],
    )
    session.execute_many(
        f"INSERT INTO {STEPS} ({STEP_COLUMNS}) VALUES (%s, 1, '{StepKind.ENQUEUED}', 'info', 0, '', '', '', %s)",
        [(session.uuid(row[0]), moment) for row in rows if order.tells_all],
    )
    channels.enter(session, [(row[0], order.channels) for row in rows])
    return now
