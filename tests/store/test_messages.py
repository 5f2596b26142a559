"""Messages and events in the database: in the sender's transaction, woken runs, nothing told twice."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import abroadcast, asend, broadcast, send, signals
from django_tasks_durable.exceptions import InvalidKey, PayloadTooLarge, RunNotFound, TakesNoMessages
from django_tasks_durable.models import Message, Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import Succeeded
from django_tasks_durable.store import control, events, messages, vendors
from django_tasks_durable.testing import advance, drain, frozen
from tests.probe import tasks
from tests.store import acts


def result_of(run_id: UUID) -> Any:
    """Return what a run returned."""
    text = acts.run(run_id).result
    assert text is not None
    return codec.decode(text)


def test_a_message_is_part_of_the_senders_transaction(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.receives)
    drain()
    before = acts.everything()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        send(run_id, "news", 1)
        raise ZeroDivisionError
    assert acts.everything() == before
    assert drain() == []


def test_a_message_wakes_the_run_and_is_received_once(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.receives)
    drain()
    assert acts.run(run_id).status == RunStatus.WAITING
    assert send(run_id, "news", {"n": 1}, by="ann") is RunStatus.READY
    drain()
    send(str(run_id), "news", None)
    drain()
    assert result_of(run_id) == [{"n": 1}, None]
    rows = Message.objects.order_by("id").values_list("name", "sent_by", "consumed_path")
    assert list(rows) == [("news", "ann", "recv:news"), ("news", "", "recv:news#2")]
    told = Step.objects.filter(run_id=run_id, kind=StepKind.MESSAGE).order_by("sequence")
    assert [(line.message, line.data) for line in told] == [("news", '{"act": "send", "by": "ann"}'), ("news", "")]


def test_a_message_may_be_sent_before_the_run_has_begun(session: vendors.Session) -> None:
    result = tasks.receives.enqueue()
    assert result.send("news", 1).value == "queued"
    assert result.send("news", 2).value == "queued"
    drain()
    assert result_of(result.run_id) == [1, 2]


def test_a_message_does_not_hurry_a_run_that_sleeps(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.naps, 3600.0)
    drain()
    due = acts.run(run_id).due_at
    send(run_id, "news", 1)
    assert acts.run(run_id).due_at == due


@pytest.mark.parametrize(
    ("name", "payload", "error"),
    [("", 1, InvalidKey), ("a/b", 1, InvalidKey), ("news", "x" * 300_000, PayloadTooLarge)],
)
def test_what_is_refused_changes_nothing(
    session: vendors.Session, name: str, payload: Any, error: type[Exception]
) -> None:
    run_id = acts.enqueue(tasks.receives)
    before = acts.everything()
    with pytest.raises(error):
        send(run_id, name, payload)
    assert acts.everything() == before


def test_a_run_that_is_over_or_unknown_takes_no_messages(session: vendors.Session) -> None:
    run_id = acts.enqueue()
    drain()
    before = acts.everything()
    with pytest.raises(TakesNoMessages):
        send(run_id, "news", 1)
    with pytest.raises(RunNotFound):
        send(uuid4(), "news", 1)
    with pytest.raises(RunNotFound):
        send("no id", "news", 1)
    assert acts.everything() == before


def test_a_happy_run_pays_nothing_for_messages(session: vendors.Session) -> None:
    acts.register(session)
    acts.enqueue()
    with CaptureQueriesContext(connection) as queries:
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, acts.save(claimed.lease), Succeeded(lease=claimed.lease, result="1"))
    assert not [query for query in queries.captured_queries if "durable_tasks_message" in query["sql"]]


def test_a_run_that_was_sent_nothing_is_not_asked_for_messages(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.naps, 60.0)
    with frozen():
        drain()
        advance(60)
        with CaptureQueriesContext(connection) as queries:
            drain()
    assert acts.run(run_id).status == RunStatus.SUCCESSFUL
    assert not [query for query in queries.captured_queries if "durable_tasks_message" in query["sql"]]


def test_a_coroutine_sends_and_tells_too(session: vendors.Session) -> None:
    async def act() -> Any:
        result = await tasks.receives.aenqueue()
        await asend(result.id, "news", 1)
        assert (await result.asend("news", 2)).value == "queued"
        assert await abroadcast("rates", 1) == 0
        return result

    result = async_to_sync(act)()
    drain()
    assert result_of(result.run_id) == [1, 2]


# --- events


def listening(count: int, **options: Any) -> list[UUID]:
    """Let so many runs wait for the event."""
    run_ids = [acts.enqueue(tasks.listens, **options) for _ in range(count)]
    drain()
    return run_ids


def test_a_broadcast_answers_all_that_wait(session: vendors.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BATCH", 2)
    run_ids = listening(5)
    assert broadcast("other", 0) == 0
    assert broadcast("rates", {"eur": 1}, by="ann") == 5
    rows = TaskRun.objects.filter(pk__in=run_ids)
    assert set(rows.values_list("status", "wake_reason", "inbox")) == {("READY", WakeReason.MESSAGE, 1)}
    assert set(Wait.objects.values_list("answer", "answered_by", "event")) == {('{"eur":1}', "ann", "")}
    assert broadcast("rates", {"eur": 2}) == 0
    drain()
    assert [result_of(run_id) for run_id in run_ids] == [{"eur": 1}] * 5
    for run_id in run_ids:
        assert acts.sequences(run_id) == list(range(1, acts.run(run_id).last_sequence + 1))


def test_a_broadcast_is_part_of_the_callers_transaction(session: vendors.Session) -> None:
    listening(2)
    before = acts.everything()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert broadcast("rates", 1) == 2
        raise ZeroDivisionError
    assert acts.everything() == before


def test_a_broadcast_takes_as_many_statements_for_few_as_for_many(session: vendors.Session) -> None:
    taken = []
    for count in (2, 20):
        listening(count)
        with CaptureQueriesContext(connection) as queries:
            assert broadcast("rates", 1) == count
        taken.append(len(queries))
    assert taken[0] == taken[1] <= 11


def test_a_broadcast_passes_by_who_is_over_or_too_late(session: vendors.Session) -> None:
    with frozen():
        late = acts.enqueue(tasks.listens, 60)
        cancelled, waiting = listening(2)
        control.cancel(cancelled, using="default")
        advance(60)
        assert broadcast("rates", 1) == 1
        assert set(Wait.objects.filter(answer=None).values_list("run_id", "event")) == {
            (late, ""),
            (cancelled, "rates"),
        }
        control.retry(cancelled, using="default")
        drain()
        assert broadcast("rates", 2) == 1
        drain()
    assert [result_of(run_id) for run_id in (late, waiting, cancelled)] == ["none", 1, 2]


def test_listeners_are_found_by_an_index(session: vendors.Session) -> None:
    names = {index.name: index.fields for index in Wait._meta.indexes}
    assert names["dtd_wait_event"] == ["event", "run"]


def test_a_broadcast_leaves_news_after_the_commit(
    session: vendors.Session, django_capture_on_commit_callbacks: Any
) -> None:
    run_ids = listening(2)
    told: list[Any] = []

    def hear(sender: object, run_ids: Any, **kwargs: Any) -> None:
        told.extend(run_ids)

    signals.run_changed.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            broadcast("rates", 1)
            assert told == []
    finally:
        signals.run_changed.disconnect(hear)
    assert sorted(told) == sorted(run_ids)


def test_events_and_messages_tell_case_apart(session: vendors.Session) -> None:
    listening(1)
    assert broadcast("Rates", 1) == 0
    run_id = acts.enqueue(tasks.receives)
    messages.send(run_id, "News", 1, using="default")
    drain()
    assert acts.run(run_id).status == RunStatus.WAITING
