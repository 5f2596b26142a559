"""Run what is due right here, and stop the clocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from asgiref.sync import async_to_sync

from django_tasks_durable import signals
from django_tasks_durable.authoring.pins import pins
from django_tasks_durable.authoring.tasks import get_task, registered
from django_tasks_durable.conf import get_options
from django_tasks_durable.engine import attempt
from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.executors.base import announce_start
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.ids import new_worker_id
from django_tasks_durable.primitives.writes import ClaimedRun
from django_tasks_durable.store import children, claims, maintenance, vendors, workers

from .crashing import Crashed, MortalStore

__all__ = ["advance", "drain", "frozen"]


def drain(backend: str = "default", *, queues: Sequence[str] | None = None, limit: int = 1000) -> list[UUID]:
    """Run everything that is due, on this thread and through Django's connection, until nothing is; return the runs' ids.

    Works inside ``TestCase``. A run that suspends and is due again at once is run again; each slice counts towards
    ``limit``, past which AssertionError is raised.
    """
    options = get_options(backend)
    using = options.database
    session = vendors.session(using)
    worker_id = _enter(session, queues)
    wanted = claims.Wanted(
        worker_id=worker_id,
        task_paths=list(registered()),
        pins=pins(),
        queues=queues,
        concurrency=options.global_concurrency,
        queue_limits=options.queue_limits,
    )
    done: list[UUID] = []
    while True:
        wanted.turns.wake()
        maintenance.wake_overdue(session)
        children.tend(session)
        with session.transaction():
            claimed = claims.claim(session, wanted, limit=1)
        if not claimed:
            break
        if len(done) >= limit:
            raise AssertionError(
                f"drain() ran {limit} slices and {claimed[0].task_path} is due again: does it ever end?"
            )
        try:
            _carry(claimed[0], using, worker_id)
        except Crashed:
            workers.leave(session, worker_id)
            workers.sweep(session)
            worker_id = _enter(session, queues)
            wanted = replace(wanted, worker_id=worker_id)
        done.append(claimed[0].run_id)
    workers.leave(session, worker_id)
    return list(dict.fromkeys(done))


def _enter(session: vendors.Session, queues: Sequence[str] | None) -> str:
    worker_id = new_worker_id("drain")
    workers.register(session, worker_id, queues=queues, concurrency=1, lease_seconds=3600)
    return worker_id


def _carry(claimed: ClaimedRun, using: str, worker_id: str) -> None:
    store = MortalStore(claimed, using=using, worker_id=worker_id)
    control = AttemptControl()
    announce_start(claimed)
    if attempt.is_async(get_task(claimed.task_path)):
        ending = async_to_sync(attempt.aexecute)(claimed, store, control)
    else:
        ending = attempt.execute(claimed, store, control)
    if ending is None:
        return
    outcome, future = ending
    verdict = future.result()
    signals.run_changed.send(sender=None, using=using, run_ids=[claimed.run_id])
    signals.run_ended.send(sender=None, using=using, claimed=claimed, outcome=outcome, status=verdict.status)


@contextmanager
def frozen(at: datetime | None = None) -> Iterator[datetime]:
    """Stop the database's clock, as this package sees it, and the monotonic one; ``advance()`` moves both."""
    moment = at or datetime(2030, 1, 1, 12, tzinfo=UTC)
    clock.freeze(moment)
    try:
        yield moment
    finally:
        clock.unfreeze()


def advance(by: timedelta | float) -> None:
    """Move the stopped clocks on, by a timedelta or seconds. Raise RuntimeError when they run."""
    clock.advance(by.total_seconds() if isinstance(by, timedelta) else by)
