"""A step whose rows and checkpoint are one transaction: both or neither, the fence last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.models import Checkpoint
from django_tasks_durable.primitives.writes import ClaimedRun, SetProgress, Started
from django_tasks_durable.store import vendors
from django_tasks_durable.store.inline import InlineStore
from tests.probe import effects
from tests.probe.models import Account
from tests.store import acts

pytestmark = pytest.mark.django_db(transaction=True)


def booking(claimed: ClaimedRun, then: Callable[[], object] = lambda: None) -> Callable[[], Any]:
    """Make the body of an atomic step that writes a row."""

    def perform() -> tuple[str, list[object]]:
        effects.record("booked", claimed.run_id)
        then()
        return "booked", [
            acts.append(claimed.lease, "inside"),
            SetProgress(lease=claimed.lease, percent=50.0),
            acts.save(claimed.lease, "step:book", value='"booked"'),
        ]

    return perform


def store_of(claimed: ClaimedRun) -> InlineStore:
    """Make the run store of one attempt."""
    return InlineStore(claimed, using="default", worker_id=acts.WORKER)


def test_the_rows_and_the_checkpoint_are_there_together(claimed: ClaimedRun) -> None:
    assert store_of(claimed).atomic(claimed, booking(claimed)) == "booked"

    assert effects.times("booked") == 1
    assert Checkpoint.objects.get().value == '"booked"'
    row = acts.run(claimed.run_id)
    assert row.progress_percent == 50.0
    assert acts.kinds(row.id) == ["enqueued", "log", "step"]


def test_what_was_handed_in_before_is_committed_first(claimed: ClaimedRun) -> None:
    store = store_of(claimed)
    store.submit(Started(lease=claimed.lease))
    store.submit(acts.append(claimed.lease, "before"))
    store.atomic(claimed, booking(claimed))

    assert acts.kinds(claimed.run_id) == ["enqueued", "claimed", "started", "log", "log", "step"]


def test_a_body_that_writes_nothing_is_fenced_like_any(claimed: ClaimedRun) -> None:
    def perform() -> tuple[str, list[object]]:
        return "looked", [acts.save(claimed.lease, "step:look", value='"looked"')]

    store = store_of(claimed)
    assert store.atomic(claimed, perform) == "looked"
    assert Checkpoint.objects.get().value == '"looked"'

    acts.lose_worker(vendors.session())
    before = acts.everything()
    with pytest.raises(LeaseLost):
        store.atomic(claimed, perform)
    assert acts.everything() == before


def test_a_body_that_raises_leaves_nothing(claimed: ClaimedRun) -> None:
    def fail() -> None:
        raise ValueError("no")

    before = acts.everything()
    with pytest.raises(ValueError, match="no"):
        store_of(claimed).atomic(claimed, booking(claimed, fail))

    assert effects.times("booked") == 0
    assert acts.everything() == before


def test_the_fence_is_the_last_thing_before_the_commit(claimed: ClaimedRun) -> None:
    with CaptureQueriesContext(connection) as captured:
        store_of(claimed).atomic(claimed, booking(claimed))

    statements = [query["sql"] for query in captured]
    body = next(number for number, sql in enumerate(statements) if "probe_effect" in sql)
    fence = [number for number, sql in enumerate(statements) if "taskrun" in sql]
    assert min(fence) > body


@pytest.mark.databases("postgresql", "mysql")
def test_no_lock_of_ours_is_held_while_the_body_runs(claimed: ClaimedRun, other_session: vendors.Session) -> None:
    def look() -> None:
        with other_session.transaction():
            rows = other_session.execute(
                f"SELECT id FROM durable_tasks_taskrun {other_session.brand.lock}{other_session.brand.skip}"
            )
        assert len(rows) == 1

    store_of(claimed).atomic(claimed, booking(claimed, look))


@pytest.mark.databases("postgresql", "mysql")
def test_a_row_that_stays_held_makes_the_step_repeat_and_then_fail(
    claimed: ClaimedRun, other_session: vendors.Session
) -> None:
    entered: list[int] = []
    with other_session.transaction():
        other_session.execute(f"SELECT 1 FROM durable_tasks_taskrun {other_session.brand.lock}")
        with pytest.raises(Exception, match=r"(?i)lock"):
            store_of(claimed).atomic(claimed, booking(claimed, lambda: entered.append(1)))

    assert len(entered) == 3
    assert effects.times("booked") == 0
    assert store_of(claimed).atomic(claimed, booking(claimed)) == "booked"


@pytest.mark.databases("postgresql", "mysql")
def test_the_bound_on_waiting_does_not_outlive_the_step(
    claimed: ClaimedRun, other_session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_tasks_durable.store.atomic.TRIES", 1)
    setting = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout"}[
        connection.vendor
    ]

    def read() -> object:
        with connection.cursor() as cursor:
            cursor.execute(setting)
            return cursor.fetchone()

    connection.close()  # what an earlier step left behind would hide what this one leaves
    before = read()
    with other_session.transaction():
        other_session.execute(f"SELECT 1 FROM durable_tasks_taskrun {other_session.brand.lock}")
        with pytest.raises(Exception, match=r"(?i)lock"):
            store_of(claimed).atomic(claimed, booking(claimed))

    assert read() == before


@pytest.mark.databases("postgresql", "mysql")
def test_a_deadlock_repeats_the_step_and_costs_no_attempt(claimed: ClaimedRun) -> None:
    """Two accounts are taken in opposite order, each side waiting until the other has its first."""
    Account.objects.bulk_create([Account(name="a", balance=10), Account(name="b", balance=10)])
    mine_taken, theirs_taken = threading.Event(), threading.Event()
    entered: list[int] = []
    trouble: list[BaseException] = []

    def other_side() -> None:
        try:
            for _ in range(5):
                try:
                    with transaction.atomic():
                        Account.objects.filter(name="b").update(balance=5)
                        theirs_taken.set()
                        mine_taken.wait(10)
                        Account.objects.filter(name="a").update(balance=5)
                    return
                except Exception as error:
                    if not vendors.session("default").is_transient(error):
                        raise
        except BaseException as error:
            trouble.append(error)
        finally:
            connections.close_all()

    def take() -> None:
        entered.append(1)
        Account.objects.filter(name="a").update(balance=1)
        mine_taken.set()
        theirs_taken.wait(10)
        Account.objects.filter(name="b").update(balance=1)

    rival = threading.Thread(target=other_side)
    rival.start()
    assert store_of(claimed).atomic(claimed, booking(claimed, take)) == "booked"
    rival.join(30)

    assert not trouble
    assert effects.times("booked") == 1
    assert Checkpoint.objects.count() == 1
    assert acts.run(claimed.run_id).attempts == 0


def test_inside_a_callers_transaction_a_step_is_tried_once(claimed: ClaimedRun) -> None:
    with transaction.atomic():
        store_of(claimed).atomic(claimed, booking(claimed))

    assert effects.times("booked") == 1
