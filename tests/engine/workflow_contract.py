"""What every RunStore must do for class workflows. Subclass WorkflowStoreContract; see runstore_contract."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

import pytest

from django_tasks_durable.exceptions import LeaseLost, StateMoved
from django_tasks_durable.primitives.status import RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Append,
    Cancelled,
    CheckpointRecord,
    ClaimedRun,
    Line,
    Released,
    RunStore,
    SaveCheckpoint,
    SaveState,
    Stage,
    Started,
    StateRecord,
    Succeeded,
)

from .runstore_contract import House, failure, parked, step


class WorkflowHouse(House, Protocol):
    """A house whose runs' states can be changed from outside."""

    def command(self, run_id: UUID, state: str) -> None:
        """Change the state under the lock of the run."""


def entering(claimed: ClaimedRun, name: str, visit: int, state: str | None, **more: Any) -> SaveState:
    """Make the fact that a workflow enters a step."""
    line = Line(kind=StepKind.TRANSITION, message=name)
    return SaveState(lease=claimed.lease, state=standing(claimed, name, visit, state), line=line, **more)


def standing(claimed: ClaimedRun, name: str, visit: int, state: str | None) -> StateRecord:
    """Make the record of where a workflow stands."""
    return StateRecord(state=state, step=name, visit=visit, expected=claimed.stage.version)


class WorkflowStoreContract:
    """The tests that every store passes."""

    def begun(self, house: WorkflowHouse) -> tuple[ClaimedRun, RunStore]:
        """Claim a workflow that is in its first visit, in a later slice."""
        claimed = house.claim(house.create())
        assert claimed is not None
        assert claimed.stage == Stage()
        store = house.store_of(claimed)
        store.submit(Started(lease=claimed.lease))
        store.submit(entering(claimed, "a", 1, '{"n":1}'))
        store.commit(Released(lease=claimed.lease)).result(10)
        return self.again(house, claimed)

    def again(self, house: WorkflowHouse, claimed: ClaimedRun) -> tuple[ClaimedRun, RunStore]:
        """Claim a run once more."""
        second = house.claim(claimed.run_id)
        assert second is not None
        return second, house.store_of(second)

    def test_where_a_workflow_stands_comes_back_with_the_claim(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        assert claimed.stage == Stage(state='{"n":1}', step="a", visit=1, sequence=4, version=0)
        store.commit(entering(claimed, "b", 2, '{"n":2}')).result(10)
        store.commit(entering(claimed, "c", 3, None)).result(10)
        store.commit(Released(lease=claimed.lease)).result(10)
        second, _ = self.again(house, claimed)
        kinds = [kind for kind, _ in house.lines(claimed.run_id)]
        last = len(kinds) - kinds[::-1].index("transition")
        assert second.stage == Stage(state='{"n":2}', step="c", visit=3, sequence=last, version=0)

    def test_the_state_rides_with_whatever_else_is_stored(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        record = CheckpointRecord(path="1:a/step:x", kind=step(claimed.lease, "x", 0).checkpoint.kind, position=0)
        kept = SaveCheckpoint(lease=claimed.lease, checkpoint=record, state=standing(claimed, "a", 1, '{"n":2}'))
        store.commit(kept).result(10)
        store.commit(parked(claimed, waits=(), state=standing(claimed, "a", 1, '{"n":3}'))).result(10)
        house.command(claimed.run_id, '{"n":4}')
        # A command does not wake who waits for something else.
        assert house.claim(claimed.run_id) is None
        assert house.look(claimed.run_id).inbox == 1

    def test_a_success_and_a_failure_keep_the_state(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        failed = failure(claimed, retry_at=claimed.now_at, state=standing(claimed, "a", 1, '{"n":5}'))
        store.commit(failed).result(10)
        second, store = self.again(house, claimed)
        assert second.stage.state == '{"n":5}'
        done = Succeeded(lease=second.lease, result="1", state=standing(second, "a", 1, None))
        assert store.commit(done).result(10).status is RunStatus.SUCCESSFUL

    @pytest.mark.parametrize("kind", ["move", "checkpoint"])
    def test_what_was_made_of_an_old_state_is_not_written_and_the_run_is_given_back(
        self, house: WorkflowHouse, kind: str
    ) -> None:
        claimed, store = self.begun(house)
        store.submit(Append(lease=claimed.lease, line=Line(kind=StepKind.LOG, message="lost")))
        house.command(claimed.run_id, '{"n":9}')
        kept = step(claimed.lease, "1:a/step:x", 0)
        write: Any = (
            entering(claimed, "b", 2, '{"n":2}')
            if kind == "move"
            else SaveCheckpoint(
                lease=claimed.lease,
                checkpoint=kept.checkpoint,
                line=kept.line,
                state=standing(claimed, "a", 1, '{"n":2}'),
            )
        )
        with pytest.raises(StateMoved):
            store.commit(write).result(10)
        seen = house.look(claimed.run_id)
        assert (seen.status, seen.wake_reason, seen.attempts) == (RunStatus.READY, WakeReason.MESSAGE, 0)
        assert house.lines(claimed.run_id)[-1] == ("released", "A command changed the state")
        with pytest.raises(LeaseLost):
            store.commit(Succeeded(lease=claimed.lease, result="1")).result(10)
        second, store = self.again(house, claimed)
        assert (second.stage.state, second.stage.visit, second.stage.version) == ('{"n":9}', 1, 1)
        assert not store.history(second).checkpoints

    @pytest.mark.parametrize("kind", ["success", "suspension"])
    def test_an_attempt_that_ends_on_an_old_state_hears_that_the_run_is_due_again(
        self, house: WorkflowHouse, kind: str
    ) -> None:
        claimed, store = self.begun(house)
        house.command(claimed.run_id, '{"n":9}')
        old = standing(claimed, "a", 1, '{"n":2}')
        ends: dict[str, Any] = {
            "success": Succeeded(lease=claimed.lease, result="1", state=old),
            "suspension": parked(claimed, state=old),
        }
        assert store.commit(ends[kind]).result(10).status is RunStatus.READY
        assert (house.look(claimed.run_id).result, house.look(claimed.run_id).attempts) == (None, 0)
        second, store = self.again(house, claimed)
        assert second.stage.state == '{"n":9}'
        assert not store.history(second).waits

    def test_a_failure_on_an_old_state_stays_one_and_the_command_is_kept(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.command(claimed.run_id, '{"n":9}')
        failed = failure(claimed, retry_at=claimed.now_at, state=standing(claimed, "a", 1, '{"n":2}'))
        assert store.commit(failed).result(10).status is RunStatus.READY
        second, _ = self.again(house, claimed)
        assert (second.attempts, second.stage.state) == (1, '{"n":9}')

    def test_what_changes_no_state_is_written_whatever_a_command_did(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.command(claimed.run_id, '{"n":9}')
        store.commit(step(claimed.lease, "1:a/step:x", 0)).result(10)
        store.commit(Released(lease=claimed.lease)).result(10)
        second, store = self.again(house, claimed)
        assert [record.path for record in store.history(second).checkpoints] == ["1:a/step:x"]

    def test_a_request_to_cancel_wins_over_giving_back(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.command(claimed.run_id, '{"n":9}')
        house.cancel(claimed.run_id)
        done = Succeeded(lease=claimed.lease, result="1", state=standing(claimed, "a", 1, '{"n":2}'))
        assert store.commit(done).result(10).status is RunStatus.CANCELLED

    def test_a_success_that_keeps_the_state_wins_over_a_request_to_cancel(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.cancel(claimed.run_id)
        assert store.commit(entering(claimed, "b", 2, None)).result(10).cancel_requested
        done = Succeeded(lease=claimed.lease, result="1", state=standing(claimed, "b", 2, None))
        assert store.commit(done).result(10).status is RunStatus.SUCCESSFUL

    def test_a_cancellation_needs_no_new_state(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.command(claimed.run_id, '{"n":9}')
        assert store.commit(Cancelled(lease=claimed.lease)).result(10).status is RunStatus.CANCELLED

    def test_an_atomic_step_on_an_old_state_is_rolled_back_and_the_run_given_back(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.command(claimed.run_id, '{"n":9}')
        kept = step(claimed.lease, "1:a/step:book", 0).checkpoint
        old = standing(claimed, "a", 1, '{"n":2}')
        with pytest.raises(StateMoved):
            store.atomic(claimed, lambda: (1, [SaveCheckpoint(lease=claimed.lease, checkpoint=kept, state=old)]))
        assert house.look(claimed.run_id).status is RunStatus.READY
        second, store = self.again(house, claimed)
        assert second.stage.state == '{"n":9}'
        assert not store.history(second).checkpoints

    def test_a_history_is_that_of_the_visit_under_way(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        for visit, name in ((2, "b"), (22, "b"), (222, "bb")):
            store.commit(entering(claimed, name, visit, None)).result(10)
            store.submit(
                Append(lease=claimed.lease, line=Line(kind=StepKind.PARTIAL, path=f"{visit}:{name}", data="1"))
            )
            store.commit(step(claimed.lease, f"{visit}:{name}/step:x", 0)).result(10)
            store.commit(step(claimed.lease, f"{visit}:{name}/call:y/step:x", 0)).result(10)
        store.commit(entering(claimed, "b", 22, None)).result(10)
        store.commit(parked(claimed)).result(10)
        house.answer(claimed.run_id, 1)
        second, store = self.again(house, claimed)
        history = store.history(second)
        assert [record.path for record in history.checkpoints] == ["22:b/step:x", "22:b/call:y/step:x"]
        assert (list(history.waits), dict(history.partials)) == ([], {})

    def test_the_open_questions_of_a_visit_that_is_left_go_with_it(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        store.commit(parked(claimed, parked=False, wake_at=claimed.now_at)).result(10)
        second, store = self.again(house, claimed)
        store.commit(entering(second, "b", 2, None, abandon=("wait:q",))).result(10)
        store.commit(parked(second, waits=())).result(10)
        with pytest.raises(Exception, match="wait"):
            house.answer(claimed.run_id, 1)

    def test_a_lost_lease_moves_nothing(self, house: WorkflowHouse) -> None:
        claimed, store = self.begun(house)
        house.take_over(claimed.run_id)
        before = house.lines(claimed.run_id)
        with pytest.raises(LeaseLost):
            store.commit(entering(claimed, "b", 2, '{"n":2}')).result(10)
        assert house.lines(claimed.run_id) == before
        second, _ = self.again(house, claimed)
        assert (second.stage.step, second.stage.state) == ("a", '{"n":1}')
