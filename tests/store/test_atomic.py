"""A step whose rows and checkpoint are one transaction: both or neither, the fence last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import task, testing
from django_tasks_durable.exceptions import DatabaseAway, LeaseLost
from django_tasks_durable.models import Checkpoint, Step, TaskRun
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import RunStatus, WakeReason
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


REFUSALS = {
    "postgresql": {
        name: f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
        for name, state in {
            "read-only": "25006",
            "disk full": "53100",
            "connections": "53300",
            "shutdown": "57P03",
        }.items()
    },
    "mysql": {
        name: f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'with --read-only'"
        for name, code in {"read-only": 1290, "disk full": 1021, "out of memory": 1041, "connections": 1040}.items()
    },
}


def run_sql(sql: str) -> None:
    """Say something to the database on the step's own connection."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


def fill_up() -> None:
    """Write more than there is room for in a file of SQLite that may not grow: what earlier tests left free in it, and more."""
    run_sql("PRAGMA max_page_count = 1")
    with connection.cursor() as cursor:
        pages, size = (cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    effects.record("x" * (pages * size + 100_000), new_id())


def mend() -> None:
    """Let SQLite take writes again; the refusals of the others are over at once."""
    if connection.vendor == "sqlite":  # past Django, which lets nothing through before the transaction is rolled back
        connection.connection.execute("PRAGMA query_only = OFF")
        connection.connection.execute("PRAGMA max_page_count = 1073741823")


@pytest.fixture(params=["read-only", "disk full", "out of memory", "shutdown", "connections"])
def unfit(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Return what makes the server refuse a write because of how it is itself."""
    vendor, name = connection.vendor, request.param
    if vendor == "sqlite" and name == "read-only":
        yield lambda: (run_sql("PRAGMA query_only = ON"), effects.record("refused", new_id()))  # type: ignore[func-returns-value]
        mend()
    elif vendor == "sqlite" and name == "disk full":
        yield fill_up
        mend()
    elif name in REFUSALS.get(vendor, {}):
        yield lambda: run_sql(REFUSALS[vendor][name])
    else:
        pytest.skip(f"{vendor} has no such error")


def test_a_server_that_takes_no_writes_is_no_failure_of_the_step(
    claimed: ClaimedRun, unfit: Callable[[], None]
) -> None:
    before = acts.everything()
    entered: list[int] = []

    def refuse() -> None:
        entered.append(1)
        unfit()

    with pytest.raises(DatabaseAway) as raised:
        store_of(claimed).atomic(claimed, booking(claimed, refuse))

    assert isinstance(raised.value.cause, DatabaseError)
    assert entered == [1]
    assert acts.everything() == before
    assert effects.times("booked") == 0


class OnceUnfit:
    """The body of an atomic step that meets a server that takes no writes, for a while."""

    unfit: Callable[[], None] = staticmethod(lambda: None)
    entered = 0

    @classmethod
    def book(cls) -> str:
        """Write a row, and more than the server takes."""
        cls.entered += 1
        effects.record("booked", new_id())
        cls.unfit()
        return "booked"


@task(max_attempts=1)
def books(context: Any) -> str:
    """Book in an atomic step that may be tried once."""
    return str(context.step("book", OnceUnfit.book, atomic=True))


def test_a_run_waits_for_a_server_that_takes_no_writes_and_nothing_is_counted(
    transactional_db: None, unfit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        try:
            unfit()
        finally:
            mend()  # or it would refuse what the run is to say of it, too

    monkeypatch.setattr(OnceUnfit, "unfit", staticmethod(refused))
    monkeypatch.setattr(OnceUnfit, "entered", 0)
    run_id = acts.enqueue(books)
    for number in (1, 2, 3):
        testing.drain()
        row = acts.run(run_id)
        assert (row.status, row.wake_reason) == (RunStatus.READY, WakeReason.STEP_RETRY)
        assert (row.attempts, row.crashes, row.deliveries, OnceUnfit.entered) == (0, 0, 0, number)
        assert row.due_at is not None
        TaskRun.objects.update(due_at=row.enqueued_at)
    assert "takes no writes for now" in Step.objects.filter(run_id=run_id, kind="step").latest("sequence").message

    monkeypatch.setattr(OnceUnfit, "unfit", staticmethod(lambda: None))
    testing.drain()
    assert (acts.run(run_id).status, acts.run(run_id).result) == (RunStatus.SUCCESSFUL, '"booked"')
    assert effects.times("booked") == 1


def test_an_error_that_is_not_of_this_connection_is_the_tasks_own(
    claimed: ClaimedRun, unfit: Callable[[], None]
) -> None:
    """A second database may be full, while this one takes whatever comes."""
    with pytest.raises(DatabaseError) as met, transaction.atomic():
        unfit()
    mend()

    def elsewhere() -> None:
        raise met.value

    with pytest.raises(DatabaseError):
        store_of(claimed).atomic(claimed, booking(claimed, elsewhere))


@pytest.mark.databases("sqlite")
def test_a_step_that_leaves_no_checkpoint_is_repeated_when_the_answer_of_its_commit_is_lost(
    claimed: ClaimedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step without ``cache`` whose checkpoint is there already hands over a line alone."""
    commit, entered = connection._commit, []

    def perform() -> tuple[str, list[object]]:
        entered.append(1)
        return "looked", [acts.append(claimed.lease, "again")]

    def lose_the_answer() -> None:
        commit()
        if len(entered) == 1:
            raise OperationalError("database is locked")

    store = store_of(claimed)
    monkeypatch.setattr(connections["default"], "_commit", lose_the_answer)
    assert store.atomic(claimed, perform) == "looked"
    assert len(entered) == 2


def test_inside_a_callers_transaction_a_step_is_tried_once(claimed: ClaimedRun) -> None:
    with transaction.atomic():
        store_of(claimed).atomic(claimed, booking(claimed))

    assert effects.times("booked") == 1
