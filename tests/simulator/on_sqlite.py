"""The real store, on a SQLite in memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from django.apps import apps
from django.db import connection

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.models import Schedule, Tick
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.policies import Missed
from django_tasks_durable.primitives.status import LEASED, RunStatus
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, History, Verdict
from django_tasks_durable.store import (
    children,
    claims,
    control,
    history,
    intake,
    maintenance,
    messages,
    ticks,
    vendors,
    workers,
)
from django_tasks_durable.store.atomic import perform_atomic
from django_tasks_durable.store.commit import Busy, commit
from django_tasks_durable.store.deltas import Delta
from django_tasks_durable.store.lending import borrowed, lent
from django_tasks_durable.store.tables import CHECKPOINTS, KEYS, RUNS, STEPS, WAITS, WORKERS
from django_tasks_durable.store.unique import Reused
from tests.probe import effects
from tests.probe.models import Effect

from . import programs
from .ground import FEW_KEY, LEASE_SECONDS, Called, DeclaredDead, Ended, Handed, Heard, Question, Standing, TimelineLine

T = TypeVar("T")

USING = "default"
EFFECTS = Effect._meta.db_table
TRACED = ((RUNS, "id"), (STEPS, "run_id"), (CHECKPOINTS, "run_id"), (WAITS, "run_id"), (EFFECTS, "run_id"))
KEPT_NAMES = ("run", "idempotency")


@contextmanager
def in_memory() -> Iterator[None]:
    """Let the default alias mean a copy of the test database that lives in this process's memory."""
    connection.ensure_connection()
    on_disk, name = connection.connection, connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = ":memory:"
    try:
        connection.connection = None
        connection.connect()
        on_disk.backup(connection.connection)
        yield
    finally:
        # Django's own close() keeps what is in memory.
        connection.connection.close()
        connection.connection = on_disk
        connection.settings_dict["NAME"] = name


def rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the driver itself: this is asked after every move."""
    found: list[tuple[Any, ...]] = connection.connection.execute(sql, parameters).fetchall()
    return found


class OnSqlite:
    """See Ground."""

    def __init__(self, random: Random) -> None:
        for model in reversed(list(apps.get_app_config("durable_tasks").get_models())):
            rows(f"DELETE FROM {model._meta.db_table}")
        rows(f"DELETE FROM {EFFECTS}")
        self.session = vendors.session(USING)
        self.connections = lent()
        self.known = ticks.known_here(USING)
        programs.DEEDS.record = effects.record
        if random.random() < 0.5:
            Schedule.objects.create(
                name="pulse",
                task_path=programs.pulse.module_path,
                cron="*/2 * * * *",
                next_at=clock.frozen_at(),
                missed=random.choice(list(Missed)),
            )

    # --- producers and operators

    def accept(self, task: Any, program: Any) -> Called:
        accepted = intake.accept(task, [program], {}, using=USING, backend_alias="default")
        if isinstance(accepted, Reused):
            return Called(accepted.run_id, is_new=False)
        return Called(accepted.run_id, is_new=True, superseded=accepted.superseded)

    def questions(self, *, open_only: bool) -> list[Question]:
        wanted = (
            f"AND answer IS NULL AND run_id IN (SELECT id FROM {RUNS} WHERE status = 'WAITING')" if open_only else ""
        )
        found = rows(
            f"SELECT run_id, path, token, answer, deadline FROM {WAITS} WHERE kind = 'interrupt' {wanted} ORDER BY id"
        )
        return [
            Question(UUID(run_id), *told, self.session.instant_or_none(deadline)) for run_id, *told, deadline in found
        ]

    def resume(self, run_id: UUID, value: Any, token: str) -> None:
        control.resume(run_id, value, using=USING, token=token)

    def send(self, run_id: UUID, name: str, payload: Any) -> None:
        messages.send(run_id, name, payload, using=USING)

    def cancel(self, run_id: UUID) -> RunStatus:
        return control.cancel(run_id, using=USING, reason="simulated")

    def retry(self, run_id: UUID) -> None:
        control.retry(run_id, using=USING)

    def hurry(self, run_id: UUID) -> None:
        control.run_now(run_id, using=USING)

    # --- workers

    def enter(self, name: str) -> None:
        workers.register(self.session, name, queues=None, concurrency=4, lease_seconds=LEASE_SECONDS)

    def leave(self, name: str) -> None:
        workers.leave(self.session, name)

    def claim(self, name: str, paths: Sequence[str], limit: int) -> list[ClaimedRun]:
        try:
            with self.session.transaction():
                return claims.claim(self.session, claims.Wanted(worker_id=name, task_paths=list(paths)), limit=limit)
        except claims.WorkerDeclaredDead:
            raise DeclaredDead from None

    def commit(self, batch: Sequence[Handed]) -> dict[UUID, Verdict | LeaseLost]:
        deltas = []
        for claimed, worker_id, writes in batch:
            deltas.append(delta := Delta(claimed, worker_id))
            for write in writes:
                delta.add(write)
        with self.session.transaction():
            answers = commit(self.session, deltas)
        verdicts: dict[UUID, Verdict | LeaseLost] = {}
        for run_id, answer in answers.items():
            assert not isinstance(answer, Busy), "nobody else holds the row"
            verdicts[run_id] = answer
        return verdicts

    def beat(self, name: str, with_keys: Sequence[UUID]) -> Heard:
        heard = workers.beat(self.session, name, with_keys=list(with_keys))
        return Heard(heard.alive, [(run_id, token) for run_id, token, _ in heard.cancelled])

    def sweep(self) -> str:
        dead = workers.declare_dead(self.session)
        swept = workers.sweep(self.session)
        return f"{dead} {swept}" if dead or swept else ""

    def keep_house(self) -> None:
        maintenance.wake_overdue(self.session)
        children.tend(self.session)

    def look_at_schedules(self) -> list[int]:
        return ticks.look(self.session, self.known)[0]

    def fire(self, schedule: int) -> bool:
        return ticks.fire(schedule, using=USING)

    # --- attempts

    @contextmanager
    def on_thread(self) -> Iterator[None]:
        with borrowed(self.connections):
            yield

    def history(self, claimed: ClaimedRun) -> History:
        return history.read(vendors.session(USING), claimed)

    def atomic(self, claimed: ClaimedRun, worker_id: str, perform: AtomicBody[T]) -> T:
        return perform_atomic(USING, claimed, worker_id, perform)[0]

    # --- looks

    def now(self) -> datetime:
        return self.session.now_at()

    def due_next(self) -> list[datetime]:
        sql = f"SELECT min(due_at) FROM {RUNS} WHERE status IN ('READY', 'WAITING') AND due_at > {self.session.now}"
        return [self.session.instant(moment) for (moment,) in rows(sql) if moment is not None]

    def changes(self) -> Hashable:
        return connection.connection.total_changes

    def standings(self) -> dict[UUID, Standing]:
        return {
            UUID(row[0]): Standing(*row[1:]) for row in rows(f"SELECT id, {', '.join(Standing._fields)} FROM {RUNS}")
        }

    def held_of_few(self) -> int:
        sql = f"SELECT count(*) FROM {RUNS} WHERE concurrency_key = ? AND status IN (?, ?)"
        return int(rows(sql, FEW_KEY, *LEASED)[0][0])

    def checkpoints(self) -> dict[tuple[UUID, str], tuple[Any, ...]]:
        found = rows(f"SELECT run_id, path, id, value, failed FROM {CHECKPOINTS}")
        return {(UUID(run_id), path): tuple(told) for run_id, path, *told in found}

    def status(self, run_id: UUID) -> RunStatus:
        return RunStatus(rows(f"SELECT status FROM {RUNS} WHERE id = ?", run_id.hex)[0][0])

    def is_stale(self, claimed: ClaimedRun) -> bool:
        ((token, status),) = rows(f"SELECT lease_token, status FROM {RUNS} WHERE id = ?", claimed.run_id.hex)
        return token != claimed.lease.token or status not in LEASED

    def is_dead(self, name: str) -> bool:
        return rows(f"SELECT dead_at IS NOT NULL FROM {WORKERS} WHERE id = ?", name) == [(1,)]

    def traces(self, run_id: UUID) -> Any:
        return [rows(f"SELECT * FROM {table} WHERE {column} = ?", run_id.hex) for table, column in TRACED]

    def endings(self) -> list[Ended]:
        return self._ended("TRUE")

    def _ended(self, condition: str, *parameters: Any) -> list[Ended]:
        columns = ", ".join(Ended._fields[1:-1])
        found = rows(f"SELECT id, {columns}, parent_id FROM {RUNS} WHERE {condition} ORDER BY id", *parameters)
        return [Ended(UUID(run_id), *told, UUID(parent) if parent else None) for run_id, *told, parent in found]

    def timeline(self, run_id: UUID) -> list[TimelineLine]:
        sql = f"SELECT sequence, kind, message, data FROM {STEPS} WHERE run_id = ? ORDER BY sequence"
        return [TimelineLine(*row) for row in rows(sql, run_id.hex)]

    def child(self, run_id: UUID, key: str) -> Ended:
        (found,) = self._ended("parent_id = ? AND parent_path LIKE '%' || ?", run_id.hex, key)
        return found

    def booked(self, run_id: UUID, key: str) -> tuple[int, bool]:
        return rows(f"SELECT count(*) FROM {EFFECTS} WHERE run_id = ? AND name = ?", run_id.hex, key)[0][0], True

    def names_held(self) -> int:
        return int(rows(f"SELECT count(*) FROM {KEYS} WHERE kind NOT IN (?, ?)", *KEPT_NAMES)[0][0])

    def ticks(self) -> list[tuple[datetime, UUID | None]]:
        return list(Tick.objects.order_by("tick").values_list("tick", "run_id"))
