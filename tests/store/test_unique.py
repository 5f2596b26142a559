"""Keys: which call gets a run of its own, and which one that is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.exceptions import DuplicateTask, IdempotencyConflict, InvalidKey, KeyHeld
from django_tasks_durable.models import OpenKey, TaskRun
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.keys import Disposition, KeyKind, key_of
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Cancelled, ClaimedRun, Started, Succeeded
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import control, keys, vendors, workers
from django_tasks_durable.store.commit import BUSY, is_one_statement
from django_tasks_durable.store.deltas import Delta
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db


def held() -> dict[str, UUID]:
    """Read who holds which key."""
    return {f"{key.kind}:{key.name.rpartition(':')[2]}": key.run_id for key in OpenKey.objects.all()}


def claimed_with(session: vendors.Session, **keys: str) -> ClaimedRun:
    """Enqueue a run with keys and claim it."""
    acts.register(session)
    acts.enqueue(tasks.echo, 1, **keys)
    return acts.claim(session)[0]


@pytest.fixture
def stopped() -> Iterator[None]:
    """Stop the clock."""
    clock.freeze()
    yield
    clock.unfreeze()


# --- dedupe


@pytest.mark.seed("TR-5", "TR-7", "TR-P6")
def test_a_second_call_finds_the_open_run_and_its_input_is_left_aside() -> None:
    first = tasks.echo.using(dedupe_key="report:42").enqueue(1)
    again = tasks.echo.using(dedupe_key="report:42").enqueue(2)

    assert (first.disposition, again.disposition) == (Disposition.CREATED, Disposition.REUSED)
    assert again.id == first.id
    assert again.args == [1]
    assert TaskRun.objects.count() == 1


def test_a_key_is_a_tasks_own() -> None:
    acts.enqueue(tasks.echo, dedupe_key="a")
    acts.enqueue(tasks.add, 1, 2, dedupe_key="a")
    acts.enqueue(tasks.echo, dedupe_key="b")

    assert TaskRun.objects.count() == 3


def test_a_duplicate_may_be_rejected_and_is_told_by_its_run() -> None:
    run_id = acts.enqueue(tasks.echo, dedupe_key="a")
    with pytest.raises(DuplicateTask) as refusal, transaction.atomic():
        acts.enqueue(tasks.echo, dedupe_key="a", on_duplicate="reject")

    assert refusal.value.run_id == run_id
    assert TaskRun.objects.count() == 1


ENDINGS = {
    "success": lambda session, claimed: acts.hand_in(
        session, claimed, Started(lease=claimed.lease), Succeeded(lease=claimed.lease, result="1")
    ),
    "failure": lambda session, claimed: acts.hand_in(session, claimed, acts.failed(claimed.lease)),
    "cancelled by itself": lambda session, claimed: acts.hand_in(session, claimed, Cancelled(lease=claimed.lease)),
    "cancelled meanwhile": lambda session, claimed: (
        control.cancel(claimed.run_id, using="default"),
        acts.hand_in(session, claimed, acts.asleep(claimed.lease, claimed.now_at)),
    ),
    "cancelled by an operator": lambda session, claimed: (
        acts.hand_in(session, claimed, acts.parked(claimed.lease)),
        control.cancel(claimed.run_id, using="default"),
    ),
    "swept for good": lambda session, claimed: (
        acts.hand_in(session, claimed, Started(lease=claimed.lease)),
        TaskRun.objects.update(max_deliveries=1),
        acts.lose_worker(session),
    ),
    "cancelled, then orphaned": lambda session, claimed: (
        control.cancel(claimed.run_id, using="default"),
        workers.give_back_orphans(session, acts.WORKER, []),
    ),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_names_of_a_run_are_free_when_it_has_ended(session: vendors.Session, ending: str) -> None:
    claimed = claimed_with(session, dedupe_key="a", supersede_key="b")
    ENDINGS[ending](session, claimed)

    assert acts.run(claimed.run_id).status in {RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED}
    assert held() == {}
    again = tasks.echo.using(dedupe_key="a").enqueue(1)
    assert (again.disposition, again.run_id == claimed.run_id) == (Disposition.CREATED, False)


@pytest.mark.parametrize("kind", ["failed, to be retried", "waiting", "sleeping", "released"])
def test_a_run_that_goes_on_keeps_its_names(session: vendors.Session, kind: str) -> None:
    claimed = claimed_with(session, dedupe_key="a")
    acts.hand_in(session, claimed, acts.each_write(claimed.lease, claimed.now_at)[kind])

    assert held() == {"dedupe:a": claimed.run_id}


def test_a_long_name_is_stored_as_its_digest() -> None:
    first = acts.enqueue(tasks.echo, dedupe_key="a" * 500)
    assert acts.enqueue(tasks.echo, dedupe_key="a" * 500) == first
    assert acts.enqueue(tasks.echo, dedupe_key="a" * 499 + "b") != first
    name = OpenKey.objects.get(run_id=first).name
    assert len(name) < 100
    assert key_of(KeyKind.RUN, "", name).name != name  # nobody can name his run like another's digest


@pytest.mark.parametrize("pair", [("a", "A"), ("a", "ä"), ("a b", "ab"), ("ß", "ss")])
def test_names_differ_by_case_and_accents(pair: tuple[str, str]) -> None:
    assert acts.enqueue(tasks.echo, run_id=pair[0]) != acts.enqueue(tasks.echo, run_id=pair[1])


# --- debounce


def test_a_debounced_run_takes_the_latest_arguments_and_waits_on(session: vendors.Session, stopped: None) -> None:
    window = tasks.echo.using(dedupe_key="a", debounce=timedelta(seconds=30))
    first = window.enqueue(1)
    begun = acts.run(first.run_id).due_at
    assert begun == clock.frozen_at() + timedelta(seconds=30)
    clock.advance(10)
    again = window.enqueue(2)

    row = acts.run(first.run_id)
    assert (again.id, again.disposition, again.args) == (first.id, Disposition.REUSED, [2])
    assert (json.loads(row.args), row.due_at) == ([2], begun + timedelta(seconds=10))
    assert acts.kinds(row.id) == ["enqueued", "enqueued"]
    assert acts.sequences(row.id) == [1, 2]


def test_a_debounced_run_is_not_put_off_for_ever(session: vendors.Session, stopped: None) -> None:
    window = tasks.echo.using(dedupe_key="a", debounce=timedelta(seconds=30), debounce_limit=timedelta(seconds=50))
    first = window.enqueue(0)
    enqueued_at = acts.run(first.run_id).enqueued_at
    for number in range(5):
        clock.advance(9)
        window.enqueue(number)

    row = acts.run(first.run_id)
    assert (json.loads(row.args), row.due_at) == ([4], enqueued_at + timedelta(seconds=50))


def test_a_debounced_run_that_was_claimed_gets_a_successor(session: vendors.Session) -> None:
    acts.register(session)
    window = tasks.echo.using(dedupe_key="a", debounce=timedelta(seconds=30))
    first = window.enqueue(1)
    TaskRun.objects.update(due_at=session.now_at())
    (claimed,) = acts.claim(session)
    second, third = window.enqueue(2), window.enqueue(3)

    assert (second.disposition, third.disposition) == (Disposition.CREATED, Disposition.REUSED)
    assert held() == {"dedupe:a": second.run_id}
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))
    assert acts.run(first.run_id).status == RunStatus.SUCCESSFUL
    assert held() == {"dedupe:a": second.run_id}
    assert (third.id, json.loads(acts.run(second.run_id).args)) == (second.id, [3])


# --- supersede


@pytest.mark.seed("TR-6", "TR-7", "TR-P6")
def test_a_newer_call_takes_the_place_of_the_open_run() -> None:
    old = tasks.echo.using(supersede_key="scan:7", dedupe_key="old").enqueue(1)
    new = tasks.echo.using(supersede_key="scan:7").enqueue(2)

    row = acts.run(old.run_id)
    assert (new.disposition, new.superseded_ids) == (Disposition.SUPERSEDED, (old.id,))
    assert (row.status, row.error_code, row.due_at) == (RunStatus.CANCELLED, "SUPERSEDED", None)
    assert row.cancel_reason == f"Superseded by {new.id}"
    assert acts.kinds(row.id) == ["enqueued", "cancelled"]
    assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
    assert held() == {"supersede:7": new.run_id}
    assert TaskRun.objects.exclude(status=RunStatus.CANCELLED).get().id == new.run_id


@pytest.mark.seed("TR-6")
def test_a_superseded_attempt_writes_nothing_more_and_hears_of_it_with_the_next_heartbeat(
    session: vendors.Session,
) -> None:
    claimed = claimed_with(session, supersede_key="scan:7")
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    new = tasks.echo.using(supersede_key="scan:7").enqueue(2)
    before = acts.everything()

    answer = acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))
    heard = workers.beat(session, acts.WORKER, with_keys=[claimed.run_id])

    assert type(answer).__name__ == "LeaseLost"
    assert heard.cancelled == ((claimed.run_id, claimed.lease.token, f"Superseded by {new.id}"),)
    assert acts.everything()["TaskRun"] == before["TaskRun"]
    assert acts.run(claimed.run_id).error_code == "SUPERSEDED"


@pytest.mark.seed("TR-6")
def test_the_dedupe_key_is_asked_first() -> None:
    first = tasks.echo.using(supersede_key="scan", dedupe_key="a").enqueue(1)
    again = tasks.echo.using(supersede_key="scan", dedupe_key="a").enqueue(2)

    assert (again.id, again.disposition) == (first.id, Disposition.REUSED)
    assert acts.run(first.run_id).status == RunStatus.READY


def test_what_has_ended_is_not_superseded(session: vendors.Session) -> None:
    claimed = claimed_with(session, supersede_key="scan")
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))
    new = tasks.echo.using(supersede_key="scan").enqueue(2)

    assert (new.disposition, new.superseded_ids) == (Disposition.CREATED, ())
    assert acts.run(claimed.run_id).status == RunStatus.SUCCESSFUL


# --- the caller's own id


def test_a_callers_id_attaches_to_the_open_run_of_the_same_input() -> None:
    first = tasks.add.using(run_id="order-7").enqueue(a=1, b=2)
    again = tasks.add.using(run_id="order-7").enqueue(b=2, a=1)

    assert (again.id, again.disposition) == (first.id, Disposition.REUSED)
    with pytest.raises(IdempotencyConflict):
        tasks.add.using(run_id="order-7").enqueue(a=1, b=3)
    with pytest.raises(IdempotencyConflict):
        tasks.echo.using(run_id="order-7").enqueue(1)


def test_a_callers_id_finds_the_open_run_else_the_newest_finished_one(session: vendors.Session) -> None:
    backend = tasks.echo.get_backend()
    claimed = claimed_with(session, run_id="order-7")
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))
    assert backend.get_result("order-7").run_id == claimed.run_id

    new = tasks.echo.using(run_id="order-7").enqueue(2)
    assert (new.disposition, new.run_id == claimed.run_id) == (Disposition.CREATED, False)
    assert backend.get_result("order-7").id == new.id
    assert read.one(claimed.run_id, using="default").keys == {"run": "order-7"}


# --- idempotency


@pytest.mark.seed("AW-21")
def test_an_idempotency_key_finds_its_run_again_also_after_its_end(session: vendors.Session) -> None:
    claimed = claimed_with(session, idempotency_key="request-1")
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result='"done"'))
    again = tasks.echo.using(idempotency_key="request-1").enqueue(1)

    assert (again.run_id, again.disposition, again.return_value) == (claimed.run_id, Disposition.REUSED, "done")
    with pytest.raises(IdempotencyConflict):
        tasks.echo.using(idempotency_key="request-1").enqueue(2)


@pytest.mark.seed("AW-21")
def test_a_failed_first_run_does_not_block_its_key(session: vendors.Session) -> None:
    claimed = claimed_with(session, idempotency_key="request-1")
    acts.hand_in(session, claimed, acts.failed(claimed.lease))
    control.retry(claimed.run_id, using="default")

    assert tasks.echo.using(idempotency_key="request-1").enqueue(1).run_id == claimed.run_id
    assert acts.claim(session)[0].run_id == claimed.run_id


def test_an_idempotency_key_expires(session: vendors.Session, stopped: None) -> None:
    claimed = claimed_with(session, idempotency_key="request-1")
    clock.advance(25 * 3600)
    assert acts.enqueue(tasks.echo, 1, idempotency_key="request-1") == claimed.run_id  # an open run keeps it
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))

    assert acts.enqueue(tasks.echo, 2, idempotency_key="request-1") != claimed.run_id


def test_expired_keys_are_forgotten_once_their_run_has_ended(session: vendors.Session, stopped: None) -> None:
    ended = claimed_with(session, idempotency_key="ended")
    acts.hand_in(session, ended, Succeeded(lease=ended.lease, result="1"))
    still_open = acts.enqueue(tasks.echo, 2, idempotency_key="open")
    assert keys.forget_expired(session) == 0
    clock.advance(25 * 3600)
    fresh = acts.enqueue(tasks.echo, 3, idempotency_key="fresh")

    assert keys.forget_expired(session) == 1
    assert held() == {"idempotency:open": still_open, "idempotency:fresh": fresh}


# --- retry


def test_a_retry_takes_its_names_again(session: vendors.Session) -> None:
    claimed = claimed_with(session, dedupe_key="a", supersede_key="b")
    acts.hand_in(session, claimed, acts.failed(claimed.lease))
    control.retry(claimed.run_id, using="default")

    assert held() == {"dedupe:a": claimed.run_id, "supersede:b": claimed.run_id}


@pytest.mark.parametrize("names", [{"dedupe_key": "a"}, {"supersede_key": "a"}, {"run_id": "a"}])
def test_a_retry_is_refused_while_another_run_has_its_name(session: vendors.Session, names: dict[str, str]) -> None:
    claimed = claimed_with(session, **names)
    acts.hand_in(session, claimed, acts.failed(claimed.lease))
    other = acts.enqueue(tasks.echo, 2, **names)
    before = acts.everything()
    with pytest.raises(KeyHeld) as refusal:
        control.retry(claimed.run_id, using="default")

    assert refusal.value.run_id == other
    assert acts.everything() == before


def test_a_retry_that_is_refused_otherwise_takes_no_name(session: vendors.Session) -> None:
    claimed = claimed_with(session, dedupe_key="a")
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))
    with pytest.raises(Exception, match="cannot be asked to retry"):
        control.retry(claimed.run_id, using="default")

    assert held() == {}


# --- what it costs, and what is refused


def test_a_run_without_keys_pays_nothing(session: vendors.Session) -> None:
    acts.register(session)
    with CaptureQueriesContext(connection) as queries:
        acts.enqueue()
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))

    assert [query["sql"] for query in queries if "openkey" in query["sql"]] == []
    delta = Delta(claimed, acts.WORKER)
    delta.add(Succeeded(lease=claimed.lease, result="1"))
    assert is_one_statement(session, [delta]) is session.brand.has_arrays


def test_a_run_that_goes_on_needs_no_look_at_its_keys(session: vendors.Session) -> None:
    claimed = claimed_with(session, dedupe_key="a")
    with CaptureQueriesContext(connection) as queries:
        acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.save(claimed.lease))

    assert [query["sql"] for query in queries if "openkey" in query["sql"]] == []


@pytest.mark.databases("postgresql", "mysql")
@pytest.mark.django_db(transaction=True)
def test_an_end_waits_for_nobody_who_holds_its_names(session: vendors.Session, other_session: vendors.Session) -> None:
    claimed = claimed_with(session, supersede_key="a")
    with other_session.transaction():
        keys.lock(other_session, claimed.run_id)
        assert acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1")) is BUSY
    assert acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1")) is not BUSY
    assert held() == {}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dedupe_key": ""}, InvalidKey, "must not be empty"),
        ({"dedupe_key": "  "}, InvalidKey, "must not be empty"),
        ({"dedupe_key": "a "}, InvalidKey, "begin or end with a blank"),
        ({"supersede_key": 7}, InvalidKey, "has to be a string"),
        ({"idempotency_key": "x" * 1001}, InvalidKey, "at most 1000"),
        ({"run_id": "a\x00b"}, InvalidKey, "printable"),
        ({"run_id": "0192f0c4-0000-7000-8000-000000000000"}, InvalidKey, "the store's own"),
        ({"dedupe_key": "a", "on_duplicate": "rejects"}, ValueError, "did you mean 'reject'"),
        ({"dedupe_key": "a", "on_duplicate": "debounce"}, ValueError, "go together"),
        ({"dedupe_key": "a", "debounce": 5}, ValueError, "timedelta"),
        ({"dedupe_key": "a", "debounce": timedelta(0)}, ValueError, "above zero"),
        ({"debounce": timedelta(1)}, ValueError, "needs a dedupe_key"),
        ({"on_duplicate": "reject"}, ValueError, "needs a dedupe_key"),
        ({"dedupe_key": "a", "debounce_limit": timedelta(1)}, ValueError, "give debounce"),
        ({"dedup_key": "a"}, TypeError, "Did you mean 'dedupe_key'"),
    ],
)
def test_a_bad_key_is_refused_by_its_name(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tasks.echo.using(**options)


def test_keys_belong_to_a_call() -> None:
    from django_tasks_durable import task

    with pytest.raises(TypeError, match=r"dedupe_key belongs to a call"):
        task(dedupe_key="a")
    with pytest.raises(ValueError, match=r"all but the first would be duplicates"):
        tasks.echo.using(dedupe_key="a").enqueue_many([((1,), {}), ((2,), {})])
    assert not TaskRun.objects.exists()


def test_runs_are_found_by_their_keys() -> None:
    run_id = acts.enqueue(tasks.echo, dedupe_key="a")
    acts.enqueue(tasks.echo, dedupe_key="b")

    assert [run.id for run in read.holding(read.runs(using="default"), KeyKind.DEDUPE, "a")] == [run_id]
