"""What operators may do to a run, and that of several at once the first one wins."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from django_tasks_durable import signals
from django_tasks_durable.exceptions import (
    AlreadyResolved,
    AmbiguousResume,
    DeadlinePassed,
    DurableError,
    InvalidTransition,
    NotSerializable,
    NotWaiting,
    PayloadTooLarge,
    RunNotFound,
)
from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.store import control, vendors
from tests.doors.rows import a_checkpoint, a_failed_run, a_run, a_running_run, a_wait, a_waiting_run, later

USING = "default"
pytestmark = pytest.mark.django_db


def fresh(run: TaskRun) -> TaskRun:
    """Read a run's row again."""
    return TaskRun.objects.get(pk=run.pk)


def last_line(run: TaskRun) -> Step:
    """Read the last line of a run's timeline."""
    return Step.objects.filter(run=run).order_by("-sequence")[0]


def in_an_hour() -> Any:
    """Return an instant that has not come by the database's clock."""
    from datetime import timedelta

    return vendors.session(USING).now_at() + timedelta(hours=1)


# --- cancel


@pytest.mark.seed("TR-21")
@pytest.mark.parametrize("make", [a_run, a_waiting_run])
def test_cancelling_what_nobody_runs_ends_it_at_once(make: Callable[[], TaskRun]) -> None:
    run = make()
    assert control.cancel(run.pk, using=USING, reason="not needed", by="anna") is RunStatus.CANCELLED
    row = fresh(run)
    assert (row.status, row.due_at, row.cancel_reason) == (RunStatus.CANCELLED, None, "not needed")
    assert row.finished_at is not None
    assert row.version == run.version + 1
    line = last_line(run)
    assert (line.kind, line.message, json.loads(line.data)["by"]) == (StepKind.CANCELLED, "not needed", "anna")
    assert line.sequence == row.last_sequence == 2


@pytest.mark.seed("TR-21")
@pytest.mark.parametrize("status", [RunStatus.CLAIMED, RunStatus.RUNNING])
def test_cancelling_what_a_worker_holds_asks_for_it(status: RunStatus) -> None:
    run = a_running_run(status=status)
    assert control.cancel(run.pk, using=USING, by="anna") is status
    row = fresh(run)
    assert row.status == status
    assert row.cancel_requested_at is not None
    assert last_line(run).kind == StepKind.CANCEL_REQUESTED


@pytest.mark.seed("TR-21")
def test_a_second_request_to_cancel_changes_nothing() -> None:
    run = a_running_run()
    control.cancel(run.pk, using=USING, reason="first")
    before = fresh(run)
    control.cancel(run.pk, using=USING, reason="second")
    assert fresh(run).version == before.version
    assert fresh(run).cancel_reason == "first"


def test_a_run_that_came_back_with_a_request_to_cancel_is_cancelled() -> None:
    run = a_run(cancel_requested_at=later(1), cancel_reason="first", wake_reason=WakeReason.STALE)
    assert control.cancel(run.pk, using=USING, reason="again") is RunStatus.CANCELLED
    assert fresh(run).cancel_reason == "first"


@pytest.mark.seed("TR-21")
@pytest.mark.parametrize("status", [RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED])
def test_cancelling_a_finished_run_changes_nothing(status: RunStatus) -> None:
    run = a_failed_run(status=status)
    assert control.cancel(run.pk, using=USING) is status
    assert fresh(run).version == run.version


# --- retry


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_retried_run_is_due_with_its_checkpoints(status: RunStatus) -> None:
    run = a_failed_run(status=status, cancel_requested_at=later(3), cancel_reason="why", crashes=3, deliveries=3)
    a_checkpoint(run, "step:load", 1)
    assert control.retry(run.pk, using=USING, by="anna") is RunStatus.READY
    row = fresh(run)
    assert (row.status, row.wake_reason, row.error_code) == (RunStatus.READY, WakeReason.OPERATOR, "")
    assert (row.attempts, row.max_attempts, row.crashes, row.deliveries) == (1, 2, 0, 0)
    assert (row.finished_at, row.cancel_requested_at, row.cancel_reason) == (None, None, "")
    assert row.due_at is not None
    assert row.checkpoints.count() == 1
    assert last_line(run).kind == StepKind.AUDIT


def test_a_retry_leaves_attempts_that_are_not_used_up() -> None:
    run = a_failed_run(max_attempts=5)
    control.retry(run.pk, using=USING)
    assert fresh(run).max_attempts == 5


@pytest.mark.parametrize(
    "status", [RunStatus.READY, RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.SUCCESSFUL]
)
def test_only_what_failed_or_was_cancelled_can_be_retried(status: RunStatus) -> None:
    run = a_run(status=status)
    with pytest.raises(InvalidTransition) as caught:
        control.retry(run.pk, using=USING)
    assert caught.value.act == "retry"
    assert fresh(run).version == run.version


# --- resume


@pytest.mark.parametrize("value", [None, 0, "", False, {"ok": True}, [1, 2]])
def test_any_value_is_an_answer(value: Any) -> None:
    run = a_waiting_run("one")
    assert control.resume(run.pk, value, using=USING, by="anna") is RunStatus.READY
    row, wait = fresh(run), Wait.objects.get(run=run)
    assert wait.answer is not None
    assert codec.decode(wait.answer) == value
    assert wait.answered_by == "anna"
    assert (row.status, row.wake_reason, row.inbox) == (RunStatus.READY, WakeReason.MESSAGE, run.inbox + 1)
    assert row.due_at is not None
    line = last_line(run)
    assert (line.kind, line.path) == (StepKind.RESUMED, wait.path)
    assert "one" not in line.data


def test_the_same_answer_again_changes_nothing() -> None:
    run = a_waiting_run("one")
    control.resume(run.pk, {"ok": True}, using=USING)
    before = fresh(run)
    control.resume(run.pk, {"ok": True}, using=USING)
    control.resume(run.pk, {"ok": True}, token="one", using=USING)
    assert fresh(run).version == before.version


@pytest.mark.parametrize("token", [None, "one"])
def test_another_answer_is_refused_and_the_first_stands(token: str | None) -> None:
    run = a_waiting_run("one")
    control.resume(run.pk, True, using=USING)
    with pytest.raises(AlreadyResolved):
        control.resume(run.pk, False, token=token, using=USING)
    assert Wait.objects.get(run=run).answer == "true"


def test_false_is_not_the_same_answer_as_zero() -> None:
    run = a_waiting_run("one")
    control.resume(run.pk, False, using=USING)
    with pytest.raises(AlreadyResolved):
        control.resume(run.pk, 0, using=USING)


@pytest.mark.seed("TT-20")
def test_of_several_open_questions_the_token_names_one() -> None:
    run = a_waiting_run("one", "two")
    with pytest.raises(AmbiguousResume) as caught:
        control.resume(run.pk, 1, using=USING)
    assert caught.value.tokens == ["one", "two"]
    assert caught.value.paths == list(Wait.objects.filter(run=run).order_by("id").values_list("path", flat=True))
    assert ", ".join(caught.value.paths) in str(caught.value)
    control.resume(run.pk, 1, token="two", using=USING)
    control.resume(run.pk, 2, using=USING)
    assert dict(Wait.objects.filter(run=run).values_list("token", "answer")) == {"one": "2", "two": "1"}


def test_a_run_that_asks_nothing_takes_no_answer() -> None:
    for run in (a_run(), a_running_run(), a_failed_run()):
        with pytest.raises(NotWaiting):
            control.resume(run.pk, 1, using=USING)


def test_a_token_of_another_run_is_refused() -> None:
    other, run = a_waiting_run("other"), a_waiting_run("one")
    with pytest.raises(NotWaiting):
        control.resume(run.pk, 1, token="other", using=USING)
    assert Wait.objects.get(run=other).answer is None


def test_a_question_that_its_run_went_on_without_takes_no_answer() -> None:
    run = a_waiting_run("one", status=RunStatus.RUNNING)
    a_checkpoint(run, "wait:0", "the default")
    for token in (None, "one"):
        with pytest.raises(NotWaiting):
            control.resume(run.pk, 1, token=token, using=USING)


def test_an_answer_after_the_deadline_is_refused_and_before_it_taken() -> None:
    run = a_waiting_run("one", "two")
    now = vendors.session(USING).now_at()
    Wait.objects.filter(token="one").update(deadline=now - timedelta(seconds=1))
    Wait.objects.filter(token="two").update(deadline=now + timedelta(hours=1))
    with pytest.raises(DeadlinePassed, match="took answers until"):
        control.resume(run.pk, 1, token="one", using=USING)
    assert control.resume(run.pk, 2, token="two", using=USING) is RunStatus.READY
    assert dict(Wait.objects.filter(run=run).values_list("token", "answer")) == {"one": None, "two": "2"}


def test_a_finished_run_takes_no_answer() -> None:
    run = a_waiting_run("one", status=RunStatus.CANCELLED)
    for token in (None, "one"):
        with pytest.raises(NotWaiting):
            control.resume(run.pk, 1, token=token, using=USING)


def test_a_running_run_is_told_of_its_answer_by_its_inbox() -> None:
    run = a_running_run()
    a_wait(run, "one")
    assert control.resume(run.pk, 1, using=USING) is RunStatus.RUNNING
    assert (fresh(run).status, fresh(run).inbox) == (RunStatus.RUNNING, 1)


def test_an_answer_wakes_a_run_that_sleeps_beside_its_question() -> None:
    run = a_run(wake_reason=WakeReason.SLEEP, due_at=in_an_hour())
    a_wait(run, "one")
    control.resume(run.pk, 1, using=USING)
    assert fresh(run).due_at < in_an_hour()
    assert fresh(run).wake_reason == WakeReason.MESSAGE


def test_an_answer_that_cannot_be_stored_is_refused_before_anything_is_written() -> None:
    run = a_waiting_run("one")
    with pytest.raises(NotSerializable):
        control.resume(run.pk, {"when": object()}, using=USING)
    with pytest.raises(PayloadTooLarge):
        control.resume(run.pk, "x" * 300_000, using=USING)
    assert fresh(run).version == run.version


# --- run now


def test_a_run_enqueued_for_later_can_be_made_due_now() -> None:
    run = a_run(due_at=in_an_hour(), run_after=in_an_hour())
    assert control.run_now(run.pk, using=USING, by="anna") is RunStatus.READY
    row = fresh(run)
    assert row.due_at <= vendors.session(USING).now_at()
    assert row.run_after == run.run_after
    assert last_line(run).kind == StepKind.AUDIT


def test_a_run_between_two_attempts_can_be_made_due_now() -> None:
    run = a_run(due_at=in_an_hour(), wake_reason=WakeReason.RETRY, attempts=1, max_attempts=3)
    control.run_now(run.pk, using=USING)
    assert fresh(run).due_at <= vendors.session(USING).now_at()


def test_making_due_what_is_due_changes_nothing() -> None:
    run = a_run()
    control.run_now(run.pk, using=USING)
    assert fresh(run).version == run.version


@pytest.mark.parametrize("reason", [WakeReason.SLEEP, WakeReason.STEP_RETRY])
def test_what_sleeps_by_itself_cannot_be_hurried(reason: WakeReason) -> None:
    run = a_run(due_at=in_an_hour(), wake_reason=reason)
    with pytest.raises(InvalidTransition):
        control.run_now(run.pk, using=USING)


# --- all of them


ACTS: dict[str, Callable[[Any], RunStatus]] = {
    "cancel": lambda run_id: control.cancel(run_id, using=USING),
    "retry": lambda run_id: control.retry(run_id, using=USING),
    "resume": lambda run_id: control.resume(run_id, 1, using=USING),
    "run_now": lambda run_id: control.run_now(run_id, using=USING),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_unknown_run_is_said_to_be_unknown(act: str) -> None:
    with pytest.raises(RunNotFound):
        ACTS[act](new_id())


def test_news_leaves_after_the_commit_and_never_without_it(django_capture_on_commit_callbacks: Any) -> None:
    news: list[str] = []

    def changed(sender: Any, using: str, run_ids: Any, **more: Any) -> None:
        news.append(f"changed {[str(run_id) for run_id in run_ids]}")

    def available(sender: Any, using: str, queue_name: str, **more: Any) -> None:
        news.append(f"available {queue_name}")

    signals.run_changed.connect(changed)
    signals.work_available.connect(available)
    try:
        run = a_failed_run(queue_name="money")
        with django_capture_on_commit_callbacks(execute=True):
            control.retry(run.pk, using=USING)
            assert not news
        assert news == [f"changed ['{run.pk}']", "available money"]
        news.clear()
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            control.cancel(run.pk, using=USING)
            transaction.set_rollback(True)
        assert not news
    finally:
        signals.run_changed.disconnect(changed)
        signals.work_available.disconnect(available)


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """Do several acts at the same moment, each on a thread and connection of its own; return results and errors."""
    barrier = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def perform(place: int) -> None:
        try:
            barrier.wait()
            results[place] = acts[place]()
        except DurableError as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=perform, args=[place]) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_of_many_answers_at_once_exactly_one_stands() -> None:
    run = a_waiting_run("one")
    results = at_once([lambda n=n: control.resume(run.pk, n, using=USING) for n in range(8)])  # type: ignore[misc]
    assert sum(result is RunStatus.READY for result in results) == 1
    assert sum(isinstance(result, AlreadyResolved) for result in results) == 7
    winner = results.index(RunStatus.READY)
    assert Wait.objects.get(run=run).answer == str(winner)
    assert fresh(run).inbox == 1
    assert list(Step.objects.filter(run=run).values_list("sequence", flat=True)) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_of_many_retries_at_once_exactly_one_is_done() -> None:
    run = a_failed_run()
    results = at_once([lambda: control.retry(run.pk, using=USING)] * 8)
    assert sum(result is RunStatus.READY for result in results) == 1
    assert sum(isinstance(result, InvalidTransition) for result in results) == 7
    assert fresh(run).last_sequence == 2


@pytest.mark.django_db(transaction=True)
def test_a_cancel_and_an_answer_at_once_leave_one_story() -> None:
    run = a_waiting_run("one")
    cancelled, answered = at_once(
        [lambda: control.cancel(run.pk, using=USING), lambda: control.resume(run.pk, 1, using=USING)]
    )
    assert cancelled is RunStatus.CANCELLED
    assert answered is RunStatus.READY or isinstance(answered, NotWaiting)
    assert fresh(run).status == RunStatus.CANCELLED
    assert Step.objects.filter(run=run).count() == fresh(run).last_sequence


@pytest.mark.django_db(transaction=True)
def test_who_listens_and_raises_does_not_fail_the_act() -> None:
    def raises(**told: Any) -> None:
        raise RuntimeError("a receiver's own fault")

    run = a_waiting_run()
    signals.run_changed.connect(raises)
    try:
        assert control.cancel(run.pk, using=USING) is RunStatus.CANCELLED
    finally:
        signals.run_changed.disconnect(raises)
    assert fresh(run).status == RunStatus.CANCELLED
