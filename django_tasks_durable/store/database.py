"""Runs in the database that a stream in this process drives, with a lease like any worker's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.compat import Task, restore
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import (
    IdempotencyConflict,
    RunNotFound,
)
from django_tasks_durable.primitives.keys import KeyKind, key_of
from django_tasks_durable.primitives.portable import PortableRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus, WakeReason

from . import control, intake, keys, transfers, vendors
from .database_seat import NOBODY, DatabaseSeat
from .seats import Call, DrivenStore, Glance, asker
from .tables import RUNS

COLUMNS = "task_path, status, wake_reason, due_at, result, errors, parent_id, last_sequence, caller_id"


class DatabaseStore(DrivenStore):
    """The database as the store of streams in this process, beside whatever workers there are.

    ``backend`` is the alias in TASKS whose database and lease are meant.
    """

    is_blocking = True

    def __init__(self, backend: str = "default") -> None:
        options = get_options(backend)
        self.backend = backend
        self.using = options.database
        self.lease_seconds = options.lease_seconds
        self.heartbeat_seconds = options.heartbeat_seconds

    def glance(self, name: UUID | str) -> Glance:
        """Return how a run stands. Raise RunNotFound."""
        run_id = self._id_of(name)
        session = vendors.session(self.using)
        rows = session.execute(f"SELECT {COLUMNS}, {session.now} FROM {RUNS} WHERE id = %s", (session.uuid(run_id),))
        if not rows:
            raise RunNotFound(name)
        task_path, status, wake_reason, due_at, result, errors, parent_id, sequence, caller_id, now = rows[0]
        return Glance(
            run_id=run_id,
            name=caller_id or str(run_id),
            task_path=task_path,
            status=RunStatus(status),
            wake_reason=WakeReason(wake_reason),
            due_at=session.instant_or_none(due_at),
            now=session.instant(now),
            result=result,
            errors=errors,
            parent_id=None if parent_id is None else session.as_uuid(parent_id),
            sequence=sequence,
            checkpoints=transfers.checkpoints_of(session, run_id),
            waits=transfers.waits_of(session, run_id),
        )

    def snapshot(self, name: UUID | str) -> dict[str, Any]:
        """Return what can be seen of a run, as plain values. Raise RunNotFound."""
        return self.glance(name).as_snapshot()

    def family(self, run_id: UUID) -> list[Glance]:
        """Return how a run stands, and all that it has started and that goes on, elders first. Raise RunNotFound."""
        session, found = vendors.session(self.using), [self.glance(run_id)]
        generation = [run_id]
        while generation:
            rows = session.execute(
                f"SELECT id FROM {RUNS} WHERE parent_id IN ({', '.join(['%s'] * len(generation))}) "
                "AND status NOT IN ('SUCCESSFUL', 'FAILED', 'CANCELLED') ORDER BY id",
                [session.uuid(elder) for elder in generation],
            )
            generation = [session.as_uuid(child) for (child,) in rows]
            found += [self.glance(child) for child in generation]
        return found

    # --- what a stream does

    def begin(self, call: Call) -> DatabaseSeat:
        if (known := _as_uuid(call.name)) is not None:
            return self._seat_of_same(call, known)
        task: Task[..., Any] = call.task
        given = options_of(task)
        if call.name is not None:
            # Not using(), which would hold the task to today's QUEUES again.
            task = restore(task, options=given.changed({"run_id": call.name}))
        with self._taken() as seat:
            accepted = intake.accept(task, call.args, call.kwargs, using=self.using, backend_alias=self.backend)
            seat.run_id = accepted.run_id
        return seat

    def find_seat(self, name: UUID | str) -> DatabaseSeat:
        return DatabaseSeat(self, self.glance(name).run_id)

    def receive(self, run: PortableRun, name: str | None) -> DatabaseSeat:
        with self._taken() as seat:
            seat.run_id = transfers.bring_in(run, using=self.using, name=name)
        return seat

    def answer(self, name: UUID | str, task_path: str, value: Any, token: str | None, path: str | None) -> DatabaseSeat:
        found = self.glance(name)
        if found.task_path != task_path:
            raise RunNotFound(name)
        with self._taken(found.run_id) as seat:
            asked, token = asker(self.family(found.run_id), token, path)
            control.resume(asked, value, using=self.using, token=token)
        return seat

    @contextmanager
    def _taken(self, run_id: UUID = NOBODY) -> Iterator[DatabaseSeat]:
        """Give a seat to do something with, and take its run in the same transaction: no worker comes in between."""
        seat = DatabaseSeat(self, run_id)
        try:
            with vendors.write_transaction(self.using):
                seat.enter()
                yield seat
                seat.claim_ahead()
        except BaseException:
            seat.forget()
            raise

    def _id_of(self, name: UUID | str) -> UUID:
        if (known := _as_uuid(name)) is not None:
            return known
        key = key_of(KeyKind.RUN, "", str(name))
        holder = keys.holders(vendors.session(self.using), [key]).get(key)
        if holder is None:
            raise RunNotFound(name)
        return holder.run_id

    def _seat_of_same(self, call: Call, run_id: UUID) -> DatabaseSeat:
        """Return a seat for a run of this call's task and arguments. Raise IdempotencyConflict for others."""
        found = self.glance(run_id)
        limit = get_options(self.backend).max_payload_bytes
        given = (call.task.module_path, *intake.encode_arguments(call.args, call.kwargs, limit))
        session = vendors.session(self.using)
        kept = session.execute(f"SELECT task_path, args, kwargs FROM {RUNS} WHERE id = %s", (session.uuid(run_id),))
        if list(kept) != [given]:
            raise IdempotencyConflict(str(run_id), run_id, is_open=found.status not in FINISHED)
        return DatabaseSeat(self, run_id)


def _as_uuid(name: UUID | str | None) -> UUID | None:
    if name is None or isinstance(name, UUID):
        return name
    try:
        return UUID(name)
    except ValueError:
        return None
