"""Values without a form in JSON: refused with their place, or left out with a warning where that was asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from django_tasks_durable.engine.portable import export_snapshot, snapshot_of, validate_snapshot
from django_tasks_durable.engine.portable.telling import Teller
from django_tasks_durable.exceptions import NotSerializable, PayloadTooLarge, SnapshotDecode
from django_tasks_durable.store.memory_transfers import take_out
from tests.engine.laboratory import Bench, local


def function() -> None:
    """Have no form in JSON."""


def circle() -> Any:
    """Make a list that holds itself."""
    made: list[Any] = [1]
    made.append({"again": made})
    return made


class Hostile:
    """An object that cannot be looked at."""


class Broken(dict[str, Any]):
    """A dict that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no")


@dataclass
class Holder:
    """A dataclass that holds what cannot be told."""

    name: str
    held: Any


CASES = [
    (function, None, [("value", "non-json")]),
    ({"f": function, "n": 1}, {"f": None, "n": 1}, [('value["f"]', "non-json")]),
    ([1, [2, function]], [1, [2, None]], [("value[1][1]", "non-json")]),
    ((1, function), {"$tuple": [1, None]}, [("value[1]", "non-json")]),
    ({1: "one", "two": 2}, {"1": "one", "two": 2}, [("value[1]", "non-json")]),
    (float("nan"), None, [("value", "non-json")]),
    ("a\x00b", "a\N{REPLACEMENT CHARACTER}b", [("value", "non-json")]),
    ("\ud800", "?", [("value", "non-json")]),
    ({function}, [None], [("value", "non-json"), ("value[*]", "non-json")]),
    (Holder("me", function), {"name": "me", "held": None}, [("value", "non-json"), ('value["held"]', "non-json")]),
    ({"$one": function}, {"$dict": [["$one", None]]}, [('value["$one"]', "non-json")]),
    (Hostile(), None, [("value", "non-json")]),
    (circle(), [1, {"again": None}], [('value[1]["again"]', "circular")]),
    (Broken(f=function), None, [("value", "encode-failed")]),
]


@pytest.mark.seed("AW-13")
@pytest.mark.parametrize("value", [value for value, _, _ in CASES], ids=range(len(CASES)))
def test_what_has_no_form_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises((NotSerializable, PayloadTooLarge), match="value"):
        snapshot_of({"step": value})


@pytest.mark.seed("AW-13")
@pytest.mark.parametrize(("value", "told", "lost"), CASES, ids=range(len(CASES)))
def test_lossy_tells_as_much_as_there_is_a_form_for_and_warns_of_the_rest(value: Any, told: Any, lost: Any) -> None:
    document = snapshot_of({"good": {1, 2}, "step": value}, lossy=True)
    assert document["steps"]["step"] == {"ok": True, "value": told}
    assert document["steps"]["good"] == {"ok": True, "value": {"$set": [1, 2]}}
    assert document["warnings"] == [
        {"type": "lossy_value", "stepId": "step", "path": path, "reason": reason} for path, reason in lost
    ]
    assert validate_snapshot(json.dumps(document)).valid


@pytest.mark.seed("AW-13")
def test_nothing_is_said_where_nothing_was_lost() -> None:
    assert "warnings" not in snapshot_of({"step": {"a": (1, {2})}}, lossy=True)


@pytest.mark.seed("AW-13")
def test_what_a_step_failed_with_is_told_under_error() -> None:
    document = snapshot_of({}, failures={"step": {"why": function}}, lossy=True)
    assert document["steps"]["step"]["error"] == {"why": None}
    assert document["warnings"] == [
        {"type": "lossy_value", "stepId": "step", "path": 'error["why"]', "reason": "non-json"}
    ]


@pytest.mark.seed("AW-13", "AW-14")
def test_a_value_that_is_too_large_is_refused_or_left_out() -> None:
    strict, lossy = Teller(is_lossy=False, limit=100), Teller(is_lossy=True, limit=100)
    for value in ("x" * 200, list(range(1000)), {"key": ["x" * 200]}):
        with pytest.raises(PayloadTooLarge):
            strict.tell(value, step="step")
        assert lossy.tell(value, step="step") is None
    assert {(warning["path"], warning["reason"]) for warning in lossy.warnings} == {("value", "encode-failed")}


def test_a_value_that_is_too_deep_is_cut_where_it_is() -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    document = snapshot_of({"step": deep}, lossy=True)
    assert validate_snapshot(document).valid
    assert [warning["reason"] for warning in document["warnings"]] == ["encode-failed"]


def test_what_is_held_twice_is_no_circle() -> None:
    twice: list[Any] = [function]
    document = snapshot_of({"step": [twice, twice]}, lossy=True)
    assert document["steps"]["step"]["value"] == [[None], [None]]
    assert {warning["reason"] for warning in document["warnings"]} == {"non-json"}


@pytest.mark.seed("AW-13")
def test_stored_text_that_is_damaged_is_refused_or_left_out() -> None:
    @local
    def body(context: Any) -> None:
        context.step("kept", list)

    bench = Bench(body)
    bench.slice()
    run = take_out(bench.store, bench.run_id)
    (record,) = run.checkpoints
    damaged = replace(run, checkpoints=(replace(record, value='{"half'),))
    with pytest.raises(SnapshotDecode) as caught:
        export_snapshot(damaged)
    assert caught.value.step == "step:kept"
    document = export_snapshot(damaged, lossy=True)
    assert document["steps"]["step:kept"]["value"] is None
    assert document["warnings"] == [
        {"type": "lossy_value", "stepId": "step:kept", "path": "value", "reason": "encode-failed"}
    ]
    broken = replace(run, checkpoints=(replace(record, value="{", failed=True),))
    assert validate_snapshot(export_snapshot(broken, lossy=True)).errors == ()


@pytest.mark.seed("AW-13")
def test_metadata_is_held_to_the_same(store: Any) -> None:
    @local
    def body(context: Any) -> None: ...

    bench = Bench(body)
    with pytest.raises(NotSerializable, match=r'metadata\["f"\]'):
        export_snapshot(bench.run_id, store=bench.store, metadata={"f": function})
    document = export_snapshot(bench.run_id, store=bench.store, metadata={"f": function}, lossy=True)
    assert document["metadata"]["f"] is None
    assert document["warnings"][0]["path"] == 'metadata["f"]'
    assert validate_snapshot(document).valid
