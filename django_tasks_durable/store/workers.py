"""What a worker may say of itself, and what others may do when it falls silent."""

from __future__ import annotations

import json
import os
import platform
import random
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django_tasks_durable import __version__
from django_tasks_durable.authoring.options import compensates_on_cancel
from django_tasks_durable.exceptions import WorkerCrashed
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED, LEASED, Level, RunStatus, StepKind, WakeReason, may_move

from . import keys
from .deltas import KEPT_ERRORS
from .tables import RUNS, STEPS, WORKERS
from .vendors import Session

SWEPT_AT_ONCE = 200
# So many lost runs go on at once. Of more, each is put off by chance, so that what they call is not run over after an outage.
LOST_AT_ONCE = 20
GOING_ON_PER_SECOND = 50
LONGEST_SPREAD_SECONDS = 60.0
# A connection of SQLite that waits for the lock looks again every 0.1 s at the latest.
SETTLING_SECONDS = 0.25

for _after in (RunStatus.READY, RunStatus.FAILED, RunStatus.CANCELLED):
    assert all(may_move(_before, _after) for _before in LEASED)


def register(
    session: Session, worker_id: str, *, queues: Sequence[str] | None, concurrency: int, lease_seconds: float
) -> None:
    """Enter a new worker."""
    session.execute(
        f"INSERT INTO {WORKERS} (id, host, pid, queues, concurrency, lease_seconds, package_version, started_at, heartbeat_at) "
        f"VALUES (%s, %s, %s, %s, %s, %s, %s, {session.now}, {session.now})",
        (
            worker_id,
            platform.node()[:128],
            os.getpid(),
            json.dumps(None if queues is None else list(queues)),
            concurrency,
            lease_seconds,
            __version__[:32],
        ),
    )


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat heard: whether the worker still counts as alive, and which of its runs were asked to be cancelled."""

    alive: bool
    cancelled: tuple[tuple[UUID, int, str], ...] = ()


def beat(
    session: Session,
    worker_id: str,
    *,
    holds_runs: bool = True,
    with_keys: Sequence[UUID] = (),
    failures: int = 0,
    deaf_because: str = "",
) -> Beat:
    """Say that the worker lives, in one statement whatever it runs, and hear of cancellations if it holds any runs.

    Those ``with_keys`` may have been superseded, which ends them at once. ``failures`` are the heartbeats that have failed
    so far, ``deaf_because`` is why the worker polls although it should be woken.
    """
    if not session.change(
        f"UPDATE {WORKERS} SET heartbeat_at = {session.now}, failed_heartbeats = %s, deaf_because = %s "
        "WHERE id = %s AND dead_at IS NULL",
        (failures, deaf_because[:200], worker_id),
    ):
        return Beat(alive=False)
    if not holds_runs:
        return Beat(alive=True)
    rows = session.execute(
        f"SELECT id, lease_token, cancel_reason FROM {RUNS} WHERE lease_worker = %s AND status IN ('CLAIMED', 'RUNNING') "
        "AND cancel_requested_at IS NOT NULL",
        (worker_id,),
    )
    if with_keys:
        rows += session.execute(
            f"SELECT id, lease_token, cancel_reason FROM {RUNS} WHERE status = 'CANCELLED' "
            f"AND id IN ({', '.join(['%s'] * len(with_keys))})",
            [session.uuid(run_id) for run_id in with_keys],
        )
    return Beat(alive=True, cancelled=tuple((session.as_uuid(run_id), token, reason) for run_id, token, reason in rows))


def leave(session: Session, worker_id: str) -> None:
    """Say that the worker has stopped; its row stays as history."""
    session.execute(
        f"UPDATE {WORKERS} SET stopped_at = {session.now}, dead_at = {session.now} WHERE id = %s AND dead_at IS NULL",
        (worker_id,),
    )


def lost(session: Session) -> str:
    """Return SQL for a condition: whether declare_dead() or sweep() would find anything."""
    return f"EXISTS ({_silence(session)}) OR EXISTS ({_ORPHANS.format(columns='r.lease_worker')})"


def _silence(session: Session) -> str:
    age = session.brand.minus_column_seconds(session.now, "lease_seconds")
    return f"SELECT id FROM {WORKERS} WHERE dead_at IS NULL AND heartbeat_at < {age}"


def declare_dead(session: Session) -> list[str]:
    """Declare the workers dead whose last heartbeat is older than their lease, and return their ids.

    Never waits: a worker that is claiming or beating right now is passed over (locking rule 5). The age is judged again
    under the lock.

    Where there is one writer at a time, whoever wrote for long kept all others from beating. There the others get a moment
    first, and when the lock was still not to be had at once, nobody is judged this time.
    """
    silence = _silence(session)
    if not session.execute(f"{silence} LIMIT 1"):
        return []
    if session.brand.has_one_writer:
        with session.transaction():
            pass
        threading.Event().wait(SETTLING_SECONDS)
    asked_at = clock.monotonic()
    with session.transaction():
        if session.brand.has_one_writer and clock.monotonic() - asked_at > SETTLING_SECONDS:
            return []
        silent = session.execute(f"{silence} ORDER BY id{session.brand.lock_worker}")
        for (worker_id,) in silent:
            session.execute(f"UPDATE {WORKERS} SET dead_at = {session.now} WHERE id = %s", (worker_id,))
    return [worker_id for (worker_id,) in silent]


_ORPHANS = (
    f"SELECT {{columns}} FROM {RUNS} r WHERE r.status IN ('CLAIMED', 'RUNNING') AND r.lease_worker IN "
    f"(SELECT w.id FROM {WORKERS} w WHERE w.dead_at IS NOT NULL)"
)


def sweep(session: Session) -> list[UUID]:
    """Take the runs that dead workers still own, give them back or fail them, and return their ids.

    The token grows, so that a worker that was only thought dead can write nothing more. Runs whose body had not begun are
    given back without being counted; a run that was lost too often in a row without a new checkpoint fails.
    """
    swept: list[UUID] = []
    if not session.execute(f"{_ORPHANS.format(columns='1')} LIMIT 1"):
        return swept
    spread = _spread(session)
    while batch := _sweep_batch(session, spread):
        swept += batch
    return swept


def _spread(session: Session) -> float:
    """Return over how many seconds the lost runs that had begun are to go on."""
    lost = int(session.execute(f"{_ORPHANS.format(columns='COUNT(*)')} AND r.status = 'RUNNING'")[0][0])
    return min(LONGEST_SPREAD_SECONDS, max(0, lost - LOST_AT_ONCE) / GOING_ON_PER_SECOND)


def _sweep_batch(session: Session, spread: float) -> list[UUID]:
    with session.transaction():
        columns = (
            "r.id, r.status, r.deliveries, r.max_deliveries, r.cancel_requested_at, r.attempts, r.last_sequence, "
            f"r.lease_worker, r.errors, r.worker_ids, r.lease_token, r.options, {keys.HOLDS_KEYS}"
        )
        rows = session.execute(
            f"{_ORPHANS.format(columns=columns)} ORDER BY r.id LIMIT {SWEPT_AT_ONCE} {session.brand.lock_only('r')}"
        )
        # Keys come before runs, but who only takes what is free never waits; the others are swept the next time.
        holding = [session.as_uuid(row[0]) for row in rows if row[-1]]
        missed = set(holding) - keys.lock_at_once(session, holding)
        taken = [row for row in rows if session.as_uuid(row[0]) not in missed]
        for row in taken:
            after = _give_back_or_fail(session, row[:-1], spread)
            if after in FINISHED and row[-1]:
                keys.let_go(session, [session.as_uuid(row[0])])
    return [session.as_uuid(row[0]) for row in taken]


def _give_back_or_fail(session: Session, row: tuple[object, ...], spread: float) -> RunStatus:
    (
        run_id,
        status,
        deliveries,
        max_deliveries,
        cancelling,
        attempts,
        last_sequence,
        worker_id,
        errors,
        worker_ids,
        token,
        options,
    ) = row
    was_running = status == RunStatus.RUNNING
    lost = int(str(deliveries)) + was_running
    after, code, reason = RunStatus.READY, "", WakeReason.STALE
    kind, level, message = StepKind.STALE, Level.WARN, str(worker_id)
    failures, workers = str(errors), str(worker_ids)
    if cancelling is not None and not compensates_on_cancel(str(options)):
        after, kind, reason = RunStatus.CANCELLED, StepKind.CANCELLED, WakeReason.NONE
    elif was_running and lost >= int(str(max_deliveries)):
        crash = WorkerCrashed(lost)
        after, kind, level, code, reason = RunStatus.FAILED, StepKind.FAILED, Level.ERROR, crash.code, WakeReason.NONE
        message = str(crash)
        entry = {
            "exception_class_path": f"{type(crash).__module__}.{type(crash).__qualname__}",
            "message": message,
            "traceback": "",
            "code": code,
            "attempt": int(str(attempts)) + 1,
        }
        failures = json.dumps([*json.loads(failures), entry][-KEPT_ERRORS:])
        workers = json.dumps([*json.loads(workers), str(worker_id)])
    finished = "NULL" if after is RunStatus.READY else session.now
    stale = session.now if after is RunStatus.READY else "NULL"
    due = session.brand.plus_seconds(session.now) if after is RunStatus.READY else "due_at"
    delay = (random.uniform(0, spread) if was_running else 0.0,) if after is RunStatus.READY else ()
    session.execute(
        f"UPDATE {RUNS} SET status = %s, wake_reason = %s, error_code = %s, lease_token = lease_token + 1, crashes = crashes + 1, "
        f"deliveries = %s, last_sequence = last_sequence + 1, version = version + 1, errors = %s, worker_ids = %s, "
        f"stalled_at = {stale}, finished_at = {finished}, due_at = {due} "
        "WHERE id = %s AND lease_token = %s AND status IN ('CLAIMED', 'RUNNING')",
        (after.value, reason.value, code, lost, failures, workers, *delay, run_id, token),
    )
    _add_line(session, run_id, int(str(last_sequence)) + 1, kind, level, int(str(attempts)) + 1, message)
    return after


def give_back_orphans(session: Session, worker_id: str, held: Collection[UUID]) -> list[UUID]:
    """Give back, uncounted, the runs that are this worker's by their rows but not in its hands; return their ids.

    A claim whose answer was lost leaves such runs: their worker lives, so no sweep would ever take them. Only the thread
    that claims for this worker may call this, with all that it holds.
    """
    with session.transaction():
        rows = session.execute(
            f"SELECT id, lease_token, attempts, last_sequence, cancel_requested_at, options, {keys.HOLDS_KEYS} FROM {RUNS} r "
            f"WHERE status IN ('CLAIMED', 'RUNNING') AND lease_worker = %s ORDER BY id {session.brand.lock}",
            (worker_id,),
        )
        orphans = [row for row in rows if session.as_uuid(row[0]) not in held]
        for run_id, token, attempts, last_sequence, cancelling, options, holds_keys in orphans:
            if compensates_on_cancel(options):  # whoever takes it next undoes what it did
                cancelling = None
            if cancelling is not None and holds_keys:
                owner = session.as_uuid(run_id)
                if keys.lock_at_once(session, [owner]):
                    keys.let_go(session, [owner])
                else:  # whoever takes it next will hear of the cancellation
                    cancelling = None
            after = RunStatus.READY if cancelling is None else RunStatus.CANCELLED
            kind = StepKind.RELEASED if cancelling is None else StepKind.CANCELLED
            reason = WakeReason.RELEASED if cancelling is None else WakeReason.NONE
            due, finished = (session.now, "NULL") if cancelling is None else ("NULL", session.now)
            session.execute(
                f"UPDATE {RUNS} SET status = %s, wake_reason = %s, lease_token = lease_token + 1, version = version + 1, "
                f"last_sequence = last_sequence + 1, stalled_at = NULL, due_at = {due}, finished_at = {finished} "
                "WHERE id = %s AND lease_token = %s",
                (after.value, reason.value, run_id, token),
            )
            _add_line(session, run_id, last_sequence + 1, kind, Level.INFO, attempts + 1, worker_id)
    return [session.as_uuid(row[0]) for row in orphans]


def _add_line(
    session: Session, run_id: object, sequence: int, kind: StepKind, level: Level, attempt: int, message: str
) -> None:
    session.execute(
        f"INSERT INTO {STEPS} (run_id, sequence, kind, level, attempt, path, message, data, created_at) "
        f"VALUES (%s, %s, %s, %s, %s, '', %s, '', {session.now})",
        (run_id, sequence, kind.value, level.value, attempt, message),
    )
