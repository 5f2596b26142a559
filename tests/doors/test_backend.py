"""The backend of Django's Tasks framework: what it takes, what it gives back, what it tells."""

from __future__ import annotations

import dataclasses
import io
import logging
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.test import override_settings
from django.utils import timezone

from django_tasks_durable import checks as house_checks
from django_tasks_durable import signals as house_signals
from django_tasks_durable import testing
from django_tasks_durable.authoring import registry
from django_tasks_durable.backend import DurableBackend, news
from django_tasks_durable.compat import (
    HAS_CORE_TASKS,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    TaskResultStatus,
    restore,
    signals,
    task_backends,
)
from django_tasks_durable.conf import InvalidOptions
from django_tasks_durable.exceptions import (
    InvalidTransition,
    NotSerializable,
    NotWaiting,
    PayloadTooLarge,
    RunNotFound,
    TaskCancelled,
    UnknownTask,
)
from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives.codec import ModelReference
from django_tasks_durable.primitives.status import State
from tests.probe import tasks

from . import stock

pytestmark = pytest.mark.django_db

OURS = "django_tasks_durable.DurableBackend"
READY, FAILED, SUCCESSFUL = TaskResultStatus.READY, TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL


@pytest.fixture
def backend() -> DurableBackend:
    return task_backends["default"]


@pytest.fixture
async def other_thread(transactional_db: None) -> AsyncIterator[None]:
    """Let a coroutine reach the database: on another thread, whose connection is closed afterwards."""
    yield
    await sync_to_async(connections.close_all, thread_sensitive=True)()


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any, TaskResult[..., Any]]]]:
    """Collect the framework's signals."""
    told: list[tuple[str, Any, TaskResult[..., Any]]] = []
    receivers = {}
    for name in ("task_enqueued", "task_started", "task_finished"):

        def hear(sender: Any, task_result: Any, name: str = name, **kwargs: Any) -> None:
            told.append((name, sender, task_result))

        receivers[name] = hear
        getattr(signals(), name).connect(hear)
    yield told
    for name, receiver in receivers.items():
        getattr(signals(), name).disconnect(receiver)


# --- enqueue


def test_a_result_of_an_enqueue_is_that_of_the_row(backend: DurableBackend) -> None:
    result = stock.double.enqueue(4)
    assert backend.get_result(result.id) == result
    assert (result.status, result.state, result.args, result.attempts) == (READY, State.QUEUED, [4], 0)
    assert not result.is_finished


def test_an_id_is_opaque_text_of_a_uuid() -> None:
    result = stock.double.enqueue(4)
    assert len(result.id) < 64
    assert UUID(result.id) == TaskRun.objects.get().id


def test_when_it_was_enqueued_is_told_by_the_database() -> None:
    with testing.frozen(datetime(2031, 2, 3, tzinfo=UTC)):
        assert stock.double.enqueue(4).enqueued_at == datetime(2031, 2, 3, tzinfo=UTC)


def test_an_enqueue_goes_with_the_callers_transaction() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        stock.double.enqueue(4)
        assert TaskRun.objects.count() == 1
        1 / 0
    assert TaskRun.objects.count() == Step.objects.count() == 0


def test_an_enqueue_costs_few_statements(django_assert_max_num_queries: Any) -> None:
    stock.double.enqueue(4)
    # SQLite and MariaDB: savepoint, now, two inserts, release. PostgreSQL: one.
    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 5):
        stock.double.enqueue(4)


def test_arguments_come_to_the_task_as_they_were_given() -> None:
    values = [(1, 2), {3}, datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.10"), b"x", {"$tuple": []}]
    result = tasks.echo.enqueue(values)
    assert result.args == [values]
    testing.drain()
    result.refresh()
    assert result.return_value == values


def test_a_result_does_not_share_the_callers_arguments() -> None:
    given = {"rows": [1]}
    result = tasks.echo.enqueue(given)
    given["rows"].append(2)
    assert result.args == [{"rows": [1]}]


def test_a_model_instance_comes_to_the_task_as_a_reference(django_user_model: Any) -> None:
    user = django_user_model.objects.create(username="ada")
    result = tasks.echo.enqueue(user)
    assert result.args == [ModelReference(django_user_model._meta.label, user.pk, "default")]
    assert result.args[0].get() == user


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        (({"x": object()},), {}, 'args[0]["x"]'),
        ((1, [float("nan")]), {}, "args[1][0]"),
        ((), {"value": {"when": {1: 2}}}, 'kwargs["value"]["when"]'),
        ((), {"value": "\x00"}, 'kwargs["value"]'),
    ],
)
def test_what_cannot_be_stored_is_refused_at_once_with_its_place(args: Any, kwargs: Any, path: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        tasks.echo.enqueue(*args, **kwargs)
    assert caught.value.path == path
    assert isinstance(caught.value, TypeError)
    assert TaskRun.objects.count() == 0


def test_arguments_have_a_limit() -> None:
    with override_settings(TASKS={"default": {"BACKEND": OURS, "OPTIONS": {"max_payload_bytes": 20}}}):
        tasks.echo.enqueue("x" * 16)
        with pytest.raises(PayloadTooLarge, match="args takes 21 bytes"):
            tasks.echo.enqueue("x" * 17)


def test_many_are_enqueued_at_once_and_in_order(backend: DurableBackend) -> None:
    results = tasks.add.enqueue_many([((n,), {"b": 1}) for n in range(5)])
    assert [result.args for result in results] == [[n] for n in range(5)]
    assert [backend.get_result(result.id).kwargs for result in results] == [{"b": 1}] * 5
    results[0].refresh()
    assert results[0].enqueued_at is not None


def test_of_many_all_or_none_are_enqueued() -> None:
    with pytest.raises(NotSerializable):
        tasks.add.enqueue_many([((1, 1), {}), ((object(), 1), {})])
    assert TaskRun.objects.count() == 0


def test_priority_queue_and_time_are_kept(backend: DurableBackend) -> None:
    later = timezone.now() + timedelta(days=1)
    result = stock.report.using(run_after=later).enqueue()
    run = TaskRun.objects.get()
    assert (run.priority, run.queue_name, run.run_after, run.due_at) == (7, "reports", later, later)
    assert backend.get_result(result.id).task == stock.report.using(run_after=later)
    testing.drain()
    result.refresh()
    assert result.status == READY


def test_run_after_may_be_a_timedelta() -> None:
    with testing.frozen(datetime(2031, 1, 1, tzinfo=UTC)):
        tasks.add.using(run_after=timedelta(hours=1)).enqueue(1, 2)
        assert TaskRun.objects.get().due_at == datetime(2031, 1, 1, 1, tzinfo=UTC)
        testing.drain()
        assert TaskRun.objects.get().status == "READY"
        testing.advance(3600)
        testing.drain()
        assert TaskRun.objects.get().status == "SUCCESSFUL"


@pytest.mark.usefixtures("other_thread")
async def test_a_coroutine_can_enqueue_and_look() -> None:
    result = await stock.double.aenqueue(4)
    assert (await stock.double.aget_result(result.id)) == result
    await result.arefresh()
    assert (await result.asnapshot()).state == State.QUEUED


# --- what is not taken


def test_a_queue_that_is_not_configured_is_refused() -> None:
    with override_settings(TASKS={"default": {"BACKEND": OURS, "QUEUES": ["default"]}}):
        stock.double.enqueue(1)
        with pytest.raises(InvalidTask, match="Queue 'reports' is not valid"):
            stock.report.enqueue()


def test_the_settings_of_the_moment_count_at_enqueue() -> None:
    stock.report.enqueue()
    with override_settings(TASKS={"default": {"BACKEND": OURS, "QUEUES": ["default"]}}), pytest.raises(InvalidTask):
        stock.report.enqueue()


def test_wrong_options_are_told_at_enqueue() -> None:
    with (
        override_settings(TASKS={"default": {"BACKEND": OURS, "OPTIONS": {"max_atempts": 3}}}),
        pytest.raises(InvalidOptions, match="Did you mean 'max_attempts'"),
    ):
        stock.double.enqueue(1)


def test_unknown_options_of_a_call_are_told_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="Did you mean 'max_attempts'"):
        tasks.add.using(max_attempt=3)


def test_a_task_of_the_started_program_is_refused(backend: DurableBackend) -> None:
    def lost() -> None: ...

    lost.__module__, lost.__qualname__ = "__main__", "lost"
    with pytest.raises(InvalidTask, match=r"Move it to a tasks.py"):
        backend.enqueue(restore(tasks.add, func=lost), (), {})


def test_names_that_the_table_cannot_hold_are_refused(backend: DurableBackend) -> None:
    with pytest.raises(InvalidTask, match="at most 64 characters"):
        tasks.add.using(queue_name="q" * 65)

    def long() -> None: ...

    long.__qualname__ = "n" * 256
    with pytest.raises(InvalidTask, match="at most 255 characters"):
        backend.validate_task(restore(tasks.add, func=long))


# --- results


@pytest.mark.parametrize("result_id", ["123", "", "x" * 500, "\x00", "01a1fcff-50ae-76c0-8ec8-f7ed8377d24c", None, 7])
def test_what_is_no_result_does_not_exist(backend: DurableBackend, result_id: Any) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(result_id)


async def test_in_a_coroutine_an_unknown_name_is_told_apart_from_an_id(backend: DurableBackend) -> None:
    with pytest.raises(TaskResultDoesNotExist, match="await aget_result"):
        backend.get_result("123")
    with pytest.raises(SynchronousOnlyOperation):
        backend.get_result("01a1fcff-50ae-76c0-8ec8-f7ed8377d24c")


def test_a_result_of_another_task_is_a_mismatch() -> None:
    result = stock.double.enqueue(1)
    with pytest.raises(TaskResultMismatch):
        stock.report.get_result(result.id)


def test_a_result_is_one_query(backend: DurableBackend, django_assert_num_queries: Any) -> None:
    result = stock.double.enqueue(1)
    with django_assert_num_queries(1):
        backend.get_result(result.id)


def test_a_result_survives_pickling() -> None:
    result = stock.double.enqueue(1)
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301


def test_a_result_can_be_told_as_a_dict() -> None:
    result = tasks.add.using(metadata={"by": "ada"}).enqueue(1, 2)
    told = dataclasses.asdict(result)
    assert (told["args"], told["task"]["options"]["metadata"]) == ([1, 2], {"by": "ada"})


def test_the_metadata_of_a_task_cannot_be_changed() -> None:
    task = tasks.add.using(metadata={"by": "ada"})
    with pytest.raises(TypeError, match="cannot be changed"):
        task.options.metadata["by"] = "bob"
    assert hash(task) == hash(task)


def test_a_result_is_had_although_the_settings_have_changed() -> None:
    result = stock.report.enqueue()
    with override_settings(TASKS={"default": {"BACKEND": OURS, "QUEUES": ["other"]}}):
        assert task_backends["default"].get_result(result.id).task.queue_name == "reports"


def test_a_result_of_a_task_that_is_gone_can_be_looked_at(backend: DurableBackend) -> None:
    result = stock.double.enqueue(1)
    TaskRun.objects.update(task_path="shop.tasks.gone", args='[{"$dataclass":["shop.models:Gone",[["x",1]]]}]')
    found = backend.get_result(result.id)
    assert found.task.module_path == "shop.tasks.gone"
    assert found.args == [{"x": 1}]
    with pytest.raises(UnknownTask):
        found.task.call()


@pytest.mark.parametrize(
    ("status", "columns", "expected"),
    [
        ("READY", {}, (READY, "queued")),
        ("READY", {"wake_reason": "retry"}, (READY, "retrying")),
        ("READY", {"wake_reason": "stale"}, (READY, "stale")),
        ("CLAIMED", {}, (READY, "claimed")),
        ("RUNNING", {}, (TaskResultStatus.RUNNING, "running")),
        ("WAITING", {}, (READY, "waiting")),
        ("SUCCESSFUL", {"result": "1"}, (SUCCESSFUL, "succeeded")),
        ("FAILED", {}, (FAILED, "failed")),
        ("CANCELLED", {}, (FAILED, "cancelled")),
    ],
)
def test_each_status_is_told_in_djangos_words(
    backend: DurableBackend, status: str, columns: dict[str, Any], expected: tuple[Any, str]
) -> None:
    result = stock.double.enqueue(1)
    TaskRun.objects.update(status=status, **columns)
    found = backend.get_result(result.id)
    assert (found.status, found.state) == expected
    assert found.is_finished == (found.status in {SUCCESSFUL, FAILED})


# --- running


@pytest.mark.parametrize("task", [stock.double, stock.adouble], ids=["sync", "async"])
def test_a_stock_task_runs_unchanged(task: Task[..., Any]) -> None:
    result = task.enqueue(4)
    testing.drain()
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (SUCCESSFUL, 8, 1)
    assert result.enqueued_at <= result.started_at <= result.finished_at


def test_the_context_holds_the_result_of_the_run() -> None:
    result = stock.who_am_i.enqueue()
    testing.drain()
    result.refresh()
    assert result.return_value == {"id": result.id, "attempt": 1, "status": "RUNNING", "args": []}


def test_a_failure_is_told_with_class_and_traceback() -> None:
    result = stock.fails.enqueue("lost keys")
    testing.drain()
    result.refresh()
    assert result.status == FAILED
    assert result.errors[0].exception_class is LookupError
    assert result.errors[0].traceback.endswith("LookupError: lost keys\n")
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value


def test_leaving_the_program_is_a_failure() -> None:
    result = stock.exits.enqueue()
    testing.drain()
    result.refresh()
    assert result.errors[0].exception_class is SystemExit


def test_a_return_value_that_cannot_be_stored_is_djangos_type_error() -> None:
    result = stock.returns_a_function.enqueue()
    testing.drain()
    result.refresh()
    assert result.errors[0].exception_class is TypeError
    assert "Unsupported type: a function" in result.errors[0].traceback
    assert TaskRun.objects.get().error_code == "NOT_SERIALIZABLE"


def test_each_failed_attempt_leaves_its_worker_and_its_error() -> None:
    with testing.frozen():
        result = tasks.fails.using(max_attempts=3).enqueue("again")
        for _ in range(3):
            testing.drain()
            testing.advance(3600)
        result.refresh()
    assert (result.attempts, len(result.errors), result.status) == (3, 3, FAILED)


def test_a_task_of_another_backend_can_be_moved_here() -> None:
    kind = "django.tasks" if HAS_CORE_TASKS else "django_tasks"
    both = {"default": {"BACKEND": OURS, "QUEUES": []}, "other": {"BACKEND": f"{kind}.backends.dummy.DummyBackend"}}
    with override_settings(TASKS=both):
        plain = stock.task(backend="other")(stock.of_another_backend)
        registry._tasks.pop(plain.module_path, None)
        result = plain.using(backend="default").enqueue()
        assert type(result.task) is Task
        testing.drain()
        result.refresh()
    assert result.return_value == "moved"


# --- acting


def test_a_waiting_run_is_resumed_through_its_result() -> None:
    result = tasks.asks.enqueue()
    testing.drain()
    result.refresh()
    assert (result.status, result.state) == (READY, State.WAITING)
    assert result.resume({"go": True}) == State.QUEUED
    testing.drain()
    assert result.wait(timeout=1).return_value == {"go": True}


def test_a_question_is_answered_by_its_token() -> None:
    result = tasks.asks.enqueue()
    testing.drain()
    (wait,) = Wait.objects.all()
    with pytest.raises(NotWaiting):
        result.resolve("0" * 32, "wrong token")
    assert result.resolve(wait.token, "right token") == State.QUEUED
    testing.drain()
    assert result.wait().return_value == "right token"


def test_a_run_that_waits_for_nothing_cannot_be_resumed() -> None:
    with pytest.raises(NotWaiting):
        tasks.add.enqueue(1, 2).resume("hello")


def test_a_cancelled_run_has_failed_with_an_error_that_says_so() -> None:
    result = tasks.add.enqueue(1, 2)
    assert result.cancel("no longer needed", by="ada") == State.CANCELLED
    assert result.status == FAILED
    (error,) = result.errors
    assert error.exception_class is TaskCancelled
    assert "no longer needed" in error.traceback
    testing.drain()
    result.refresh()
    assert result.state == State.CANCELLED


def test_a_failed_run_can_be_retried() -> None:
    result = tasks.fails.enqueue()
    testing.drain()
    assert result.retry() == State.QUEUED
    testing.drain()
    result.refresh()
    assert result.attempts == 2


def test_a_run_that_has_not_failed_cannot_be_retried() -> None:
    with pytest.raises(InvalidTransition):
        tasks.add.enqueue(1, 2).retry()


def test_the_snapshot_of_a_run_that_is_gone_is_not_found() -> None:
    result = tasks.add.enqueue(1, 2)
    Step.objects.all().delete()
    TaskRun.objects.all().delete()
    with pytest.raises(RunNotFound):
        result.snapshot()


@pytest.mark.usefixtures("other_thread")
async def test_the_twins_act_too() -> None:
    result = await tasks.asks.aenqueue()
    assert await result.acancel("enough") == State.CANCELLED
    assert await result.aretry() == State.QUEUED
    with pytest.raises(NotWaiting):
        await result.aresume(1)


def test_waiting_inside_a_transaction_is_refused() -> None:
    result = tasks.add.enqueue(1, 2)
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError, match="after the commit"):
        result.wait(timeout=5)


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_with_patience() -> None:
    result = tasks.add.enqueue(1, 2)
    with pytest.raises(TimeoutError, match=r"has not ended after 0.05 s"):
        result.wait(timeout=0.05)


@pytest.mark.usefixtures("other_thread")
async def test_a_coroutine_waits_too() -> None:
    result = await tasks.add.aenqueue(1, 2)
    with pytest.raises(TimeoutError):
        await result.finished(timeout=0.05)


# --- signals


def test_the_three_signals_tell_the_life_of_a_run(heard: list[Any]) -> None:
    result = stock.double.enqueue(4)
    testing.drain()
    assert [name for name, _, _ in heard] == ["task_enqueued", "task_started", "task_finished"]
    assert {sender for _, sender, _ in heard} == {DurableBackend}
    assert {told.id for _, _, told in heard} == {result.id}
    started, finished = heard[1][2], heard[2][2]
    assert (started.status, started.attempts, started.finished_at) == (TaskResultStatus.RUNNING, 1, None)
    assert (finished.status, finished.return_value, finished.attempts) == (SUCCESSFUL, 8, 1)
    assert finished.started_at <= finished.finished_at


def test_a_signal_costs_no_query(django_assert_num_queries: Any, heard: list[Any]) -> None:
    stock.double.enqueue(4)
    told: list[Any] = []
    house_signals.run_started.connect(lambda claimed, **kwargs: told.append(claimed), weak=False, dispatch_uid="here")
    try:
        testing.drain()
    finally:
        house_signals.run_started.disconnect(dispatch_uid="here")
    from django_tasks_durable.backend import results

    with django_assert_num_queries(0):
        assert results.of_claimed(told[0]).args == [4]


def test_an_attempt_that_will_be_retried_is_no_end(heard: list[Any]) -> None:
    with testing.frozen():
        tasks.fails.using(max_attempts=2).enqueue()
        testing.drain()
        assert "task_finished" not in [name for name, _, _ in heard]
        testing.advance(3600)
        testing.drain()
    finished = [told for name, _, told in heard if name == "task_finished"]
    assert [told.status for told in finished] == [FAILED]
    assert (len(finished[0].errors), finished[0].attempts) == (2, 2)


def test_a_run_that_waits_has_not_finished(heard: list[Any]) -> None:
    tasks.asks.enqueue()
    testing.drain()
    assert [name for name, _, _ in heard] == ["task_enqueued", "task_started"]


def test_a_receiver_that_fails_at_the_start_fails_no_run() -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("a receiver's own fault")

    signals().task_started.connect(fail)
    try:
        result = stock.double.enqueue(4)
        testing.drain()
    finally:
        signals().task_started.disconnect(fail)
    result.refresh()
    assert result.return_value == 8


def test_the_log_tells_what_the_exception_was(caplog: pytest.LogCaptureFixture) -> None:
    from django_tasks_durable.compat import TASKS_LOGGER

    stock.fails.enqueue("lost keys")
    with caplog.at_level("INFO", logger=TASKS_LOGGER):
        testing.drain()
    (record,) = [record for record in caplog.records if record.name == TASKS_LOGGER and record.levelname == "ERROR"]
    assert "state=FAILED" in record.message
    assert "LookupError: lost keys" in str(record.exc_info and record.exc_info[1])


# --- hints to other processes


@pytest.mark.databases("postgresql")
@pytest.mark.django_db(transaction=True)
def test_an_enqueue_wakes_who_listens_on_postgresql() -> None:
    from django_tasks_durable.store.vendors import listening

    hints = listening.PostgresHints("default")
    stopping = threading.Event()
    heard = hints.wait(stopping)
    assert next(heard) == listening.ANYTHING  # listening now
    tasks.elsewhere.enqueue()
    assert next(heard) == ("other",)
    hints.close()


@pytest.mark.django_db(transaction=True)
def test_an_enqueue_that_is_rolled_back_gives_no_hint() -> None:
    told: list[str] = []

    def hear(queue_name: str, **kwargs: Any) -> None:
        told.append(queue_name)

    house_signals.work_available.connect(hear)
    try:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            tasks.elsewhere.enqueue()
            1 / 0
        assert told == []
        with transaction.atomic():
            for _ in range(3):
                tasks.elsewhere.enqueue()
            assert told == []
        assert told == ["other"]
    finally:
        house_signals.work_available.disconnect(hear)


# --- where it all lies


def test_the_server_of_these_tests_can_hold_tasks() -> None:
    found = house_checks.check_servers(databases=["default"])
    assert [message for message in found if message.is_serious()] == []
    assert house_checks.check_servers(databases=[]) == house_checks.check_servers() == []


def test_no_line_is_made_that_no_handler_would_write() -> None:
    log = news._log
    drops = logging.StreamHandler(io.StringIO())
    drops.addFilter(lambda record: False)
    log.addHandler(drops)
    before, log.propagate, level = log.propagate, False, log.level
    log.setLevel(logging.INFO)
    try:
        assert not news._is_written(logging.INFO)
        writes = logging.StreamHandler(io.StringIO())
        log.addHandler(writes)
        assert news._is_written(logging.INFO)
        writes.setLevel(logging.ERROR)
        assert not news._is_written(logging.INFO)
        log.removeHandler(writes)
    finally:
        log.removeHandler(drops)
        log.propagate = before
        log.setLevel(level)
