"""A run in the database that is driven in process has a lease like any worker's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from django_tasks_durable import signals, testing
from django_tasks_durable.exceptions import AlreadyRunning, NotWaiting, RunNotFound, TaskCancelled
from django_tasks_durable.models import Step, TaskRun, Worker
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import control, vendors, workers
from django_tasks_durable.store.database import DatabaseStore
from django_tasks_durable.store.database_seat import DatabaseSeat
from tests.engine import samples
from tests.engine.laboratory import local
from tests.store import acts


@local
def counting(context: Any, most: int) -> Iterator[int]:
    """Yield numbers, each from a step."""
    for number in range(most):
        yield context.step("number", lambda value=number: value)
    return most


@pytest.fixture
def store(db: None) -> DatabaseStore:
    """The database."""
    return DatabaseStore()


def told(run: TaskRun) -> list[Any]:
    """The partials that the timeline holds."""
    lines = Step.objects.filter(run=run, kind="partial").order_by("sequence")
    return [codec.decode(line.data) for line in lines]


def test_no_worker_takes_a_run_between_two_items(store: DatabaseStore) -> None:
    stream = counting.stream(3, store=store)
    for number in range(3):
        assert next(stream).partial == number
        assert testing.drain() == []
        assert TaskRun.objects.get().status == RunStatus.RUNNING
    assert stream.result() == 3
    assert told(TaskRun.objects.get()) == [0, 1, 2]


def test_no_worker_takes_a_run_between_its_answer_and_the_first_item(store: DatabaseStore) -> None:
    list(samples.chat.stream("job", run_id="demo", store=store))
    stream = samples.chat.resume("demo", {"message": "ok"}, store=store)
    assert testing.drain() == []
    assert [item.partial for item in stream] == ["done: ok"]


def test_an_answered_run_that_nobody_streams_is_given_back_when_the_stream_is_closed(store: DatabaseStore) -> None:
    list(samples.chat.stream("job", run_id="demo", store=store))
    samples.chat.resume("demo", {"message": "ok"}, store=store).close()
    assert len(testing.drain()) == 1
    assert store.glance("demo").status is RunStatus.SUCCESSFUL


def test_a_worker_goes_on_where_a_stream_was_closed(store: DatabaseStore) -> None:
    stream = counting.stream(4, store=store)
    assert [next(stream).partial, next(stream).partial] == [0, 1]
    stream.close()
    testing.drain()
    run = TaskRun.objects.get()
    assert (run.status, run.attempts, run.crashes) == (RunStatus.SUCCESSFUL, 0, 0)
    assert told(run) == [0, 1, 2, 3]


def test_a_stream_goes_on_where_a_worker_stopped(store: DatabaseStore) -> None:
    result = samples.chat.enqueue("job")
    testing.drain()
    stream = samples.chat.resume(result.id, {"message": "ok"}, store="database")
    assert [item.partial for item in stream] == ["done: ok"]
    result.refresh()
    assert result.return_value == ["job", {"message": "ok"}]


def test_a_stream_that_is_dropped_is_gone_on_from_at_once(store: DatabaseStore) -> None:
    for number in range(3):
        assert next(counting.stream(3, run_id="demo", store=store)).partial == number
    run = TaskRun.objects.get()
    assert (run.status, run.crashes) == (RunStatus.RUNNING, 0)
    assert counting.stream(3, run_id="demo", store=store).result() == 3
    assert told(run) == [0, 1, 2]


def test_an_answered_run_whose_stream_is_dropped_is_gone_on_from_at_once(store: DatabaseStore) -> None:
    list(samples.chat.stream("job", run_id="demo", store=store))
    samples.chat.resume("demo", {"message": "ok"}, store=store)
    assert samples.chat.invoke("job", run_id="demo", store=store) == ["job", {"message": "ok"}]


def test_each_partial_is_durable_when_it_is_told(store: DatabaseStore) -> None:
    stream = counting.stream(2, store=store)
    for number in range(2):
        snapshot = next(stream).snapshot
        run = TaskRun.objects.get()
        assert told(run) == list(range(number + 1))
        assert (snapshot["sequence"], snapshot["status"]) == (run.last_sequence, "RUNNING")
        assert list(snapshot["steps"].values()) == list(range(number + 1))


@pytest.mark.seed("AW-P6", "AW-20")
def test_a_second_stream_of_a_run_is_refused_while_the_first_one_lives(store: DatabaseStore) -> None:
    first = counting.stream(2, run_id="demo", store=store)
    next(first)
    with pytest.raises(AlreadyRunning) as caught:
        next(counting.stream(2, run_id="demo", store=store))
    assert caught.value.reason == "in-process"
    assert [item.partial for item in first] == [1]


@pytest.mark.seed("AW-P6", "AW-20")
def test_a_run_that_a_worker_has_is_refused(store: DatabaseStore, session: vendors.Session) -> None:
    result = samples.chat.enqueue("job")
    acts.register(session)
    acts.claim(session, task_paths=[samples.chat.module_path])
    with pytest.raises(AlreadyRunning, match="worker-1") as caught:
        samples.chat.advance(result.id, store=store)
    assert caught.value.reason == "elsewhere"


def test_a_stream_takes_over_from_a_worker_that_is_dead(store: DatabaseStore, session: vendors.Session) -> None:
    first = counting.stream(3, run_id="demo", store=store)
    next(first)
    Worker.objects.update(heartbeat_at="2000-01-01T00:00:00+00:00")
    assert [item.partial for item in counting.stream(3, run_id="demo", store=store)] == [1, 2]
    run = TaskRun.objects.get()
    assert (run.status, told(run)) == (RunStatus.SUCCESSFUL, [0, 1, 2])
    assert first.result() == 3


def test_a_stream_whose_lease_is_lost_writes_nothing_more(store: DatabaseStore, session: vendors.Session) -> None:
    stream = counting.stream(3, run_id="demo", store=store)
    next(stream)
    (worker,) = Worker.objects.all()
    acts.lose_worker(session, worker.id)
    acts.register(session)
    acts.claim(session, task_paths=[counting.module_path])
    before = acts.everything()
    with pytest.raises(AlreadyRunning):
        next(stream)
    after = acts.everything()
    assert all(after[name] == before[name] for name in ("TaskRun", "Step", "Checkpoint", "Wait"))


def test_a_stream_is_a_worker_while_it_lasts_and_leaves_no_other_trace(store: DatabaseStore) -> None:
    stream = counting.stream(1, store=store)
    next(stream)
    (worker,) = Worker.objects.all()
    assert (worker.concurrency, worker.dead_at) == (1, None)
    assert stream.result() == 1
    worker.refresh_from_db()
    assert worker.stopped_at is not None
    assert DatabaseSeat.here == set()


def test_what_is_rolled_back_around_a_stream_is_gone_with_it(store: DatabaseStore) -> None:
    with pytest.raises(KeyError), transaction.atomic():
        assert counting.invoke(2, store=store) == 2
        raise KeyError
    assert not TaskRun.objects.exists()


def test_those_who_listen_hear_of_a_run_that_was_driven_here(store: DatabaseStore) -> None:
    heard: list[Any] = []

    def listen(sender: Any, status: RunStatus, **others: Any) -> None:
        heard.append(status)

    signals.run_ended.connect(listen)
    try:
        counting.invoke(1, store=store)
    finally:
        signals.run_ended.disconnect(listen)
    assert heard == [RunStatus.SUCCESSFUL]


def test_an_answer_to_a_run_that_is_not_there_is_refused(store: DatabaseStore) -> None:
    for name in ("nobody", "01a1fdda-9005-777f-ad0f-17b6df251dd4"):
        with pytest.raises(RunNotFound):
            samples.chat.resume(name, 1, store=store)
    list(samples.chat.stream("job", run_id="demo", store=store))
    before = acts.everything()
    with pytest.raises(NotWaiting, match="wait:9"):
        samples.chat.resume("demo", 1, path="wait:9", store=store)
    assert acts.everything() == before


@pytest.mark.seed("AW-P7")
def test_a_lease_that_cannot_be_let_go_of_harms_nobody(store: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError("the database is gone")

    monkeypatch.setattr(workers, "leave", fail)
    assert counting.invoke(2, run_id="demo", store=store) == 2
    assert store.glance("demo").status is RunStatus.SUCCESSFUL
    monkeypatch.undo()
    assert counting.invoke(2, run_id="demo-2", store=store) == 2


@pytest.mark.seed("AW-P1")
def test_a_run_that_is_not_to_be_kept_is_gone_after_its_success_and_stays_after_an_error(store: DatabaseStore) -> None:
    @local(retention=0)
    def body(context: Any, fails: bool) -> int:
        context.step("done", int)
        if fails:
            raise ValueError("ouch")
        return 1

    assert body.invoke(False, run_id="good", store=store) == 1
    with pytest.raises(ValueError, match="ouch"):
        body.invoke(True, run_id="bad", store=store)
    call_command("prunetasks", verbosity=0)
    with pytest.raises(RunNotFound):
        store.glance("good")
    assert [record.path for record in store.glance("bad").checkpoints] == ["step:done"]


@pytest.mark.seed("AW-P10")
def test_a_store_that_fails_to_load_save_or_end_fails_the_call_and_loses_nothing(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(samples.chat.stream("job", run_id="demo", store=store))

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("the disk is full")

    for name in ("history.read", "commit"):
        with monkeypatch.context() as broken, pytest.raises(OSError, match="disk is full"):
            broken.setattr(f"django_tasks_durable.store.inline.{name}", fail)
            samples.chat.resume("demo", {"message": "ok"}, store=store).result()
        Worker.objects.update(heartbeat_at="2000-01-01T00:00:00+00:00")
    assert samples.chat.invoke("job", run_id="demo", store=store) == ["job", {"message": "ok"}]


# --- with a heartbeat


@pytest.fixture
def quick(settings: Any, transactional_db: None) -> DatabaseStore:
    """The database, with a heartbeat every 0.1 s."""
    entry = settings.TASKS["default"]
    settings.TASKS = {"default": {**entry, "OPTIONS": {"heartbeat_seconds": 0.1, "lease_seconds": 1}}}
    return DatabaseStore()


def test_a_long_step_keeps_its_lease_by_a_heartbeat(quick: DatabaseStore) -> None:
    beaten = threading.Event()
    begun: list[Any] = []

    @local
    def body(context: Any) -> bool:
        def long() -> bool:
            begun.append(Worker.objects.get().heartbeat_at)
            while Worker.objects.get().heartbeat_at == begun[0]:
                beaten.wait(0.02)
            return True

        return context.step("long", long)

    assert body.invoke(store=quick)
    assert [thread.name for thread in threading.enumerate() if thread.name == "dtd-pulse"] == []


def test_a_stream_that_is_dropped_is_given_back_by_its_heartbeat(quick: DatabaseStore) -> None:
    next(counting.stream(3, store=quick))
    for thread in threading.enumerate():
        if thread.name == "dtd-pulse":
            thread.join(10)
    (worker,) = Worker.objects.all()
    assert (TaskRun.objects.get().status, worker.stopped_at is None) == (RunStatus.READY, False)
    assert worker.id not in DatabaseSeat.abandoned
    assert len(testing.drain()) == 1


def test_a_cancellation_reaches_a_stream_in_the_middle_of_its_body(quick: DatabaseStore) -> None:
    @local
    def body(context: Any) -> None:
        run = TaskRun.objects.get()
        control.cancel(run.id, using="default")
        for _ in range(500):
            context.progress(1)
            threading.Event().wait(0.02)

    with pytest.raises(TaskCancelled):
        body.invoke(store=quick)
    assert TaskRun.objects.get().status == RunStatus.CANCELLED


def test_a_stream_that_was_declared_dead_stops_and_begins_anew_as_another_worker(quick: DatabaseStore) -> None:
    slices: list[list[int]] = []

    @local
    def body(context: Any) -> int:
        slices.append([])
        if len(slices) == 1:
            Worker.objects.update(dead_at="2030-01-01T00:00:00+00:00")
            for number in range(500):
                context.progress(number / 5)
                slices[0].append(number)
                threading.Event().wait(0.02)
        return len(slices)

    assert body.invoke(store=quick) == 2
    assert len(slices[0]) < 200
    assert TaskRun.objects.get().crashes == 1
