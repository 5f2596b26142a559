"""Snapshots of awaitly's become runs of ours: by their steps, in either of its two shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_tasks_durable.engine.portable import (
    Shape,
    arestore,
    assert_valid_snapshot,
    export_snapshot,
    looks_like_snapshot,
    restore,
    resume_state_of,
    shape_of,
    snapshot_of,
    validate_snapshot,
)
from django_tasks_durable.exceptions import SnapshotFormat, SnapshotMismatch, StepFailed
from django_tasks_durable.primitives.writes import Failed, Succeeded
from django_tasks_durable.store.memory import MemoryStore
from tests.engine.laboratory import Bench, local

OK = {"ok": True, "value": {"id": 7, "name": None}}
CAUSE = {
    "type": "error",
    "name": "TypeError",
    "message": "not a number",
    "stack": "TypeError: not a number\n    at charge (checkout.ts:3)",
    "cause": {"type": "error", "name": "RangeError", "message": "out of range"},
}
THROWN = {"ok": False, "error": {"code": 13}, "cause": CAUSE, "meta": {"origin": "throw"}}
RETURNED = {
    "ok": False,
    "error": "NOT_FOUND",
    "cause": {"type": "thrown", "originalType": "undefined", "stringRepresentation": "undefined"},
    "meta": {"origin": "result"},
}


def resume_state(*pairs: tuple[str, Any]) -> dict[str, Any]:
    """Make a ResumeState as awaitly stores it."""
    return {"kind": "ResumeState", "steps": [list(pair) for pair in pairs]}


def workflow(*pairs: tuple[str, Any], status: str = "running", **more: Any) -> dict[str, Any]:
    """Make a WorkflowSnapshot as awaitly stores it."""
    execution = {"status": status, "lastUpdated": "2026-01-02T03:04:05.678Z"}
    return {"formatVersion": 1, "steps": dict(pairs), "execution": execution, **more}


@pytest.fixture
def deeds() -> list[str]:
    """What the task really did."""
    return []


@pytest.fixture
def checkout(deeds: list[str]) -> Any:
    """A task whose steps have the keys of a workflow that awaitly began."""

    def do(name: str) -> str:
        deeds.append(name)
        return name

    @local
    def body(context: Any, order: Any = None) -> Any:
        user = context.step("user", do, "user")
        context.step("new", do, "new")
        try:
            paid = context.step("charge", do, "charge")
        except StepFailed as error:
            paid = [error.exception_class_path, str(error), repr(error.__cause__)]
        return [order, user, paid]

    return body


def driven(checkout: Any, source: Any, **options: Any) -> Bench:
    """Restore a snapshot and drive the run to the end of its slice."""
    bench = Bench(checkout)
    bench.store = MemoryStore()
    bench.run_id = restore(source, checkout, **options).into_memory(bench.store)
    bench.slice()
    return bench


@pytest.mark.seed("AW-7", "AW-12", "AW-P3")
@pytest.mark.parametrize("make", [resume_state, workflow])
def test_each_shape_is_recognized_and_its_steps_are_not_done_again(checkout: Any, deeds: list[str], make: Any) -> None:
    bench = driven(checkout, json.dumps(make(("user", OK), ("charge", {"ok": True, "value": None}))), args=[3])
    assert bench.result == [3, {"id": 7, "name": None}, None]
    assert deeds == ["new"]


@pytest.mark.seed("AW-7", "AW-12")
def test_each_shape_is_told_from_the_others(checkout: Any) -> None:
    assert shape_of(resume_state(("a", OK))) is Shape.RESUME_STATE
    assert shape_of(workflow(("a", OK))) is Shape.WORKFLOW
    bench = Bench(checkout)
    assert shape_of(export_snapshot(bench.run_id, store=bench.store)) is Shape.RUN
    assert [shape_of(each) for each in (None, [], {}, {"steps": {}}, "text")] == [None] * 5


@pytest.mark.seed("AW-7")
def test_a_resume_state_goes_round_in_its_order() -> None:
    state = resume_state(("z", OK), ("a", THROWN), ("m", RETURNED))
    assert resume_state_of(json.dumps(state)) == state


@pytest.mark.seed("AW-3")
def test_steps_that_were_stored_as_an_object_by_mistake_are_taken_and_said(checkout: Any, deeds: list[str]) -> None:
    state = {"kind": "ResumeState", "steps": {"user": {"result": OK}, "charge": OK}}
    assert restore(state, checkout).remarks == (
        "$.steps: is an object, not a list of pairs: its order is taken as it stands",
    )
    assert driven(checkout, state).result == [None, OK["value"], OK["value"]]
    bare = {"steps": {"user": {"result": OK, "meta": {}}}}
    assert assert_valid_snapshot(bare).shape is Shape.RESUME_STATE
    assert assert_valid_snapshot(bare).steps["user"] == OK["value"]


@pytest.mark.seed("AW-3")
async def test_the_snapshot_may_come_from_a_function_which_is_asked_for_each_run(checkout: Any) -> None:
    asked: list[int] = []

    def source() -> str:
        asked.append(1)
        return json.dumps(resume_state(("user", OK)))

    async def slow() -> dict[str, Any]:
        asked.append(2)
        return resume_state(("user", OK))

    assert restore(source, checkout).history == (await arestore(slow, checkout)).history
    assert (await arestore(source, checkout)).history == restore(source, checkout).history
    assert asked == [1, 2, 1, 1]
    with pytest.raises(TypeError, match="arestore"):
        restore(slow, checkout)


@pytest.mark.seed("AW-6")
def test_a_failure_that_was_gone_on_from_is_raised_again_with_its_name_and_causes(
    checkout: Any, deeds: list[str]
) -> None:
    bench = driven(checkout, workflow(("charge", THROWN), ("user", OK)))
    assert bench.result[2] == ["TypeError", "not a number", "StepFailed('out of range')"]
    assert deeds == ["new"]


@pytest.mark.seed("AW-6")
@pytest.mark.parametrize("failure", [THROWN, RETURNED])
def test_error_cause_and_origin_stay_as_they_were_on_the_way_through_a_run(checkout: Any, failure: Any) -> None:
    store = MemoryStore()
    run_id = restore(workflow(("charge", failure), ("user", OK)), checkout).into_memory(store)
    told = export_snapshot(run_id, store=store)["steps"]["step:charge"]
    assert {name: told[name] for name in failure} == failure


@pytest.mark.seed("AW-6")
def test_an_error_that_a_step_returned_says_what_it_returned(checkout: Any) -> None:
    bench = driven(checkout, workflow(("charge", RETURNED), ("user", OK)))
    assert bench.result[2] == ["undefined", "NOT_FOUND", "None"]


@pytest.mark.seed("AW-5", "AW-12")
@pytest.mark.parametrize("make", [resume_state, workflow])
def test_a_failure_that_ended_the_run_is_tried_again(checkout: Any, deeds: list[str], make: Any) -> None:
    bench = driven(checkout, make(("user", OK), ("charge", THROWN)))
    assert bench.result[2] == "charge"
    assert deeds == ["new", "charge"]


def test_what_only_waited_for_somebody_is_asked_anew(checkout: Any, deeds: list[str]) -> None:
    pending = {**RETURNED, "error": {"type": "PENDING_APPROVAL", "stepKey": "charge"}}
    bench = driven(checkout, workflow(("charge", pending), ("user", OK)))
    assert bench.result[2] == "charge"


def test_a_failure_nobody_catches_fails_the_attempt_and_is_forgotten_by_the_next(deeds: list[str]) -> None:
    @local(max_attempts=2)
    def body(context: Any) -> Any:
        return context.step("charge", lambda: deeds.append("charge"))

    store, bench = MemoryStore(), Bench(body)
    bench.run_id = restore(workflow(("charge", THROWN), ("other", OK)), body).into_memory(store)
    bench.store = store
    assert isinstance(bench.slice(), Failed)
    assert "step:charge" not in bench.run.checkpoints
    bench.run.due_at = None
    assert isinstance(bench.slice(), Succeeded)
    assert deeds == ["charge"]


@pytest.mark.seed("AW-8")
def test_the_input_is_the_first_argument_unless_others_are_given(checkout: Any) -> None:
    document = workflow(("user", OK), metadata={"input": {"order": 1}, "workflowId": "checkout"})
    assert driven(checkout, document).result[0] == {"order": 1}
    assert driven(checkout, document, args=["other"]).result[0] == "other"
    assert driven(checkout, document, kwargs={"order": "named"}).result[0] == "named"


@pytest.mark.seed("AW-11")
def test_a_snapshot_of_another_workflow_is_refused(checkout: Any) -> None:
    named = workflow(("user", OK), workflowName="refund")
    with pytest.raises(SnapshotMismatch) as caught:
        restore(named, checkout, workflow="checkout")
    assert (caught.value.what, caught.value.expected, caught.value.found) == ("workflow", "checkout", "refund")
    by_id = workflow(("user", OK), metadata={"workflowId": "refund"})
    with pytest.raises(SnapshotMismatch):
        restore(by_id, checkout, workflow="checkout")
    assert restore(workflow(("user", OK)), checkout, workflow="checkout").history.checkpoints


def test_a_snapshot_that_does_not_name_a_task_needs_one() -> None:
    with pytest.raises(TypeError, match="which task"):
        restore(workflow(("user", OK)))


@pytest.mark.parametrize("key", ["a/b", "a#2", "a\nb", "x!try:1", "long" * 100])
def test_a_key_that_no_step_of_ours_can_have_is_refused_by_its_place(checkout: Any, key: str) -> None:
    with pytest.raises(SnapshotFormat, match="rename_key") as caught:
        restore(workflow((key, OK), ("user", OK)), checkout)
    assert len(caught.value.errors) == 1


def test_what_looks_like_a_tag_of_ours_is_a_value_like_any_other(checkout: Any) -> None:
    mongo = {"$oid": "6512"}
    document = workflow(("user", {"ok": True, "value": mongo}), ("charge", {"ok": True, "value": {"$tuple": [1]}}))
    assert driven(checkout, document).result == [None, mongo, {"$tuple": [1]}]
    assert assert_valid_snapshot(document).steps["user"] == mongo


@pytest.mark.seed("AW-27")
def test_steps_of_theirs_are_found_by_key() -> None:
    steps = assert_valid_snapshot(resume_state(("user", {"ok": True, "value": None}), ("charge", THROWN))).steps
    assert "user" in steps
    assert steps["user"] is None
    assert "step:user" not in steps
    assert "step:charge" not in steps
    assert steps.has_failed("charge")
    assert isinstance(steps.error("charge"), StepFailed)
    with pytest.raises(KeyError):
        steps["step:user"]


def test_a_snapshot_of_values_reads_back_what_was_told(checkout: Any) -> None:
    document = snapshot_of(
        {"user": {"id": 7}, "nothing": None},
        failures={"charge": ValueError("no")},
        workflow="checkout",
        status="failed",
    )
    assert validate_snapshot(json.dumps(document)).errors == ()
    assert looks_like_snapshot(document)
    snapshot = assert_valid_snapshot(document)
    assert (snapshot.workflow, snapshot.status) == ("checkout", "failed")
    assert snapshot.steps["nothing"] is None
    assert [record.path for record in restore(document, checkout).history.checkpoints] == ["step:user", "step:nothing"]


@pytest.mark.seed("AW-6", "AW-14")
def test_what_is_thrown_and_is_no_error_is_told_by_type_value_and_a_text_that_is_cut() -> None:
    failures = {"long": "x" * 1500, "short": {"code": 1}, "odd": object()}
    steps = snapshot_of({}, failures=failures, lossy=True)["steps"]
    assert steps["long"]["cause"] == {
        "type": "thrown",
        "originalType": "str",
        "stringRepresentation": "x" * 1000,
        "truncated": True,
    }
    assert steps["short"]["cause"] == {
        "type": "thrown",
        "originalType": "dict",
        "stringRepresentation": "{'code': 1}",
        "value": {"code": 1},
    }
    assert steps["short"]["meta"] == {"origin": "result"}
    assert steps["odd"]["cause"]["originalType"] == "object"
    assert "value" not in steps["odd"]["cause"]


@pytest.mark.seed("AW-P13")
def test_an_endless_chain_of_causes_is_cut_and_read() -> None:
    cause: dict[str, Any] = {"type": "error", "name": "E", "message": "last"}
    for _ in range(40):
        cause = {"type": "error", "name": "E", "message": "m", "cause": cause}
    error = assert_valid_snapshot(workflow(("a", {**THROWN, "cause": cause}))).steps.error("a")
    depth = 0
    while error is not None:
        error, depth = error.__cause__, depth + 1  # type: ignore[assignment]
    assert depth == 17
