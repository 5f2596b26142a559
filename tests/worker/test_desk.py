"""What becomes of runs in a worker's hands."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime

import pytest

from django_tasks_durable.exceptions import LeaseLost, PersistenceFailed
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.writes import (
    ClaimedRun,
    Failed,
    History,
    Released,
    SetProgress,
    Started,
    Succeeded,
    Verdict,
)
from django_tasks_durable.worker.held import HeldRun
from django_tasks_durable.worker.writer import Writer


class Ears:
    """Remembers what the worker was told."""

    def __init__(self) -> None:
        self.begun: list[HeldRun] = []
        self.never_began: list[HeldRun] = []
        self.freed: list[HeldRun] = []


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def writer(ears: Ears) -> Writer:
    return Writer(
        "default",
        "w",
        is_direct=None,
        appetite=lambda: [],
        take=lambda runs: None,
        settled=lambda runs: None,
        moved=lambda list_runs: None,
        slot_freed=ears.freed.append,
        begun=ears.begun.append,
        never_began=ears.never_began.append,
        declared_dead=lambda worker_id: None,
        looked=lambda found: None,
        found_none=lambda wanted, seconds: None,
        kin=lambda held, writes: None,
        paused=lambda names: None,
    )


@pytest.fixture
def held(writer: Writer) -> HeldRun:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    claimed = ClaimedRun(
        lease=Lease(run_id=new_id(), token=1),
        task_path="tests.tasks.any",
        backend="default",
        queue_name="default",
        priority=0,
        args="[]",
        kwargs="{}",
        options="{}",
        attempts=0,
        max_attempts=1,
        crashes=0,
        inbox=0,
        enqueued_at=now,
        run_after=None,
        started_at=None,
        now_at=now,
        claimed_monotonic=0.0,
        worker_ids="[]",
        errors="[]",
    )
    run = HeldRun(claimed, writer, executor="thread", history=History())
    writer.hold(run)
    return run


def test_an_attempt_that_breaks_without_an_outcome_fails_its_run(held: HeldRun, ears: Ears) -> None:
    assert held.begin()
    held.ended(None)

    assert isinstance(held.outcome, Failed)
    assert (held.outcome.error.code, held.outcome.retry_at) == ("BROKEN", None)
    assert ears.freed == [held]


def test_a_prefetched_run_is_given_back_once_and_never_begins(held: HeldRun, writer: Writer, ears: Ears) -> None:
    writer.give_back([held, held])

    assert [type(write) for write in held.writes] == [Released]
    assert not held.begin()
    assert ears.begun == []


def test_a_run_that_was_lost_before_it_began_makes_room_again(held: HeldRun, writer: Writer, ears: Ears) -> None:
    writer.lose_all()

    assert not held.begin()
    assert ears.never_began == [held]
    assert writer.held == {}


def test_what_is_handed_in_after_the_outcome_is_refused(held: HeldRun) -> None:
    held.commit(Succeeded(lease=held.claimed.lease, result="1"))
    late: Future[Verdict] = held.commit(Started(lease=held.claimed.lease))

    assert isinstance(late.exception(timeout=0), LeaseLost)
    assert len(held.writes) == 1


def test_what_rests_on_a_value_that_was_refused_is_refused_too_and_the_run_fails(held: HeldRun) -> None:
    held.refused = PersistenceFailed(ValueError("no"))
    held.submit(SetProgress(lease=held.claimed.lease, percent=1.0))
    barrier = held.commit(SetProgress(lease=held.claimed.lease))
    assert isinstance(barrier.exception(timeout=0), PersistenceFailed)
    assert held.writes == []

    held.commit(Succeeded(lease=held.claimed.lease, result="1"))
    assert [type(write) for write in held.writes] == [Failed]


def test_an_attempt_that_is_given_back_stays_so_whatever_was_refused(held: HeldRun) -> None:
    held.refused = PersistenceFailed(ValueError("no"))
    held.commit(Released(lease=held.claimed.lease))
    assert [type(write) for write in held.writes] == [Released]


def test_a_lost_lease_refuses_what_waits_and_stops_the_attempt(held: HeldRun, writer: Writer) -> None:
    waiting = held.commit(Started(lease=held.claimed.lease))
    writer.lose_all()

    assert isinstance(waiting.exception(timeout=0), LeaseLost)
    assert isinstance(held.control.reason, LeaseLost)
    assert not writer.has_work()
