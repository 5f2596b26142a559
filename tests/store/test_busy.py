"""Rows that somebody else holds for a moment: a tick does not wait, and nothing is lost or out of order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.writes import ClaimedRun, Started, Succeeded, Verdict
from django_tasks_durable.store import vendors, workers
from django_tasks_durable.store.commit import BUSY, commit
from django_tasks_durable.store.deltas import Delta
from tests.store import acts

pytestmark = [pytest.mark.databases("postgresql", "mysql"), pytest.mark.django_db(transaction=True)]


@contextmanager
def locked(session: vendors.Session, claimed: ClaimedRun) -> Iterator[None]:
    """Hold the run's row, as an admin's request would."""
    with session.transaction():
        session.execute(
            f"SELECT 1 FROM durable_tasks_taskrun WHERE id = %s {session.brand.lock}", (session.uuid(claimed.run_id),)
        )
        yield


@pytest.mark.parametrize("kind", acts.WRITE_KINDS)
def test_a_row_that_is_held_is_busy_and_nothing_is_written(
    session: vendors.Session, other_session: vendors.Session, claimed: ClaimedRun, kind: str
) -> None:
    before = acts.everything()
    write = acts.each_write(claimed.lease, claimed.now_at + timedelta(hours=1))[kind]
    with locked(other_session, claimed):
        answer = acts.hand_in(session, claimed, write)

    assert answer is BUSY
    assert acts.everything() == before
    assert isinstance(acts.hand_in(session, claimed, write), Verdict)


def test_a_lost_lease_is_known_although_the_row_is_held(
    session: vendors.Session, other_session: vendors.Session, claimed: ClaimedRun
) -> None:
    acts.lose_worker(session)
    with locked(other_session, claimed):
        answer = acts.hand_in(session, claimed, Started(lease=claimed.lease))

    assert isinstance(answer, LeaseLost)


def test_the_others_of_a_batch_are_written(
    session: vendors.Session, other_session: vendors.Session, claimed: ClaimedRun
) -> None:
    acts.enqueue()
    (free,) = acts.claim(session)
    deltas = []
    for run in (claimed, free):
        delta = Delta(run, acts.WORKER)
        delta.add(Succeeded(lease=run.lease, result="1"))
        deltas.append(delta)
    with locked(other_session, claimed), session.transaction():
        answers = commit(session, deltas)

    assert answers[claimed.run_id] is BUSY
    assert isinstance(answers[free.run_id], Verdict)


def test_a_claim_passes_over_a_row_that_is_held(
    session: vendors.Session, other_session: vendors.Session, claimed: ClaimedRun
) -> None:
    acts.hand_in(session, claimed, acts.failed(claimed.lease, retry_at=claimed.now_at))
    behind = acts.enqueue()
    with locked(other_session, claimed):
        found = acts.claim(session)

    assert [run.run_id for run in found] == [behind]


def test_a_sweep_passes_over_a_row_that_is_held_and_comes_back(
    session: vendors.Session, other_session: vendors.Session, claimed: ClaimedRun
) -> None:
    with locked(other_session, claimed):
        assert acts.lose_worker(session) == []

    assert acts.lose_worker(session) == [claimed.run_id]


def test_a_heartbeat_waits_for_no_row_of_a_run(
    session: vendors.Session, other_session: vendors.Session, claimed: ClaimedRun
) -> None:
    with locked(other_session, claimed):
        assert workers.beat(session, acts.WORKER).alive
