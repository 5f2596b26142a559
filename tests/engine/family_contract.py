"""What every store must do for parents and children. Subclass FamilyContract beside RunStoreContract, with the same house."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    Append,
    Awaited,
    CheckpointRecord,
    ChildRun,
    ClaimedRun,
    Line,
    RunStore,
    SaveCheckpoint,
    Spawn,
    Started,
    Succeeded,
    Suspended,
)

from .runstore_contract import House, failure


class FamilyHouse(House, Protocol):
    """A house in which somebody does for parents and children what a worker does after a commit."""

    child_path: str

    def tend(self) -> None:
        """Wake parents that have news, end children of parents that were given up."""


def birth(house: FamilyHouse, claimed: ClaimedRun, key: str = "a", **more: Any) -> Spawn:
    """Make the fact of a child."""
    run_id, path = new_id(), f"spawn:{key}"
    values: dict[str, Any] = {
        "outlives_parent": False, "task_path": house.child_path, "backend": "default", "queue_name": "default", "priority": 0,
        "run_after": None, "args": "[1,2]", "kwargs": "{}", "options": "{}", "metadata": "{}", "max_attempts": 1,
        "max_deliveries": 3,
    }  # fmt: skip
    return Spawn(
        lease=claimed.lease,
        checkpoint=CheckpointRecord(
            path=path, kind=CheckpointKind.SPAWN, position=ord(key) - 97, value=json.dumps(str(run_id))
        ),
        child=ChildRun(run_id=run_id, path=path, **{**values, **more}),
        line=Line(kind=StepKind.STEP, path=path),
    )


def waiting(claimed: ClaimedRun, *ids: UUID, after: int | None = None, **more: Any) -> Suspended:
    """Make the suspension that waits for children."""
    values: dict[str, Any] = {
        "parked": True, "wake_at": None, "reason": WakeReason.NONE, "inbox": claimed.inbox,
        "awaited": (Awaited(children=ids, after=after),),
    }  # fmt: skip
    return Suspended(lease=claimed.lease, **{**values, **more})


class FamilyContract:
    """The tests of parents and children that every store passes."""

    def parent(self, house: FamilyHouse) -> tuple[ClaimedRun, RunStore]:
        """Create a run that has begun."""
        claimed = house.claim(house.create())
        assert claimed is not None
        store = house.store_of(claimed)
        store.submit(Started(lease=claimed.lease))
        return claimed, store

    def born(self, house: FamilyHouse, claimed: ClaimedRun, store: RunStore, key: str = "a", **more: Any) -> UUID:
        """Give a parent a child."""
        write = birth(house, claimed, key, **more)
        store.commit(write).result(10)
        return write.child.run_id

    def begun(self, house: FamilyHouse, run_id: UUID) -> tuple[ClaimedRun, RunStore]:
        """Claim a child."""
        claimed = house.claim(run_id)
        assert claimed is not None
        store = house.store_of(claimed)
        store.commit(Started(lease=claimed.lease)).result(10)
        return claimed, store

    def test_a_child_is_born_with_the_checkpoint_that_tells_its_id(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        child_id = self.born(house, claimed, store)
        assert store.history(claimed).checkpoints[0].value == json.dumps(str(child_id))
        child, _ = self.begun(house, child_id)
        assert (child.parent_id, child.args, child.is_fresh) == (claimed.run_id, "[1,2]", True)
        assert house.lines(child_id)[0][0] == "enqueued"

    def test_no_child_is_born_of_a_lost_lease(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        house.take_over(claimed.run_id)
        write = birth(house, claimed)
        with pytest.raises(LeaseLost):
            store.commit(write).result(10)
        with pytest.raises(Exception):  # noqa: B017 - each store says in its own way that there is no such run
            house.look(write.child.run_id)

    def test_a_parent_waits_for_all_that_it_joins(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        ids = [self.born(house, claimed, store, key) for key in "ab"]
        assert store.commit(waiting(claimed, *ids)).result(10).status is RunStatus.WAITING
        for child_id in ids:
            house.tend()
            assert house.look(claimed.run_id).status is RunStatus.WAITING
            child, own = self.begun(house, child_id)
            own.commit(Succeeded(lease=child.lease, result='"done"')).result(10)
        house.tend()
        seen = house.look(claimed.run_id)
        assert (seen.status, seen.wake_reason) == (RunStatus.READY, WakeReason.CHILD)

    def test_a_child_that_ended_after_the_look_refuses_the_suspension(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        child, own = self.begun(house, self.born(house, claimed, store))
        own.commit(Succeeded(lease=child.lease, result="1")).result(10)
        house.tend()
        assert store.commit(waiting(claimed, child.run_id)).result(10).status is RunStatus.READY

    def test_a_partial_after_the_look_refuses_the_suspension_of_a_stream(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        child, own = self.begun(house, self.born(house, claimed, store))
        own.submit(Append(lease=child.lease, line=Line(kind=StepKind.PARTIAL, data="7")))
        own.commit(Append(lease=child.lease, line=Line(kind=StepKind.LOG, message="no partial"))).result(10)
        house.tend()
        sequence = 1 + [kind for kind, _ in house.lines(child.run_id)].index("partial")
        assert store.commit(waiting(claimed, child.run_id, after=sequence - 1)).result(10).status is RunStatus.READY
        again, store = self.begun(house, claimed.run_id)
        assert store.commit(waiting(again, child.run_id, after=sequence)).result(10).status is RunStatus.WAITING

    def test_a_history_tells_how_children_stand_until_they_are_joined(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        ids = [self.born(house, claimed, store, key) for key in "abcd"]
        store.commit(waiting(claimed, *ids)).result(10)
        child, own = self.begun(house, ids[0])
        own.commit(Succeeded(lease=child.lease, result='{"b":1.0}')).result(10)
        child, own = self.begun(house, ids[1])
        own.commit(failure(child)).result(10)
        house.cancel(ids[2])
        told = store.history(claimed).children
        assert [told[run_id].status for run_id in ids] == [
            RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.READY,
        ]  # fmt: skip
        assert told[ids[0]].result == '{"b":1.0}'
        assert (told[ids[1]].exception_class_path, told[ids[1]].message) == ("a.B", "m")

    def test_a_history_tells_what_a_stream_has_not_seen(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        child_id = self.born(house, claimed, store)
        child, own = self.begun(house, child_id)
        for number in range(3):
            own.submit(Append(lease=child.lease, line=Line(kind=StepKind.PARTIAL, data=str(number))))
        own.commit(Succeeded(lease=child.lease, result="1")).result(10)
        first = 1 + [kind for kind, _ in house.lines(child_id)].index("partial")
        place = {"after": first, "told": 0, "position": 2, "ended": False}
        record = CheckpointRecord(
            path="stream:a", kind=CheckpointKind.STREAM, position=1, fingerprint=child_id.hex, value=json.dumps(place)
        )
        store.commit(SaveCheckpoint(lease=claimed.lease, checkpoint=record)).result(10)
        streamed = store.history(claimed).streamed["stream:a"]
        assert [(sequence, data) for sequence, data in streamed] == [(first + 1, "1"), (first + 2, "2")]

    def test_children_end_with_a_parent_that_is_given_up_and_only_then(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        ids = [
            self.born(house, claimed, store, "a"),
            self.born(house, claimed, store, "b", outlives_parent=True),
        ]
        retry_at = claimed.now_at - timedelta(seconds=1)
        store.commit(failure(claimed, retry_at=retry_at)).result(10)
        house.tend()
        assert {house.look(run_id).status for run_id in ids} == {RunStatus.READY}
        again, store = self.begun(house, claimed.run_id)
        store.commit(failure(again)).result(10)
        house.tend()
        # Whoever holds it is asked to stop; nobody does here, unless the house claimed all that was due.
        own = house.look(ids[0])
        assert own.status in (RunStatus.CANCELLED, RunStatus.CLAIMED)
        assert "cancelled" in dict(house.lines(ids[0])) or "cancel_requested" in dict(house.lines(ids[0]))
        assert len(house.lines(ids[1])) == 1

    def test_what_a_suspension_forgets_is_replaced(self, house: FamilyHouse) -> None:
        claimed, store = self.parent(house)
        for number in range(3):
            path = f"poll:a!poll:{number}"
            record = CheckpointRecord(path=path, kind=CheckpointKind.POLL, position=0, value="{}")
            forget = (f"poll:a!poll:{number - 1}",) if number else ()
            ending = Suspended(
                lease=claimed.lease, parked=False, wake_at=claimed.now_at, reason=WakeReason.POLL, inbox=claimed.inbox,
                checkpoints=(record,), forget=forget,
            )  # fmt: skip
            store.commit(ending).result(10)
            claimed, store = self.begun(house, claimed.run_id)
            assert [each.path for each in store.history(claimed).checkpoints] == [path]
