"""A step whose database writes and checkpoint are one transaction."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from django.db import connections

from django_tasks_durable import signals
from django_tasks_durable.exceptions import DatabaseAway, LeaseLost, StateMoved
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.faults import crash_point
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, Released, SaveCheckpoint, Verdict, Write

from . import vendors, workers
from .commit import Busy, commit, is_one_statement
from .deltas import Delta
from .news import tell
from .tables import CHECKPOINTS

T = TypeVar("T")
TRIES = 3
LOCK_SECONDS = 2.0
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 30.0


def perform_atomic(using: str, claimed: ClaimedRun, worker_id: str, perform: AtomicBody[T]) -> tuple[T, Verdict]:
    """Run ``perform`` on this thread's Django connection and commit its facts with its writes, the fence last.

    No lock of ours is held while the user's code runs. Raise LeaseLost, with everything rolled back, when the lease is gone.
    A deadlock, a serialization failure, a lock timeout or the loss of the database rolls back and calls ``perform`` again,
    three times in all. Raise DatabaseAway, with everything rolled back, when the server takes no writes and trying again at once
    would not help. In an outer transaction any error is raised as it is.
    """
    session = vendors.session(using)
    is_within = connections[using].in_atomic_block
    left = 1 if is_within else TRIES
    while True:
        left -= 1
        verdict, used, is_ours = None, session.connection.connection, True
        try:
            with vendors.write_transaction(using):
                used = session.connection.connection
                session.connection.errors_occurred = False  # as the end of the transaction would leave it
                try:
                    value, facts = perform()
                except Exception:
                    # One of another database, or of none, is the task's own.
                    is_ours = session.connection.errors_occurred
                    raise
                crash_point("before_checkpoint")
                verdict = _fence(session, claimed, worker_id, facts)
            return value, verdict
        except StateMoved:
            # With what the step wrote, the giving back was rolled back too.
            _give_back(session, claimed, worker_id)
            raise
        except Exception as error:
            if is_within:
                raise
            if not session.is_transient(error):
                is_lost = session.is_lost(used)
                if not (is_lost or (is_ours and session.brand.takes_no_writes(error))):
                    raise
                if not (is_lost and _answers_again(session)):
                    raise DatabaseAway(error) from error
            if not left:
                raise
            # The commit was under way when the connection broke: it may well have been done.
            if verdict is not None and _is_kept(session, claimed, facts):
                return value, verdict


def _give_back(session: vendors.Session, claimed: ClaimedRun, worker_id: str) -> None:
    delta = Delta(claimed, worker_id)
    delta.add(Released(lease=claimed.lease))
    with session.transaction():
        commit(session, [delta], waits_for_locks=True)


def _answers_again(session: vendors.Session) -> bool:
    """Tell whether the database answers again, after some patience."""
    end = clock.monotonic() + PATIENCE_SECONDS
    while clock.monotonic() < end:
        session.close()
        try:
            session.execute("SELECT 1")
        except Exception as error:
            if not session.brand.is_disconnect(error):
                raise
            threading.Event().wait(LOOK_SECONDS)
        else:
            return True
    return False


def _is_kept(session: vendors.Session, claimed: ClaimedRun, facts: Sequence[Write]) -> bool:
    path = next((fact.checkpoint.path for fact in facts if isinstance(fact, SaveCheckpoint)), None)
    # A step that is done anew each time leaves its checkpoint once, and lines after that.
    return path is not None and bool(
        session.execute(
            f"SELECT 1 FROM {CHECKPOINTS} WHERE run_id = %s AND path = %s",
            (session.uuid(claimed.run_id), path),
        )
    )


def _fence(session: vendors.Session, claimed: ClaimedRun, worker_id: str, facts: Sequence[Write]) -> Verdict:
    delta = Delta(claimed, worker_id)
    for fact in facts:
        delta.add(fact)
    # Nearly always the row is free; only when it is not, the time to wait for it has to be bounded.
    at_once = (
        session.brand.without_beginning(session.connection) if is_one_statement(session, [delta]) else nullcontext()
    )
    with at_once:
        answer = commit(session, [delta])[claimed.run_id]
    if isinstance(answer, Busy):
        with session.brand.bounded_waits(session.execute, LOCK_SECONDS):
            answer = commit(session, [delta], waits_for_locks=True)[claimed.run_id]
    if isinstance(answer, LeaseLost):
        raise answer
    assert not isinstance(answer, Busy), "a fence that waits for the lock is never busy"
    if session.brand.has_one_writer:
        # While the step held the one write lock, no heartbeat came through.
        workers.beat(session, worker_id, holds_runs=False)
    if signals.run_changed.receivers:
        tell(partial(signals.run_changed.send, None, using=session.alias, run_ids=[claimed.run_id]), session.alias)
    return answer
