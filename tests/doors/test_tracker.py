"""The Python tracker, by the same vectors as the one in JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from django_tasks_durable.live.tracker import Tracker

VECTORS = json.loads((Path(__file__).parent / "golden" / "tracker.json").read_text())


@pytest.mark.seed("TR-31")
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_tracker_holds_what_the_wire_told(vector: dict[str, Any]) -> None:
    heard: list[Tracker] = []
    tracker = Tracker(on_change=heard.append)
    assert [tracker.apply(frame) for frame in vector["frames"]] == vector["changes"]
    assert len(heard) == sum(vector["changes"])

    wanted = vector["expect"]
    tasks = {task["id"]: task for task in tracker.tasks}
    assert list(tasks) == wanted["order"]
    found = {task_id: [step["sequence"] for step in tracker.steps(task_id)] for task_id in tasks}
    assert found == wanted["sequences"]
    assert tracker.positions == wanted["positions"]
    assert {task_id: task["version"] for task_id, task in tasks.items()} == wanted["versions"]
    assert (tracker.needs_resync, tracker.aggregate) == (wanted["needs_resync"], wanted["aggregate"])
    assert {i: tasks[i]["state"] for i in wanted.get("states", {})} == wanted.get("states", {})
    assert {i: tasks[i]["progress"]["percent"] for i in wanted.get("percents", {})} == wanted.get("percents", {})
    assert {i: tasks[i]["args"] for i in wanted.get("args", {})} == wanted.get("args", {})


def test_a_batch_is_its_frames_for_one_subscription() -> None:
    tracker = Tracker("mine")
    lines = [{"type": "step", "task_id": "a", "step": {"sequence": number}} for number in (1, 2)]
    assert tracker.apply({"type": "batch", "id": "mine", "frames": lines})
    assert not tracker.apply({"type": "batch", "id": "mine", "frames": lines})
    assert not tracker.apply({"type": "batch", "id": "another", "frames": lines})
    assert tracker.positions == {"a": 2}
