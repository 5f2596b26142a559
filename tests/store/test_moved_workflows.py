"""A class workflow that moves to another store has its state, its step and its place there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from django_tasks_durable import DatabaseStore, MemoryStore, Workflow, transition, validate_snapshot
from django_tasks_durable.exceptions import SnapshotFormat
from tests.pulses import settled  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
done: list[str] = []


class Parcel(Workflow):
    """Packs, tells of it twice in each step, and asks in the second."""

    @dataclass
    class State:
        """What is in it."""

        items: list[str] = field(default_factory=list)

    state: State

    @transition(to=["send"], start=True)
    def pack(self) -> Iterator[Any]:
        """Pack."""
        yield "packing"
        self.state.items.append(self.step("pen", lambda: done.append("pen") or "pen"))
        yield "packed"
        return self.send

    @transition(to=[None])
    def send(self) -> Iterator[Any]:
        """Send."""
        yield "sending"
        self.state.items.append(self.step("stamp", lambda: done.append("stamp") or "stamp"))
        yield f"to {self.interrupt('where?')}"


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest) -> Any:
    """Where it moves to."""
    return MemoryStore() if request.param == "memory" else DatabaseStore()


@pytest.mark.seed("TW-3")
@pytest.mark.parametrize("origin", [MemoryStore, DatabaseStore])
def test_a_workflow_goes_on_from_its_step_with_its_state(origin: Any, store: Any) -> None:
    done.clear()
    here = origin()
    outcome, snapshot = Parcel.task.invoke_with_state(run_id="first", store=here)
    assert outcome.interrupt == "where?"
    assert snapshot is not None
    assert snapshot["durable"]["workflow"] == {
        "state": snapshot["durable"]["workflow"]["state"],
        "step": "send",
        "visit": 2,
        "version": 0,
        "partials_before": 2,
    }
    (item,) = Parcel.stream(run_id="second", store=store, snapshot=snapshot)
    assert item.interrupt == "where?"
    told = Parcel.resume("second", "Rome", store=store)
    assert [each.partial for each in told] == ["to Rome"]
    assert done == ["pen", "stamp"]
    _, end = Parcel.task.invoke_with_state(run_id="third", store=store, snapshot=snapshot)
    assert end is not None
    assert "stamp" in str(end["durable"]["workflow"]["state"])


def test_a_place_that_is_none_is_refused_with_each_reason() -> None:
    _, snapshot = Parcel.task.invoke_with_state()
    assert snapshot is not None
    snapshot["durable"]["workflow"] = {"step": "", "visit": 0, "version": -1}
    errors = validate_snapshot(snapshot).errors
    assert [error.split(":")[0].rpartition(".")[2] for error in errors] == [
        "state",
        "step",
        "visit",
        "version",
        "partials_before",
    ]
    with pytest.raises(SnapshotFormat):
        Parcel.invoke(snapshot=snapshot)
