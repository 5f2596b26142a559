"""The rows that scenes begin with and read their figures from, set by set."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from django_tasks_durable.authoring.tasks import DurableTask
from django_tasks_durable.compat import Task
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.store import intake, vendors
from django_tasks_durable.store.tables import CHECKPOINTS, KEPT_KEYS, RUNS, STEPS, WAITS, WORKERS

from .tasks import nothing

TABLES = (STEPS, CHECKPOINTS, WAITS, KEPT_KEYS, RUNS)
LOOK_SECONDS = 0.02
ROWS_AT_ONCE = 50_000


class TookTooLong(Exception):
    """The worker did not come to the end of what it was given."""


def empty() -> None:
    """Take away all runs and what they left behind; the workers' own rows stay."""
    session = vendors.session()
    if session.brand.has_arrays:
        session.execute(f"TRUNCATE {', '.join(TABLES)}")
    else:
        for table in TABLES:
            session.execute(f"DELETE FROM {table}")


def fill(task: Task[..., Any], count: int, arguments: tuple[Any, ...] = ()) -> list[UUID]:
    """Enqueue many calls of a task in one transaction, which also wakes the workers."""
    return intake.enqueue_many(task, [(arguments, {})] * count, using="default", backend_alias="default")


def is_drained() -> bool:
    """Tell whether no run without limits is due and none in a worker's hands."""
    session = vendors.session()
    question = (
        f"SELECT 1 WHERE EXISTS (SELECT 1 FROM {RUNS} WHERE status IN ('CLAIMED', 'RUNNING')) "
        f"OR (SELECT 1 FROM {RUNS} WHERE status = 'READY' AND queue_name = 'default' AND ready_rank = 0 "
        f"AND lane = '' AND due_at <= {session.now} ORDER BY due_at LIMIT 1) IS NOT NULL"
    )
    return not session.execute(question)


def rate_of_the_drain(begun: datetime) -> float:
    """Return how many runs a second were finished, by the database's clock.

    The window begins with the first commit of outcomes and leaves those out, since nobody knows how long they took; a
    drain that is one commit long is measured from ``begun``.
    """
    session = vendors.session()
    (row,) = session.execute(
        f"SELECT MIN(finished_at), MAX(finished_at), COUNT(*) FROM {RUNS} WHERE status = 'SUCCESSFUL' "
        f"AND finished_at >= {session.brand.literal_instant(begun)}"
    )
    if not row[2]:
        raise TookTooLong("No run was finished.")
    first, last = session.instant(row[0]), session.instant(row[1])
    if first == last:
        return float(row[2] / max((last - begun).total_seconds(), 1e-3))
    ((early,),) = session.execute(
        f"SELECT COUNT(*) FROM {RUNS} WHERE finished_at = {session.brand.literal_instant(first)}"
    )
    return float((row[2] - early) / (last - first).total_seconds())


def now() -> datetime:
    """Ask the database what time it is."""
    return vendors.session().now_at()


def results() -> list[Any]:
    """Return what the successful runs returned, oldest run first."""
    found = vendors.session().execute(f"SELECT result FROM {RUNS} WHERE status = 'SUCCESSFUL' ORDER BY enqueued_at, id")
    return [json.loads(text) for (text,) in found]


def workers_alive() -> int:
    """Count the workers that have registered and not left."""
    return int(vendors.session().execute(f"SELECT COUNT(*) FROM {WORKERS} WHERE dead_at IS NULL")[0][0])


def questions_of(run_id: UUID) -> int:
    """Count the questions that a run has put while it waits, 0 while it does not."""
    session = vendors.session()
    found = session.execute(
        f"SELECT COUNT(*) FROM {WAITS} WHERE run_id = %s AND EXISTS "
        f"(SELECT 1 FROM {RUNS} WHERE id = %s AND status = 'WAITING')",
        (session.uuid(run_id), session.uuid(run_id)),
    )
    return int(found[0][0])


def visit_of(run_id: UUID) -> int:
    """Return the number of the visit that a workflow waits in, 0 while it does not wait."""
    session = vendors.session()
    found = session.execute(f"SELECT visit FROM {RUNS} WHERE id = %s AND status = 'WAITING'", (session.uuid(run_id),))
    return int(found[0][0]) if found else 0


def state_of(run_id: UUID) -> Any:
    """Return the state in which a workflow ended, None while it has not."""
    session = vendors.session()
    found = session.execute(
        f"SELECT result FROM {RUNS} WHERE id = %s AND status = 'SUCCESSFUL'", (session.uuid(run_id),)
    )
    return codec.decode(found[0][0]) if found else None


def result_of(run_id: UUID) -> Any:
    """Return what a run returned, None while it has not ended well."""
    session = vendors.session()
    found = session.execute(
        f"SELECT result FROM {RUNS} WHERE id = %s AND status = 'SUCCESSFUL'", (session.uuid(run_id),)
    )
    return json.loads(found[0][0]) if found else None


def pause(seconds: float) -> None:
    """Wait without looking."""
    time.sleep(seconds)


def add_finished(count: int) -> None:
    """Insert finished runs, set by set. Their timelines are left out: no claim and no commit reads another run's."""
    session = vendors.session()
    now = session.now
    _copy_of_one(
        count, status="'SUCCESSFUL'", result="'null'", due_at="NULL", started_at=now, finished_at=now, lease_token="1"
    )


def add_future(count: int) -> None:
    """Insert runs that are due tomorrow, set by set, in the queue and with the priority of those that are due now."""
    session = vendors.session()
    tomorrow = session.brand.literal_instant(session.now_at() + timedelta(days=1))
    _copy_of_one(count, due_at=tomorrow, run_after=tomorrow)


def add_blocked(task: DurableTask[..., Any], count: int) -> None:
    """Insert runs of one key that a waiting run keeps, due before all others."""
    session = vendors.session()
    keyed = task.using(concurrency_key="busy", hold_key=True)
    with session.transaction():
        holder, *_ = fill(keyed, count + 1)
        run_id = session.uuid(holder)
        session.execute(f"UPDATE {RUNS} SET status = 'WAITING', due_at = NULL WHERE id = %s", (run_id,))
        session.execute(
            f"INSERT INTO {KEPT_KEYS} (run_id, slots) SELECT id, slots FROM {RUNS} WHERE id = %s", (run_id,)
        )


def _copy_of_one(count: int, **changes: str) -> None:
    session = vendors.session()
    (pattern,) = fill(nothing, 1)
    session.execute(f"UPDATE {RUNS} SET task_path = 'nobody.knows' WHERE id = %s", (session.uuid(pattern),))
    columns = [column for field in TaskRun._meta.concrete_fields if (column := field.column) and column != "id"]
    values = ", ".join(changes.get(column, f"t.{column}") for column in columns)
    target = f"INSERT INTO {RUNS} (id, {', '.join(columns)}) SELECT "
    for start in range(0, count, ROWS_AT_ONCE):
        ids = [session.uuid(new_id()) for _ in range(min(ROWS_AT_ONCE, count - start))]
        with session.transaction():
            if session.brand.has_arrays:
                source = f"w.id, {values} FROM unnest(%s::uuid[]) AS w(id), {RUNS} t WHERE t.id = %s"
                session.execute(target + source, (ids, pattern))
            else:
                source = f"%s, {values} FROM {RUNS} t WHERE t.id = %s"
                session.execute_many(target + source, [(run_id, session.uuid(pattern)) for run_id in ids])
    session.execute(f"DELETE FROM {STEPS} WHERE run_id = %s", (session.uuid(pattern),))
    session.execute(f"DELETE FROM {RUNS} WHERE id = %s", (session.uuid(pattern),))
    if session.brand.has_arrays:
        session.execute(f"VACUUM (ANALYZE) {RUNS}")
        try:
            # The rows are to lie there, not to be on their way to the disk while something else is measured.
            session.execute("CHECKPOINT")
        except DatabaseError:  # only some roles may; the figures are a little noisier then
            pass
