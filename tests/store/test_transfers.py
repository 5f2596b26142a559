"""A run leaves one database and arrives in another with its history, all of it or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from django_tasks_durable import export_snapshot, restore, signals
from django_tasks_durable.engine.attempt import AttemptControl, execute
from django_tasks_durable.exceptions import RunExists, RunNotFound
from django_tasks_durable.models import Checkpoint, Message, Step, TaskRun, Wait
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus
from django_tasks_durable.primitives.writes import Started
from django_tasks_durable.store import control, events, messages, transfers, vendors
from django_tasks_durable.store.inline import InlineStore
from django_tasks_durable.store.memory import MemoryStore
from tests.probe import tasks
from tests.store import acts
from tests.store.carried import traveller

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(session: vendors.Session) -> UUID:
    """A run that did a step, waits for an answer and has partials behind it."""
    acts.register(session)
    run_id = acts.enqueue(traveller, 3, priority=7, queue_name="other")
    drive(session)
    return run_id


def drive(session: vendors.Session) -> None:
    """Run one slice of whatever is due."""
    (claimed,) = acts.claim(session, task_paths=[traveller.module_path])
    ending = execute(claimed, InlineStore(claimed, using="default", worker_id=acts.WORKER), AttemptControl())
    assert ending is not None
    ending[1].result()


def told(run_id: UUID, **options: Any) -> str:
    """Export a run as text."""
    return json.dumps(export_snapshot(run_id, **options))


@pytest.mark.seed("AW-8", "AW-12", "AW-P3")
def test_a_run_goes_on_from_its_history_under_a_new_id(asked: UUID, session: vendors.Session) -> None:
    arrived = restore(told(asked)).into_database()
    assert arrived != asked
    run = acts.run(arrived)
    assert (run.status, run.priority, run.rank, run.queue_name) == (RunStatus.WAITING, 7, -7, "other")
    before = list(Checkpoint.objects.filter(run_id=arrived).values_list("path", flat=True))
    control.resume(arrived, "yes", using="default")
    drive(session)
    run.refresh_from_db()
    assert (run.status, json.loads(run.result or "")) == (RunStatus.SUCCESSFUL, [{"total": 3}, "yes"])
    assert before == ["step:load", "step:bad"]
    assert list(Checkpoint.objects.filter(run_id=arrived).values_list("path", flat=True)) == [*before, "wait:interrupt"]
    assert acts.kinds(arrived).count("partial") == 2
    assert acts.run(asked).status == RunStatus.WAITING


def test_messages_and_what_a_question_asks_arrive_with_it(asked: UUID, session: vendors.Session) -> None:
    messages.send(asked, "news", {"n": 1}, using="default", by="ann")
    Wait.objects.filter(run_id=asked).update(permission="shop.refund", form="refund", event="rates", has_default=True)
    arrived = restore(told(asked)).into_database()
    (message,) = Message.objects.filter(run_id=arrived)
    assert (message.name, message.payload, message.consumed_path) == ("news", '{"n":1}', "")
    wait = Wait.objects.get(run_id=arrived)
    assert (wait.permission, wait.form, wait.event, wait.has_default) == ("shop.refund", "refund", "rates", True)
    assert events.broadcast("rates", 7, using="default", limit=100) == 2


def test_its_first_claim_reads_its_history(asked: UUID, session: vendors.Session) -> None:
    arrived = restore(told(asked)).into_database()
    assert acts.run(arrived).lease_token == 1
    control.resume(arrived, "yes", using="default")
    (claimed,) = acts.claim(session, task_paths=[traveller.module_path])
    assert claimed.run_id == arrived
    assert (claimed.lease.token, claimed.is_fresh) == (2, False)


def test_what_arrives_is_what_left(asked: UUID) -> None:
    left = transfers.take_out(asked, using="default")
    arrived = restore(told(asked, with_tokens=True)).into_database()
    came = transfers.take_out(arrived, using="default")
    blank = {"run_id": None, "read_at": None, "waits": (), "options": "", "errors": "", "worker_ids": ""}
    assert replace(came, **blank) == replace(left, **blank)
    assert [replace(wait, token="") for wait in came.waits] == [replace(wait, token="") for wait in left.waits]


def test_a_token_that_another_question_has_is_replaced_and_a_free_one_kept(asked: UUID) -> None:
    text = told(asked, with_tokens=True)
    token = Wait.objects.get(run_id=asked).token
    arrived = restore(text).into_database()
    assert Wait.objects.get(run_id=arrived).token != token
    TaskRun.objects.all().delete()
    assert Wait.objects.get(run_id=restore(text).into_database()).token == token


def test_a_run_that_moves_keeps_its_id_and_cannot_arrive_twice(asked: UUID) -> None:
    restored = restore(told(asked))
    everything = acts.everything()
    with pytest.raises(RunExists):
        restored.into_database(run_id=asked)
    assert acts.everything() == everything
    TaskRun.objects.filter(pk=asked).delete()
    assert restored.into_database(run_id=asked) == asked
    assert acts.run(asked).status == RunStatus.WAITING


def test_its_timeline_begins_anew_with_what_was_seen_of_it(asked: UUID) -> None:
    arrived = restore(told(asked)).into_database(by="the operator")
    assert acts.kinds(arrived) == ["enqueued", "partial", "partial", "audit"]
    assert acts.sequences(arrived) == [1, 2, 3, 4]
    assert Step.objects.filter(run_id=arrived).last().message == "Imported by the operator"  # type: ignore[union-attr]
    assert acts.run(arrived).last_sequence == 4
    assert (acts.run(arrived).progress_percent, acts.run(arrived).progress_label) == (50.0, "half")


@pytest.mark.django_db(transaction=True)
def test_it_exists_if_and_only_if_the_callers_transaction_commits(asked: UUID) -> None:
    restored = restore(told(asked))
    everything = acts.everything()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        restored.into_database()
        raise ZeroDivisionError
    assert acts.everything() == everything


@pytest.mark.django_db(transaction=True)
def test_half_a_run_never_arrives(asked: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    restored = restore(told(asked))
    everything = acts.everything()

    def fail(*args: Any) -> Any:
        raise RuntimeError("the connection is gone")

    monkeypatch.setattr(transfers._Arrival, "_with_free_tokens", fail)
    with pytest.raises(RuntimeError):
        restored.into_database()
    assert acts.everything() == everything


@pytest.mark.django_db(transaction=True)
def test_workers_and_watchers_hear_of_it_after_the_commit(session: vendors.Session) -> None:
    run_id = acts.enqueue(tasks.echo, 1)
    restored = restore(told(run_id))
    heard: list[Any] = []

    def listen(signal: Any, sender: Any, **news: Any) -> None:
        heard.append(news)

    signals.work_available.connect(listen)
    signals.run_changed.connect(listen)
    try:
        with transaction.atomic():
            arrived = restored.into_database()
            assert heard == []
    finally:
        signals.work_available.disconnect(listen)
        signals.run_changed.disconnect(listen)
    assert {"using": "default", "queue_name": "default"} in heard
    assert {"using": "default", "run_ids": [arrived]} in heard


def test_a_run_that_somebody_runs_is_due_at_once_where_it_arrives(session: vendors.Session) -> None:
    acts.register(session)
    acts.enqueue()
    (claimed,) = acts.claim(session)
    acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.save(claimed.lease))
    arrived = restore(told(claimed.run_id)).into_database()
    run = acts.run(arrived)
    assert (run.status, run.wake_reason, run.lease_worker) == (RunStatus.READY, "released", "")
    assert [each.run_id for each in acts.claim(session)] == [arrived]
    assert acts.run(claimed.run_id).status == RunStatus.RUNNING


@pytest.mark.seed("AW-12")
def test_a_run_goes_from_memory_into_the_database_and_back(asked: UUID, store_in_memory: MemoryStore) -> None:
    in_memory = restore(told(asked)).into_memory(store_in_memory)
    again = restore(export_snapshot(in_memory, store=store_in_memory)).into_database()
    assert list(Checkpoint.objects.filter(run_id=again).values_list("path", "value")) == list(
        Checkpoint.objects.filter(run_id=asked).values_list("path", "value")
    )


@pytest.fixture
def store_in_memory() -> MemoryStore:
    """An empty store of this process."""
    return MemoryStore()


@pytest.mark.seed("AW-12")
def test_awaitlys_steps_arrive_as_checkpoints(session: vendors.Session) -> None:
    state = {"kind": "ResumeState", "steps": [["first", {"ok": True, "value": {"value": 5, "pair": None}}]]}
    arrived = restore(state, tasks.three_steps, args=[1]).into_database()
    (record,) = Checkpoint.objects.filter(run_id=arrived)
    assert (record.path, record.kind, record.failed) == ("step:first", CheckpointKind.STEP, False)
    run = acts.run(arrived)
    assert (run.status, run.task_path, run.args, run.max_attempts) == (
        RunStatus.READY, "tests.probe.tasks.three_steps", "[1]", 1,
    )  # fmt: skip


def test_a_run_that_is_not_there_cannot_leave() -> None:
    with pytest.raises(RunNotFound):
        transfers.take_out(uuid4(), using="default")
