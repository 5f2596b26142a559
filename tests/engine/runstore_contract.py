"""What every RunStore must do, whatever it keeps runs in. Subclass RunStoreContract and say how runs get there.

The subclass gives the fixture ``house``; the tests know nothing else of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Append,
    Cancelled,
    CheckpointRecord,
    ClaimedRun,
    ErrorRecord,
    Failed,
    Line,
    MessageRecord,
    Migrated,
    Released,
    RunStore,
    SaveCheckpoint,
    SetProgress,
    Started,
    Succeeded,
    Suspended,
    WaitRequest,
    Write,
)


class Seen(Protocol):
    """What can be seen of a run from outside."""

    status: RunStatus
    wake_reason: WakeReason
    attempts: int
    result: str | None
    percent: float | None
    label: str
    due_at: datetime | None
    inbox: int


class House(Protocol):
    """How runs get into the store under test, and what becomes of them."""

    def create(self, **options: Any) -> UUID:
        """Put a run into the store."""

    def claim(self, run_id: UUID) -> ClaimedRun | None:
        """Claim it, if it is due."""

    def store_of(self, claimed: ClaimedRun) -> RunStore:
        """Return the store that the attempt of this run gets."""

    def take_over(self, run_id: UUID) -> None:
        """Take the run away from whoever holds it, as a sweep does."""

    def answer(self, run_id: UUID, value: Any) -> None:
        """Answer its one open question."""

    def send(self, run_id: UUID, name: str, payload: Any) -> None:
        """Send it a message."""

    def cancel(self, run_id: UUID) -> None:
        """Ask for it to be cancelled."""

    def look(self, run_id: UUID) -> Seen:
        """Look at it."""

    def lines(self, run_id: UUID) -> Sequence[tuple[str, str]]:
        """Return kind and message of its timeline, in sequence."""


def step(lease: Lease, path: str, position: int, value: str = "1", **more: Any) -> SaveCheckpoint:
    """Make the fact that a step is done."""
    record = CheckpointRecord(path=path, kind=CheckpointKind.STEP, position=position, value=value, **more)
    return SaveCheckpoint(lease=lease, checkpoint=record, line=Line(kind=StepKind.STEP, message=path, path=path))


def received(lease: Lease, path: str, message: MessageRecord) -> SaveCheckpoint:
    """Make the fact that a message was taken."""
    record = CheckpointRecord(path=path, kind=CheckpointKind.WAIT, position=0, value=message.payload)
    return SaveCheckpoint(lease=lease, checkpoint=record, consumes=message.id)


def said(lease: Lease, message: str) -> Append:
    """Make the fact of a line."""
    return Append(lease=lease, line=Line(kind=StepKind.LOG, message=message))


def parked(claimed: ClaimedRun, **more: Any) -> Suspended:
    """Make the outcome of a run that asks."""
    wait = WaitRequest(path="wait:q", kind="wait", position=0, token="t" * 32, request='"?"')
    values: dict[str, Any] = {
        "parked": True, "wake_at": None, "reason": WakeReason.NONE, "inbox": claimed.inbox, "waits": (wait,),
    }  # fmt: skip
    return Suspended(lease=claimed.lease, **{**values, **more})


def failure(claimed: ClaimedRun, **more: Any) -> Failed:
    """Make the outcome of a run that failed."""
    return Failed(
        lease=claimed.lease, error=ErrorRecord(exception_class_path="a.B", message="m", traceback="t"), **more
    )


class RunStoreContract:
    """The tests that every store passes."""

    def claimed(self, house: House, **options: Any) -> tuple[ClaimedRun, RunStore]:
        """Create a run and claim it."""
        claimed = house.claim(house.create(**options))
        assert claimed is not None
        return claimed, house.store_of(claimed)

    def again(self, house: House, claimed: ClaimedRun) -> tuple[ClaimedRun, RunStore]:
        """Claim a run once more."""
        second = house.claim(claimed.run_id)
        assert second is not None
        return second, house.store_of(second)

    def test_a_fresh_run_has_no_history(self, house: House) -> None:
        claimed, store = self.claimed(house)
        assert claimed.is_fresh
        history = store.history(claimed)
        assert not history.checkpoints
        assert not history.waits
        assert not history.partials

    def test_a_run_that_is_claimed_is_not_claimed_again(self, house: House) -> None:
        claimed, _ = self.claimed(house)
        assert house.claim(claimed.run_id) is None

    def test_what_was_handed_over_comes_back_in_the_order_of_writing(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        store.submit(Append(lease=claimed.lease, line=Line(kind=StepKind.PARTIAL, data="1")))
        store.commit(step(claimed.lease, "step:b", 1, '{"$tuple":[1]}', fingerprint="f")).result(10)
        store.submit(Append(lease=claimed.lease, line=Line(kind=StepKind.PARTIAL, data="2")))
        store.commit(step(claimed.lease, "step:a", 0, failed=True)).result(10)
        store.commit(Released(lease=claimed.lease)).result(10)
        second, store = self.again(house, claimed)
        history = store.history(second)
        assert not second.is_fresh
        found = [(r.path, r.kind, r.position, r.fingerprint, r.failed, r.value) for r in history.checkpoints]
        assert found == [
            ("step:b", "step", 1, "f", False, '{"$tuple":[1]}'),
            ("step:a", "step", 0, "", True, "1"),
        ]
        assert dict(history.partials) == {"": 2}

    def test_the_timeline_is_in_the_order_of_handing_over(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        for number in range(3):
            store.submit(said(claimed.lease, str(number)))
        store.commit(step(claimed.lease, "step:a", 0)).result(10)
        store.submit(said(claimed.lease, "after"))
        store.commit(Succeeded(lease=claimed.lease, result="1")).result(10)
        kinds = [kind for kind, _ in house.lines(claimed.run_id)]
        assert kinds == ["enqueued", "claimed", "started", "log", "log", "log", "step", "log", "succeeded"]
        assert [message for kind, message in house.lines(claimed.run_id) if kind == "log"] == ["0", "1", "2", "after"]

    def test_a_verdict_tells_the_status_and_the_last_line(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        verdict = store.commit(step(claimed.lease, "step:a", 0)).result(10)
        assert (verdict.status, verdict.cancel_requested) == (RunStatus.RUNNING, False)
        assert verdict.last_sequence == len(house.lines(claimed.run_id))

    def test_a_success_keeps_the_text_of_its_result(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        text = '{"b":1.0,"a":[12345678901234567890]}'
        verdict = store.commit(Succeeded(lease=claimed.lease, result=text)).result(10)
        assert verdict.status is RunStatus.SUCCESSFUL
        assert (house.look(claimed.run_id).result, house.look(claimed.run_id).percent) == (text, 100.0)

    def test_progress_keeps_what_is_not_said(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        store.submit(SetProgress(lease=claimed.lease, percent=10.0, label="a"))
        store.submit(SetProgress(lease=claimed.lease, percent=20.0))
        store.commit(step(claimed.lease, "step:a", 0)).result(10)
        seen = house.look(claimed.run_id)
        assert (seen.percent, seen.label) == (20.0, "a")

    def writes(self, claimed: ClaimedRun) -> dict[str, Write]:
        """One of every kind."""
        lease = claimed.lease
        return {
            "started": Started(lease=lease),
            "checkpoint": step(lease, "step:late", 9),
            "line": said(lease, "late"),
            "progress": SetProgress(lease=lease, percent=1.0),
            "success": Succeeded(lease=lease, result="1"),
            "failure": failure(claimed),
            "suspension": parked(claimed),
            "cancellation": Cancelled(lease=lease),
            "release": Released(lease=lease),
            "migration": Migrated(
                lease=lease, code_version=2, checkpoints=(), waits=(), line=Line(kind=StepKind.MIGRATED)
            ),
        }

    @pytest.mark.parametrize(
        "kind",
        [
            "started",
            "checkpoint",
            "line",
            "progress",
            "success",
            "failure",
            "suspension",
            "cancellation",
            "release",
            "migration",
        ],
    )
    def test_a_lost_lease_writes_nothing(self, house: House, kind: str) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        store.commit(step(claimed.lease, "step:a", 0)).result(10)
        house.take_over(claimed.run_id)
        before = (house.lines(claimed.run_id), vars_of(house.look(claimed.run_id)))
        with pytest.raises(LeaseLost):
            store.commit(self.writes(claimed)[kind]).result(10)
        assert (house.lines(claimed.run_id), vars_of(house.look(claimed.run_id))) == before

    def test_a_history_is_written_anew_in_its_new_order(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(step(claimed.lease, "step:a", 0))
        store.submit(step(claimed.lease, "step:b", 1))
        store.commit(parked(claimed)).result(10)
        house.answer(claimed.run_id, 1)
        second, store = self.again(house, claimed)
        before = store.history(second)
        records = (
            replace(before.checkpoints[1], path="step:c", position=0),
            replace(before.checkpoints[0], position=1),
        )
        waits = (replace(before.waits[0], path="wait:other", position=2),)
        line = Line(kind=StepKind.MIGRATED, message="led")
        store.commit(Migrated(lease=second.lease, code_version=7, checkpoints=records, waits=waits, line=line)).result(
            10
        )
        after = store.history(second)
        assert [(each.path, each.position) for each in after.checkpoints] == [("step:c", 0), ("step:a", 1)]
        assert [(each.path, each.position, each.answer) for each in after.waits] == [("wait:other", 2, "1")]
        assert house.lines(claimed.run_id)[-1] == ("migrated", "led")
        store.commit(Released(lease=second.lease)).result(10)
        third, _ = self.again(house, claimed)
        assert (second.code_version, third.code_version) == (1, 7)

    def test_a_wait_that_newer_code_does_not_ask_is_gone(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.commit(parked(claimed)).result(10)
        house.answer(claimed.run_id, 1)
        second, store = self.again(house, claimed)
        line = Line(kind=StepKind.MIGRATED)
        store.commit(Migrated(lease=second.lease, code_version=2, checkpoints=(), waits=(), line=line)).result(10)
        assert not store.history(second).waits

    def test_a_lost_lease_stays_lost_when_the_run_is_taken_by_another(self, house: House) -> None:
        claimed, store = self.claimed(house)
        house.take_over(claimed.run_id)
        second, other = self.again(house, claimed)
        assert second.lease.token > claimed.lease.token
        with pytest.raises(LeaseLost):
            store.commit(Succeeded(lease=claimed.lease, result='"zombie"')).result(10)
        other.commit(Succeeded(lease=second.lease, result='"heir"')).result(10)
        assert house.look(claimed.run_id).result == '"heir"'

    def test_handing_over_under_a_lost_lease_neither_raises_nor_writes(self, house: House) -> None:
        claimed, store = self.claimed(house)
        house.take_over(claimed.run_id)
        store.submit(said(claimed.lease, "late"))
        assert "late" not in [message for _, message in house.lines(claimed.run_id)]

    def test_nothing_is_written_after_the_outcome(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.commit(Succeeded(lease=claimed.lease, result="1")).result(10)
        with pytest.raises(LeaseLost):
            store.commit(step(claimed.lease, "step:late", 0)).result(10)

    def test_a_run_that_asks_is_woken_by_its_answer(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        verdict = store.commit(parked(claimed)).result(10)
        assert verdict.status is RunStatus.WAITING
        assert house.claim(claimed.run_id) is None
        house.answer(claimed.run_id, None)
        second, store = self.again(house, claimed)
        wait = store.history(second).waits[0]
        assert (wait.path, wait.token, wait.request, wait.answer) == ("wait:q", "t" * 32, '"?"', "null")
        assert store.history(second).inbox == second.inbox == 1
        assert second.attempts == 0

    def test_a_message_waits_for_a_run_that_has_not_begun(self, house: House) -> None:
        run_id = house.create()
        house.send(run_id, "news", {"n": 1})
        house.send(run_id, "other", None)
        house.send(run_id, "news", {"n": 2})
        claimed = house.claim(run_id)
        assert claimed is not None
        assert not claimed.is_fresh
        found = house.store_of(claimed).history(claimed)
        assert [(each.name, each.payload) for each in found.messages] == [
            ("news", '{"n":1}'),
            ("other", "null"),
            ("news", '{"n":2}'),
        ]
        assert found.inbox == 3

    def test_a_message_goes_with_the_checkpoint_that_took_it(self, house: House) -> None:
        run_id = house.create()
        house.send(run_id, "news", 1)
        house.send(run_id, "news", 2)
        claimed = house.claim(run_id)
        assert claimed is not None
        store = house.store_of(claimed)
        first = store.history(claimed).messages[0]
        verdict = store.commit(received(claimed.lease, "recv:news", first)).result(10)
        assert verdict.status in {RunStatus.CLAIMED, RunStatus.RUNNING}
        store.commit(Released(lease=claimed.lease)).result(10)
        second, store = self.again(house, claimed)
        history = store.history(second)
        assert [record.path for record in history.checkpoints] == ["recv:news"]
        assert [each.payload for each in history.messages] == ["2"]

    def test_a_lost_attempt_takes_no_message(self, house: House) -> None:
        run_id = house.create()
        house.send(run_id, "news", 1)
        claimed = house.claim(run_id)
        assert claimed is not None
        store = house.store_of(claimed)
        message = store.history(claimed).messages[0]
        house.take_over(run_id)
        with pytest.raises(LeaseLost):
            store.commit(received(claimed.lease, "recv:news", message)).result(10)
        second, store = self.again(house, claimed)
        history = store.history(second)
        assert (len(history.messages), len(history.checkpoints)) == (1, 0)

    def test_a_cancellation_waits_for_the_end_of_the_step_that_took_a_message(self, house: House) -> None:
        run_id = house.create()
        house.send(run_id, "news", 1)
        claimed = house.claim(run_id)
        assert claimed is not None
        store = house.store_of(claimed)
        message = store.history(claimed).messages[0]
        house.cancel(run_id)
        verdict = store.commit(received(claimed.lease, "recv:news", message)).result(10)
        assert verdict.cancel_requested
        assert verdict.status is not RunStatus.CANCELLED

    def test_a_run_that_waits_is_woken_by_a_message(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.commit(parked(claimed)).result(10)
        house.send(claimed.run_id, "news", 1)
        second, store = self.again(house, claimed)
        assert second.inbox == 1
        assert store.history(second).waits[0].answer is None

    def test_a_run_that_suspends_on_old_news_is_due_again_at_once(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.commit(parked(claimed)).result(10)
        house.answer(claimed.run_id, 1)
        second, store = self.again(house, claimed)
        verdict = store.commit(parked(second, waits=(), inbox=second.inbox - 1)).result(10)
        assert verdict.status is RunStatus.READY
        assert house.claim(claimed.run_id) is not None

    def test_a_sleeper_is_due_when_it_said(self, house: House) -> None:
        claimed, store = self.claimed(house)
        nap = CheckpointRecord(path="sleep:nap", kind=CheckpointKind.SLEEP, position=0)
        until = claimed.now_at + timedelta(hours=1)
        asleep = parked(claimed, parked=False, wake_at=until, reason=WakeReason.SLEEP, waits=(), checkpoints=(nap,))
        assert store.commit(asleep).result(10).status is RunStatus.READY
        seen = house.look(claimed.run_id)
        assert (seen.due_at, seen.wake_reason, seen.attempts) == (until, WakeReason.SLEEP, 0)
        assert house.claim(claimed.run_id) is None

    def test_a_failure_that_will_be_retried_forgets_what_it_is_told_to(self, house: House) -> None:
        claimed, store = self.claimed(house, max_attempts=2)
        store.submit(Started(lease=claimed.lease))
        store.commit(step(claimed.lease, "step:a%_|", 0)).result(10)
        store.commit(step(claimed.lease, "step:b", 1, failed=True)).result(10)
        try_of_b = CheckpointRecord(path="step:b!try:1", kind=CheckpointKind.TRY, position=1, failed=True)
        store.commit(SaveCheckpoint(lease=claimed.lease, checkpoint=try_of_b)).result(10)
        store.commit(step(claimed.lease, "step:bb", 2)).result(10)
        verdict = store.commit(failure(claimed, retry_at=claimed.now_at, forget=("step:b",))).result(10)
        assert verdict.status is RunStatus.READY
        second, store = self.again(house, claimed)
        assert [record.path for record in store.history(second).checkpoints] == ["step:a%_|", "step:bb"]
        assert second.attempts == 1
        assert "a.B" in second.errors

    def test_a_failure_that_will_not_be_retried_ends_the_run(self, house: House) -> None:
        claimed, store = self.claimed(house)
        assert store.commit(failure(claimed)).result(10).status is RunStatus.FAILED
        assert house.claim(claimed.run_id) is None
        assert house.look(claimed.run_id).attempts == 1

    def test_a_run_that_is_given_back_is_due_and_has_lost_no_attempt(self, house: House) -> None:
        claimed, store = self.claimed(house)
        assert store.commit(Released(lease=claimed.lease)).result(10).status is RunStatus.READY
        second, _ = self.again(house, claimed)
        assert second.attempts == 0

    def test_a_request_to_cancel_is_told_with_the_next_verdict(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        house.cancel(claimed.run_id)
        assert store.commit(step(claimed.lease, "step:a", 0)).result(10).cancel_requested
        assert store.commit(Cancelled(lease=claimed.lease)).result(10).status is RunStatus.CANCELLED

    @pytest.mark.parametrize("kind", ["failure", "suspension", "release"])
    def test_a_request_to_cancel_wins_over_everything_but_a_success(self, house: House, kind: str) -> None:
        claimed, store = self.claimed(house)
        house.cancel(claimed.run_id)
        assert store.commit(self.writes(claimed)[kind]).result(10).status is RunStatus.CANCELLED

    @pytest.mark.parametrize("kind", ["failure to be retried", "suspension", "release"])
    def test_a_run_that_is_to_be_undone_when_cancelled_is_due_for_it_at_once(self, house: House, kind: str) -> None:
        claimed, store = self.claimed(house, compensate_on_cancel=True)
        house.cancel(claimed.run_id)
        writes = {**self.writes(claimed), "failure to be retried": failure(claimed, retry_at=claimed.now_at)}
        assert store.commit(writes[kind]).result(10).status is RunStatus.READY
        second, store = self.again(house, claimed)
        assert store.commit(Started(lease=second.lease)).result(10).cancel_requested
        assert store.commit(Cancelled(lease=second.lease)).result(10).status is RunStatus.CANCELLED

    def test_a_run_that_is_being_undone_waits_however_often_it_is_cancelled(self, house: House) -> None:
        claimed, store = self.claimed(house, compensate_on_cancel=True)
        house.cancel(claimed.run_id)
        due = claimed.now_at + timedelta(hours=1)
        rest = Suspended(
            lease=claimed.lease, parked=False, wake_at=due, reason=WakeReason.STEP_RETRY, inbox=claimed.inbox,
            unwinding=True,
        )  # fmt: skip
        assert store.commit(rest).result(10).status is RunStatus.READY
        assert house.look(claimed.run_id).due_at == due

    def test_a_run_to_be_undone_that_waits_is_due_when_it_is_cancelled(self, house: House) -> None:
        claimed, store = self.claimed(house, compensate_on_cancel=True)
        store.commit(parked(claimed)).result(10)
        house.cancel(claimed.run_id)
        house.cancel(claimed.run_id)
        assert house.look(claimed.run_id).status is RunStatus.READY
        second, store = self.again(house, claimed)
        assert store.commit(Started(lease=second.lease)).result(10).cancel_requested

    def test_a_run_to_be_undone_that_never_began_is_cancelled_at_once(self, house: House) -> None:
        run_id = house.create(compensate_on_cancel=True)
        house.cancel(run_id)
        assert house.look(run_id).status is RunStatus.CANCELLED

    def test_a_success_wins_over_a_request_to_cancel(self, house: House) -> None:
        claimed, store = self.claimed(house)
        house.cancel(claimed.run_id)
        assert store.commit(Succeeded(lease=claimed.lease, result="1")).result(10).status is RunStatus.SUCCESSFUL

    def test_an_atomic_step_leaves_its_facts_after_what_was_handed_over_before(self, house: House) -> None:
        claimed, store = self.claimed(house)
        store.submit(Started(lease=claimed.lease))
        store.submit(said(claimed.lease, "before"))
        value = store.atomic(claimed, lambda: (7, [said(claimed.lease, "inside"), step(claimed.lease, "step:book", 0)]))
        assert value == 7
        assert [message for _, message in house.lines(claimed.run_id)][-3:] == ["before", "inside", "step:book"]

    def test_an_atomic_step_that_raises_leaves_no_facts(self, house: House) -> None:
        claimed, store = self.claimed(house)

        def perform() -> Any:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            store.atomic(claimed, perform)
        store.commit(Released(lease=claimed.lease)).result(10)
        assert not store.history(claimed).checkpoints

    def test_an_atomic_step_whose_lease_is_lost_meanwhile_leaves_nothing(self, house: House) -> None:
        claimed, store = self.claimed(house)
        house.take_over(claimed.run_id)
        with pytest.raises(LeaseLost):
            store.atomic(claimed, lambda: (1, [step(claimed.lease, "step:book", 0)]))
        second, store = self.again(house, claimed)
        assert not store.history(second).checkpoints


def vars_of(seen: Seen) -> tuple[Any, ...]:
    """The values that must not change."""
    return (
        seen.status, seen.wake_reason, seen.attempts, seen.result, seen.percent, seen.label, seen.due_at, seen.inbox,
    )  # fmt: skip
