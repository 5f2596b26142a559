"""Two snapshots of one run become one."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from django_tasks_durable.engine.portable import export_snapshot, merge_snapshots, restore, validate_snapshot
from django_tasks_durable.exceptions import SnapshotFormat, SnapshotMismatch
from tests.engine.laboratory import Bench, local


def snapshot(steps: dict[str, Any], at: str, **more: Any) -> dict[str, Any]:
    """Make a WorkflowSnapshot."""
    results = {key: {"ok": True, "value": value} for key, value in steps.items()}
    execution = {"status": "running", "lastUpdated": f"2026-01-01T00:00:0{at}Z"}
    return {"formatVersion": 1, "steps": results, "execution": execution, **more}


def warning(step: str) -> dict[str, str]:
    """Make a warning."""
    return {"type": "lossy_value", "stepId": step, "path": "value", "reason": "non-json"}


BASE = snapshot(
    {"a": 1, "b": 2}, "1", metadata={"kept": 1, "nested": {"x": 1, "y": 2}}, warnings=[warning("a"), warning("b")]
)
DELTA = snapshot({"b": 3, "c": None}, "2", metadata={"nested": {"x": 9}, "new": 2}, warnings=[warning("c")])


@pytest.mark.seed("AW-10")
def test_steps_of_the_delta_stand_and_those_of_the_base_stay() -> None:
    merged = merge_snapshots(BASE, DELTA)
    assert {key: result["value"] for key, result in merged["steps"].items()} == {"a": 1, "b": 3, "c": None}
    assert list(merged["steps"]) == ["a", "b", "c"]
    assert validate_snapshot(merged).valid


@pytest.mark.seed("AW-10")
def test_the_execution_is_the_deltas() -> None:
    base = {**BASE, "execution": {**BASE["execution"], "currentStepId": "b"}}
    assert merge_snapshots(base, DELTA)["execution"] == DELTA["execution"]


@pytest.mark.seed("AW-10")
def test_metadata_is_merged_by_its_outermost_keys_only() -> None:
    assert merge_snapshots(BASE, DELTA)["metadata"] == {"kept": 1, "nested": {"x": 9}, "new": 2}


@pytest.mark.seed("AW-10")
def test_a_warning_goes_with_the_step_that_was_written_again() -> None:
    assert [each["stepId"] for each in merge_snapshots(BASE, DELTA)["warnings"]] == ["a", "c"]
    clean = snapshot({"a": 1, "b": 2}, "3")
    assert "warnings" not in merge_snapshots(BASE, clean)


@pytest.mark.seed("AW-10")
def test_merging_changes_neither_and_shares_nothing() -> None:
    base, delta = deepcopy(BASE), deepcopy(DELTA)
    merged = merge_snapshots(base, delta)
    merged["metadata"]["nested"]["x"] = merged["steps"]["a"]["value"] = merged["execution"]["status"] = "changed"
    assert (base, delta) == (BASE, DELTA)


@pytest.mark.seed("AW-10")
def test_what_neither_has_is_not_there() -> None:
    assert set(merge_snapshots(snapshot({}, "1"), snapshot({}, "2"))) == {"formatVersion", "steps", "execution"}


@pytest.mark.seed("AW-10")
def test_two_exports_of_one_run_are_the_later_one_with_all_steps() -> None:
    @local
    def body(context: Any) -> Any:
        first = context.step("first", lambda: 1)
        answer = context.interrupt("?")
        return [first, answer, context.step("last", lambda: 3)]

    bench = Bench(body)
    bench.slice()
    before = export_snapshot(bench.run_id, store=bench.store, with_tokens=True)
    bench.answer("yes").slice()
    after = export_snapshot(bench.run_id, store=bench.store, with_tokens=True)
    merged = merge_snapshots(json.dumps(before), json.dumps(after))
    assert merged["steps"] == after["steps"]
    assert restore(merged).run == restore(after).run
    del after["steps"]["step:first"]
    after["durable"]["order"].remove("step:first")
    assert list(restore(merge_snapshots(before, after)).snapshot.steps) == ["step:first", "wait:interrupt", "step:last"]


@pytest.mark.seed("AW-10", "AW-11")
def test_snapshots_of_two_workflows_are_not_merged() -> None:
    with pytest.raises(SnapshotMismatch) as caught:
        merge_snapshots({**BASE, "workflowName": "one"}, {**DELTA, "workflowName": "two"})
    assert caught.value.what == "task"
    assert merge_snapshots({**BASE, "workflowName": "one"}, DELTA)["workflowName"] == "one"


def test_what_is_no_snapshot_is_not_merged() -> None:
    for wrong in ({}, {"kind": "ResumeState", "steps": []}):
        with pytest.raises(SnapshotFormat):
            merge_snapshots(BASE, wrong)
