"""Attempts: what each fact does to the run, and what the row says back."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from django_tasks_durable.models import Checkpoint, Step, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Cancelled,
    ClaimedRun,
    Released,
    SetProgress,
    Started,
    Succeeded,
    Verdict,
)
from django_tasks_durable.store import history, vendors
from tests.store import acts


def test_lines_are_numbered_without_gaps_over_many_batches(session: vendors.Session, claimed: ClaimedRun) -> None:
    lease = claimed.lease
    acts.hand_in(session, claimed, Started(lease=lease), acts.append(lease, "one"), acts.append(lease, "two"))
    acts.hand_in(session, claimed, SetProgress(lease=lease, percent=10.0))
    acts.hand_in(session, claimed, acts.save(lease), acts.append(lease, "three"))
    acts.hand_in(session, claimed, Succeeded(lease=lease, result="3"))

    kinds = ["enqueued", "claimed", "started", "log", "log", "step", "log", "succeeded"]
    assert acts.kinds(claimed.run_id) == kinds
    assert acts.sequences(claimed.run_id) == list(range(1, len(kinds) + 1))
    assert acts.run(claimed.run_id).last_sequence == len(kinds)


def test_a_success_keeps_its_result_and_forgets_its_troubles(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, Started(lease=claimed.lease), Succeeded(lease=claimed.lease, result='{"a": 1}'))

    row = acts.run(claimed.run_id)
    assert (row.status, row.result, row.error_code) == (RunStatus.SUCCESSFUL, '{"a": 1}', "")
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.last_attempted_at is not None
    assert row.progress_percent == 100.0
    assert row.lease_worker == acts.WORKER


@pytest.mark.seed("TR-15")
def test_a_start_is_told_once_and_the_first_stays(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    first = acts.run(claimed.run_id)
    acts.hand_in(session, claimed, Released(lease=claimed.lease))
    (again,) = acts.claim(session)
    acts.hand_in(session, again, Started(lease=again.lease))

    row = acts.run(claimed.run_id)
    assert row.started_at == first.started_at
    assert row.last_attempted_at >= first.last_attempted_at
    assert again.started_at == first.started_at


def test_progress_changes_only_what_it_names(session: vendors.Session, claimed: ClaimedRun) -> None:
    lease = claimed.lease
    acts.hand_in(session, claimed, SetProgress(lease=lease, percent=10.0, label="begun", meta='{"page": 1}'))
    acts.hand_in(session, claimed, SetProgress(lease=lease, percent=20.0))

    row = acts.run(claimed.run_id)
    assert (row.progress_percent, row.progress_label, row.progress_meta) == (20.0, "begun", '{"page": 1}')
    assert row.progress_at is not None
    assert Step.objects.filter(run=row).count() == 1


def test_a_failure_that_may_be_retried_is_ready_at_its_time(session: vendors.Session, claimed: ClaimedRun) -> None:
    soon = claimed.now_at + timedelta(hours=1)
    acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.failed(claimed.lease, retry_at=soon))

    row = acts.run(claimed.run_id)
    assert (row.status, row.wake_reason, row.attempts, row.due_at) == (RunStatus.READY, WakeReason.RETRY, 1, soon)
    assert json.loads(row.worker_ids) == [acts.WORKER]
    (error,) = json.loads(row.errors)
    assert (error["exception_class_path"], error["message"], error["attempt"]) == ("builtins.ValueError", "no", 1)
    assert row.finished_at is None
    assert acts.claim(session) == []


def test_only_the_last_twenty_errors_are_kept(session: vendors.Session) -> None:
    acts.register(session)
    run_id = acts.enqueue()
    for _ in range(22):
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, acts.failed(claimed.lease, retry_at=claimed.now_at))

    errors = json.loads(acts.run(run_id).errors)
    assert [error["attempt"] for error in errors] == list(range(3, 23))


def test_a_failure_forgets_the_checkpoints_that_it_names_and_their_tries(
    session: vendors.Session, claimed: ClaimedRun
) -> None:
    lease = claimed.lease
    for path in ("step:100%", "step:100%!try:1", "step:100%!try:2", "step:1000!try:1", "step:100%x"):
        acts.hand_in(session, claimed, acts.save(lease, path, failed=True))
    acts.hand_in(session, claimed, acts.failed(lease, retry_at=claimed.now_at, forget=("step:100%",)))

    assert set(Checkpoint.objects.values_list("path", flat=True)) == {"step:1000!try:1", "step:100%x"}


def test_a_final_failure_says_why(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, acts.failed(claimed.lease))

    row = acts.run(claimed.run_id)
    assert (row.status, row.error_code, row.attempts) == (RunStatus.FAILED, "EXCEPTION", 1)
    assert row.finished_at is not None
    assert acts.kinds(row.id)[-1] == StepKind.FAILED


def test_a_checkpoint_starts_the_count_of_lost_deliveries_anew(session: vendors.Session, claimed: ClaimedRun) -> None:
    TaskRun.objects.filter(pk=claimed.run_id).update(crashes=2, deliveries=2)
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    assert acts.run(claimed.run_id).deliveries == 2

    acts.hand_in(session, claimed, acts.save(claimed.lease))

    row = acts.run(claimed.run_id)
    assert (row.crashes, row.deliveries) == (0, 0)


@pytest.mark.seed("TR-22")
def test_a_run_given_back_costs_no_attempt_and_is_due_at_once(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, Started(lease=claimed.lease), Released(lease=claimed.lease))

    row = acts.run(claimed.run_id)
    assert (row.status, row.attempts, row.crashes, row.deliveries) == (RunStatus.READY, 0, 0, 0)
    (again,) = acts.claim(session)
    assert again.lease.token == claimed.lease.token + 1


def test_a_sleep_is_ready_with_a_due_time_and_a_checkpoint(session: vendors.Session, claimed: ClaimedRun) -> None:
    soon = claimed.now_at + timedelta(hours=1)
    acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.asleep(claimed.lease, soon))

    row = acts.run(claimed.run_id)
    assert (row.status, row.wake_reason, row.due_at, row.attempts) == (RunStatus.READY, WakeReason.SLEEP, soon, 0)
    assert Checkpoint.objects.get().path == "sleep:1"


def test_a_wait_is_parked_while_nothing_has_come(session: vendors.Session, claimed: ClaimedRun) -> None:
    answer = acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.parked(claimed.lease))

    assert isinstance(answer, Verdict)
    assert answer.status == RunStatus.WAITING
    assert acts.run(claimed.run_id).due_at is None
    assert Wait.objects.get().token == "a" * 32


def test_a_wait_does_not_park_when_something_came_meanwhile(session: vendors.Session, claimed: ClaimedRun) -> None:
    TaskRun.objects.filter(pk=claimed.run_id).update(inbox=1)
    answer = acts.hand_in(session, claimed, acts.parked(claimed.lease, inbox=0))

    row = acts.run(claimed.run_id)
    assert isinstance(answer, Verdict)
    assert answer.status == row.status == RunStatus.READY
    assert row.wake_reason == WakeReason.MESSAGE
    assert row.due_at <= claimed.now_at + timedelta(minutes=1)
    assert len(acts.claim(session)) == 1


def test_a_wait_whose_inbox_was_read_later_parks(session: vendors.Session, claimed: ClaimedRun) -> None:
    TaskRun.objects.filter(pk=claimed.run_id).update(inbox=1)
    answer = acts.hand_in(session, claimed, acts.parked(claimed.lease, inbox=1))

    assert isinstance(answer, Verdict)
    assert answer.status == RunStatus.WAITING


def cancel_requested(session: vendors.Session, claimed: ClaimedRun) -> None:
    """Let somebody ask for the run to be cancelled."""
    session.execute(
        f"UPDATE durable_tasks_taskrun SET cancel_requested_at = {session.now} WHERE id = %s",
        (session.uuid(claimed.run_id),),
    )


@pytest.mark.seed("TR-21")
def test_a_success_on_its_way_stays_a_success(session: vendors.Session, claimed: ClaimedRun) -> None:
    cancel_requested(session, claimed)
    answer = acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))

    assert isinstance(answer, Verdict)
    assert answer.status == acts.run(claimed.run_id).status == RunStatus.SUCCESSFUL


@pytest.mark.seed("TR-21")
@pytest.mark.parametrize(
    "kind", ["failed for good", "failed, to be retried", "waiting", "sleeping", "released", "cancelled"]
)
def test_any_other_end_of_a_run_to_be_cancelled_is_a_cancellation(
    session: vendors.Session, claimed: ClaimedRun, kind: str
) -> None:
    cancel_requested(session, claimed)
    write = acts.each_write(claimed.lease, claimed.now_at + timedelta(hours=1))[kind]
    answer = acts.hand_in(session, claimed, write)

    row = acts.run(claimed.run_id)
    assert isinstance(answer, Verdict)
    assert answer.status == row.status == RunStatus.CANCELLED
    assert row.finished_at is not None
    assert row.error_code == ""
    assert acts.kinds(row.id)[-1] == StepKind.CANCELLED
    assert acts.claim(session) == []


@pytest.mark.parametrize("kind", ["started", "checkpoint", "log", "progress"])
def test_an_attempt_that_goes_on_hears_of_the_cancellation(
    session: vendors.Session, claimed: ClaimedRun, kind: str
) -> None:
    cancel_requested(session, claimed)
    answer = acts.hand_in(session, claimed, acts.each_write(claimed.lease, claimed.now_at)[kind])

    assert isinstance(answer, Verdict)
    assert answer.cancel_requested


def test_a_cancellation_keeps_its_reason(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.hand_in(session, claimed, Cancelled(lease=claimed.lease, reason="no longer needed"))

    assert Step.objects.order_by("-sequence")[0].message == "no longer needed"


def test_history_gives_back_what_was_handed_in(session: vendors.Session, claimed: ClaimedRun) -> None:
    lease = claimed.lease
    acts.hand_in(
        session, claimed,
        acts.save(lease, "step:a", value='{"b":1,"a":1.0}', fingerprint="f" * 32),
        acts.append(lease, "one", StepKind.PARTIAL), acts.append(lease, "two", StepKind.PARTIAL),
        acts.append(lease, "inner", StepKind.PARTIAL, "call:x"), acts.append(lease, "just a log"),
    )  # fmt: skip
    acts.hand_in(session, claimed, acts.parked(lease, wake_at=claimed.now_at + timedelta(days=1)))
    Wait.objects.update(answer='"yes"')
    TaskRun.objects.update(inbox=1, status=RunStatus.READY, due_at=claimed.now_at)
    (again,) = acts.claim(session)

    told = history.read(session, again)
    assert not again.is_fresh
    assert [c.path for c in told.checkpoints] == ["step:a"]
    assert told.checkpoints[0].value == '{"b":1,"a":1.0}'
    assert told.partials == {"": 2, "call:x": 1}
    assert told.inbox == 1
    (wait,) = told.waits
    assert (wait.path, wait.token, wait.answer) == ("wait:1", "a" * 32, '"yes"')
    assert wait.deadline == claimed.now_at + timedelta(days=1) or wait.deadline is None


@pytest.mark.seed("TR-18")
def test_a_retry_keeps_its_error_and_clears_the_progress(session: vendors.Session, claimed: ClaimedRun) -> None:
    lease = claimed.lease
    soon = claimed.now_at + timedelta(seconds=60)
    told = SetProgress(lease=lease, percent=40.0, label="half-way", meta='{"page": 2}')
    acts.hand_in(session, claimed, Started(lease=lease), told)
    acts.hand_in(session, claimed, acts.append(lease, "before"), acts.failed(lease, retry_at=soon))

    row = acts.run(claimed.run_id)
    assert (row.status, row.wake_reason, row.due_at) == (RunStatus.READY, WakeReason.RETRY, soon)
    assert (row.progress_percent, row.progress_label, row.progress_meta) == (None, "", "")
    assert len(json.loads(row.errors)) == 1
    assert Step.objects.filter(run=row, attempt=1, message="before").exists()


def test_a_final_failure_keeps_how_far_it_came(session: vendors.Session, claimed: ClaimedRun) -> None:
    told = SetProgress(lease=claimed.lease, percent=40.0, label="half-way")
    acts.hand_in(session, claimed, Started(lease=claimed.lease), told, acts.failed(claimed.lease))

    row = acts.run(claimed.run_id)
    assert (row.status, row.progress_percent, row.progress_label) == (RunStatus.FAILED, 40.0, "half-way")


def test_paths_that_differ_by_case_or_accent_are_different_checkpoints(
    session: vendors.Session, claimed: ClaimedRun
) -> None:
    paths = ["step:a", "step:A", "step:á"]
    acts.hand_in(session, claimed, *(acts.save(claimed.lease, path) for path in paths))

    assert sorted(Checkpoint.objects.values_list("path", flat=True)) == sorted(paths)
