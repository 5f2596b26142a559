"""Operators and answers that come while an attempt writes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import ClaimedRun, Started, Succeeded, Suspended, Write
from django_tasks_durable.store import control, history, vendors
from django_tasks_durable.store.commit import BUSY, Answer
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.store import acts


def insist(session: vendors.Session, claimed: ClaimedRun, *writes: Write) -> Answer:
    """Hand in facts as a worker does: a busy row is asked again."""
    while (answer := acts.hand_in(session, claimed, *writes)) is BUSY:
        pass
    return answer


def waiting_again(session: vendors.Session) -> tuple[ClaimedRun, int]:
    """Claim a run whose question is open since an earlier slice, and look at its history: nobody has answered yet."""
    run_id = acts.enqueue()
    (first,) = acts.claim(session)
    acts.hand_in(session, first, Started(lease=first.lease), acts.parked(first.lease, token=run_id.hex))
    TaskRun.objects.filter(pk=run_id).update(status=RunStatus.READY, due_at=session.now_at())
    (again,) = acts.claim(session)
    return again, history.read(session, again).inbox


@pytest.mark.seed("TW-20")
def test_an_answer_is_never_lost_between_the_look_and_the_wait(session: vendors.Session) -> None:
    """Locking rule 4."""
    acts.register(session)
    for _ in range(TRIALS):
        claimed, inbox = waiting_again(session)
        suspension = Suspended(
            lease=claimed.lease, parked=True, wake_at=None, reason=WakeReason.NONE, inbox=inbox, waits=()
        )
        side_by_side(
            lambda own, c=claimed, s=suspension: insist(own, c, s),
            lambda own, c=claimed: control.resume(c.run_id, "yes", using="default"),
        )

        row = acts.run(claimed.run_id)
        assert Wait.objects.get(run=row).answer == '"yes"'
        assert row.status == RunStatus.READY
        assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
        assert [run.run_id for run in acts.claim(session)] == [claimed.run_id]
        TaskRun.objects.filter(pk=row.id).update(status=RunStatus.CANCELLED)


def test_an_answer_that_came_first_keeps_the_run_awake(session: vendors.Session) -> None:
    acts.register(session)
    claimed, inbox = waiting_again(session)
    control.resume(claimed.run_id, "yes", using="default")
    insist(
        session, claimed, Suspended(lease=claimed.lease, parked=True, wake_at=None, reason=WakeReason.NONE, inbox=inbox)
    )

    assert acts.run(claimed.run_id).status == RunStatus.READY


@pytest.mark.seed("TW-20")
def test_of_two_answers_at_once_the_first_wins(session: vendors.Session) -> None:
    from django_tasks_durable.exceptions import AlreadyResolved

    acts.register(session)

    def answer(value: str, run_id: object) -> object:
        def act(own: vendors.Session) -> str:
            try:
                control.resume(run_id, value, using="default")  # type: ignore[arg-type]
            except AlreadyResolved:
                return "refused"
            return "taken"

        return act

    for _ in range(TRIALS):
        acts.enqueue()
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, acts.parked(claimed.lease, token=claimed.run_id.hex))
        outcome = side_by_side(answer("a", claimed.run_id), answer("b", claimed.run_id))  # type: ignore[arg-type]

        assert sorted(outcome) == ["refused", "taken"]
        assert Wait.objects.get(run_id=claimed.run_id).answer == ('"a"' if outcome[0] == "taken" else '"b"')
        assert acts.run(claimed.run_id).inbox == 1
        TaskRun.objects.filter(pk=claimed.run_id).update(status=RunStatus.CANCELLED)


def test_a_cancellation_never_undoes_a_success(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS):
        run_id = acts.enqueue()
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, Started(lease=claimed.lease))
        side_by_side(
            lambda own, c=claimed: insist(own, c, Succeeded(lease=c.lease, result="1")),
            lambda own, r=run_id: control.cancel(r, using="default"),
        )

        row = acts.run(run_id)
        assert (row.status, row.result) == (RunStatus.SUCCESSFUL, "1")
        assert acts.kinds(run_id)[-1] == StepKind.SUCCEEDED
        assert acts.sequences(run_id) == list(range(1, row.last_sequence + 1))


@pytest.mark.parametrize("kind", ["failed, to be retried", "sleeping", "released", "failed for good"])
def test_a_cancelled_run_never_runs_again(session: vendors.Session, kind: str) -> None:
    acts.register(session)
    for _ in range(TRIALS // 2):
        run_id = acts.enqueue()
        (claimed,) = acts.claim(session)
        write = acts.each_write(claimed.lease, claimed.now_at - timedelta(hours=1))[kind]
        _, answer = side_by_side(
            lambda own, c=claimed, w=write: insist(own, c, w),
            lambda own, r=run_id: control.cancel(r, using="default"),
        )

        row = acts.run(run_id)
        expected = {RunStatus.CANCELLED, RunStatus.FAILED} if kind == "failed for good" else {RunStatus.CANCELLED}
        assert row.status in expected
        assert answer in {RunStatus.CLAIMED, RunStatus.CANCELLED, RunStatus.FAILED}
        assert acts.claim(session) == []
        assert acts.sequences(run_id) == list(range(1, row.last_sequence + 1))


def test_lines_of_an_attempt_and_of_operators_share_one_row_of_numbers(session: vendors.Session) -> None:
    acts.register(session)
    claimed, _ = waiting_again(session)

    def write(own: vendors.Session) -> None:
        for number in range(40):
            insist(
                own, claimed, acts.append(claimed.lease, f"line {number}"), acts.save(claimed.lease, f"step:{number}")
            )

    def operate(own: vendors.Session) -> None:
        control.resume(claimed.run_id, "yes", using="default")
        control.cancel(claimed.run_id, using="default")

    side_by_side(write, operate)

    row = acts.run(claimed.run_id)
    assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
    said = Step.objects.filter(run=row, kind="log").order_by("sequence").values_list("message", flat=True)
    assert list(said) == [f"line {number}" for number in range(40)]
    assert {StepKind.RESUMED, StepKind.CANCEL_REQUESTED} <= set(acts.kinds(row.id))
