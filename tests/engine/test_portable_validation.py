"""What is no snapshot, or a damaged one, is refused with everything that is wrong and where."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest

from django_tasks_durable.engine.portable import (
    assert_valid_snapshot,
    export_snapshot,
    looks_like_snapshot,
    restore,
    validate_snapshot,
)
from django_tasks_durable.exceptions import DurableError, SnapshotFormat
from tests.engine.laboratory import Bench, local

SOUND: dict[str, Any] = {
    "formatVersion": 1,
    "workflowName": "checkout",
    "steps": {
        "user": {"ok": True, "value": None},
        "charge": {
            "ok": False,
            "error": None,
            "cause": {
                "type": "error",
                "name": "E",
                "message": "",
                "cause": {"type": "thrown", "stringRepresentation": "x"},
            },
            "meta": {"origin": "throw"},
        },
    },
    "execution": {
        "status": "failed",
        "lastUpdated": "2026-01-02T03:04:05Z",
        "completedAt": "2026-01-02T03:04:05.5+01:00",
        "currentStepId": "charge",
    },
    "metadata": {"workflowId": "checkout", "definitionHash": "ab", "input": [1], "more": None},
    "warnings": [{"type": "lossy_value", "stepId": "user", "path": "value", "reason": "non-json"}],
}
GONE = object()


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with another value, or none, at a dotted path."""
    made = deepcopy(document)
    *above, last = path.split(".")
    owner: Any = made
    for name in above:
        owner = owner[int(name) if isinstance(owner, list) else name]
    if value is GONE:
        del owner[last]
    else:
        owner[int(last) if isinstance(owner, list) else last] = value
    return made


@pytest.fixture
def ours() -> dict[str, Any]:
    """A snapshot of a run that has a bit of everything."""

    @local
    def child(context: Any) -> Any:
        yield 1
        return 2

    def fail() -> None:
        raise ValueError("no")

    @local
    def body(context: Any) -> Any:
        yield "partial"
        context.step("done", dict)
        try:
            context.step("bad", fail)
        except ValueError:
            pass
        yield from context.call(child)
        context.interrupt("?")

    bench = Bench(body)
    bench.slice()
    return json.loads(json.dumps(export_snapshot(bench.run_id, store=bench.store)))  # type: ignore[no-any-return]


@pytest.mark.seed("AW-9", "AW-P12")
def test_a_sound_snapshot_is_valid_as_text_as_bytes_and_as_objects(ours: dict[str, Any]) -> None:
    for document in (SOUND, ours):
        for source in (document, json.dumps(document), json.dumps(document).encode(), json.dumps(document, indent=2)):
            validation = validate_snapshot(source)
            assert (validation.valid, validation.errors) == (True, ())
            assert validation.snapshot is not None
            assert validation.snapshot.document == document
    assert validate_snapshot(validate_snapshot(SOUND).snapshot).valid


@pytest.mark.seed("AW-9", "AW-P12")
@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("formatVersion", GONE, "$.formatVersion: is missing"),
        ("formatVersion", "1", "$.formatVersion: must be 1, not '1'"),
        ("formatVersion", True, "$.formatVersion: must be 1, not True"),
        ("formatVersion", 0, "$.formatVersion: must be 1, not 0"),
        ("formatVersion", 2, "$.formatVersion: 2 is newer than 1"),
        ("workflowName", 7, "$.workflowName: must be a string, not a whole number"),
        ("steps", GONE, "$.steps: is missing"),
        ("steps", None, "$.steps: must be an object, not null"),
        ("steps", [], "$.steps: must be an object, not a list"),
        ("steps.user", None, '$.steps["user"]: must be an object, not null'),
        ("steps.user", "done", '$.steps["user"]: must be an object, not a string'),
        ("steps.user.ok", GONE, '$.steps["user"].ok: is missing'),
        ("steps.user.ok", 1, '$.steps["user"].ok: must be true or false, not a whole number'),
        ("steps.user.value", GONE, '$.steps["user"].value: is missing'),
        ("steps.charge.error", GONE, '$.steps["charge"].error: is missing'),
        ("steps.charge.cause", GONE, '$.steps["charge"].cause: is missing'),
        ("steps.charge.cause", "boom", '$.steps["charge"].cause: must be an object, not a string'),
        ("steps.charge.cause.type", "panic", "$.steps[\"charge\"].cause.type: must be one of 'error', 'thrown', not 'panic'"),
        ("steps.charge.cause.message", GONE, '$.steps["charge"].cause.message: is missing'),
        ("steps.charge.cause.cause.stringRepresentation", 1, '$.steps["charge"].cause.cause.stringRepresentation: must be'),
        ("steps.charge.meta.origin", "thin air", '$.steps["charge"].meta.origin: must be one of'),
        ("execution", GONE, "$.execution: is missing"),
        ("execution", None, "$.execution: must be an object, not null"),
        ("execution.status", GONE, "$.execution.status: is missing"),
        ("execution.status", "paused", "$.execution.status: must be one of 'running', 'completed', 'failed', not 'paused'"),
        ("execution.lastUpdated", GONE, "$.execution.lastUpdated: is missing"),
        ("execution.lastUpdated", 1767323045, "$.execution.lastUpdated: must be a string, not a whole number"),
        ("execution.lastUpdated", "yesterday", "$.execution.lastUpdated: 'yesterday' is no instant in ISO 8601"),
        ("execution.lastUpdated", "2026-01-02T03:04:05", "$.execution.lastUpdated: '2026-01-02T03:04:05' has no offset"),
        ("execution.completedAt", "2026-13-01T00:00:00Z", "$.execution.completedAt: '2026-13-01T00:00:00Z' is no instant"),
        ("execution.currentStepId", [], "$.execution.currentStepId: must be a string, not a list"),
        ("metadata", [], "$.metadata: must be an object, not a list"),
        ("metadata.workflowId", 7, "$.metadata.workflowId: must be a string"),
        ("metadata.definitionHash", None, "$.metadata.definitionHash: must be a string, not null"),
        ("warnings", {}, "$.warnings: must be a list, not an object"),
        ("warnings.0", "lost", "$.warnings[0]: must be an object, not a string"),
        ("warnings.0.reason", "bad luck", "$.warnings[0].reason: must be one of 'non-json', 'circular', 'encode-failed'"),
        ("warnings.0.stepId", GONE, "$.warnings[0].stepId: is missing"),
        ("metadata.more", {1, 2}, "$.metadata[\"more\"]: a set is no JSON"),
        ("steps.user.value", float("nan"), '["value"]: nan is no number that JSON has'),
        ("steps.user.value", {1: "one"}, '["value"]: its key 1 is no string'),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_said_with_its_place(path: str, value: Any, error: str) -> None:
    validation = validate_snapshot(changed(SOUND, path, value))
    assert not validation.valid
    assert validation.snapshot is None
    assert any(error in each for each in validation.errors), validation.errors


@pytest.mark.seed("AW-9")
def test_every_error_is_collected_at_once() -> None:
    broken = {
        "formatVersion": 1,
        "steps": {"a": 7, "b": {"ok": "yes"}, "c": {"ok": False}},
        "execution": {"status": "asleep", "lastUpdated": "never"},
        "metadata": [],
        "warnings": [1],
    }
    assert [error.partition(": ")[0] for error in validate_snapshot(broken).errors] == [
        '$.steps["a"]',
        '$.steps["b"].ok',
        '$.steps["c"].error',
        '$.steps["c"].cause',
        "$.execution.status",
        "$.execution.lastUpdated",
        "$.metadata",
        "$.warnings[0]",
    ]


@pytest.mark.seed("AW-9", "AW-P9")
def test_asserting_raises_the_first_error_with_all_of_them() -> None:
    broken = changed(changed(SOUND, "execution.status", "?"), "steps.user", 7)
    with pytest.raises(SnapshotFormat) as caught:
        assert_valid_snapshot(broken)
    assert len(caught.value.errors) == 2
    assert str(caught.value).startswith(caught.value.errors[0])
    assert caught.value.code == "SNAPSHOT_FORMAT"
    with pytest.raises(SnapshotFormat):
        restore(broken)


@pytest.mark.seed("AW-9", "AW-P9")
def test_a_file_that_was_cut_short_anywhere_is_refused(ours: dict[str, Any]) -> None:
    text = json.dumps(ours)
    for length in range(0, len(text), 37):
        validation = validate_snapshot(text[:length])
        assert not validation.valid
        assert "Was the file cut short?" in validation.errors[0], text[max(0, length - 20) : length]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{'single': 1}", "it is no JSON"),
        ('{"steps": NaN}', "NaN is no number"),
        ('{"formatVersion": 1, "formatVersion": 1}', "the key 'formatVersion' stands twice"),
        ("null", "must be an object, not null"),
        ("[1]", "must be an object, not a list"),
        ("[" * 100_000, "$: it "),
        (b"\xff\xfe\x00{", "$: it "),
    ],
)
def test_text_that_is_no_snapshot_is_refused(text: str | bytes, error: str) -> None:
    (found,) = validate_snapshot(text).errors
    assert error in found


def test_a_value_without_a_bottom_is_refused() -> None:
    deep: Any = []
    for _ in range(1000):
        deep = [deep]
    (error,) = validate_snapshot(changed(SOUND, "steps.user.value", deep)).errors
    assert "nested more than" in error


@pytest.mark.seed("AW-14")
def test_a_file_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    from django_tasks_durable.engine.portable import validation

    monkeypatch.setattr(validation, "MOST_BYTES", 100)
    (error,) = validate_snapshot(json.dumps(SOUND)).errors
    assert "more than 100 bytes" in error


@pytest.mark.seed("AW-9")
def test_looking_is_shallow_but_not_fooled() -> None:
    assert looks_like_snapshot(SOUND)
    assert looks_like_snapshot({"kind": "ResumeState", "steps": []})
    assert looks_like_snapshot(changed(SOUND, "steps.user", "not looked at"))
    for path, value in (
        ("steps", []),
        ("execution", None),
        ("formatVersion", 2),
        ("formatVersion", True),
        ("steps", GONE),
    ):
        assert not looks_like_snapshot(changed(SOUND, path, value))
    assert not any(map(looks_like_snapshot, (None, [], "{}", 1, {})))


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        (7, "$.steps: must be a list of [key, result] pairs"),
        ([7], "$.steps[0]: must be a pair"),
        ([["a"]], "$.steps[0]: must be a pair"),
        (
            [["a", {"ok": True, "value": 1}], ["a", {"ok": True, "value": 2}]],
            "$.steps[1][0]: the key 'a' stands there before",
        ),
        ([["a", {"ok": True}]], "$.steps[0][1].value: is missing"),
        ({"a": {"result": {"ok": 1}}}, '$.steps["a"].result.ok: must be true or false'),
    ],
)
def test_a_damaged_resume_state_is_refused(steps: Any, error: str) -> None:
    errors = validate_snapshot({"kind": "ResumeState", "steps": steps}).errors
    assert any(error in each for each in errors), errors


@pytest.mark.seed("AW-9")
@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("durable.format", 2, "$.durable.format: 2 is newer than 1"),
        ("durable.format", GONE, "$.durable.format: is missing"),
        ("durable.version", 0, "$.durable.version: must be from 1"),
        ("durable.task_path", "", "$.durable.task_path: must have 1 to 255 characters"),
        ("durable.run_id", "seven", "$.durable.run_id: 'seven' is no id"),
        ("durable.args", {}, "$.durable.args: must be a list, not an object"),
        ("durable.status", "DONE", "$.durable.status: must be one of"),
        ("durable.status", "SUCCESSFUL", "$.durable.result: is missing"),
        ("durable.wake_reason", "noise", "$.durable.wake_reason: must be one of"),
        ("durable.priority", 101, "$.durable.priority: must be from -100 to 100"),
        ("durable.attempts", -1, "$.durable.attempts: must be from 0"),
        ("durable.attempts", 2**40, "$.durable.attempts: must be from 0"),
        ("durable.due_at", "soon", "$.durable.due_at: 'soon' is no instant"),
        ("durable.due_at", GONE, "$.durable.due_at: is missing"),
        ("durable.cancel_requested", 0, "$.durable.cancel_requested: must be true or false"),
        ("durable.queue_name", "q" * 65, "$.durable.queue_name: must have 1 to 64 characters"),
        ("durable.queue_name", "a\x00b", "$.durable.queue_name: must have 1 to 64 characters and no NUL"),
        ("durable.errors", ["boom"], "$.durable.errors[0]: must be an object"),
        ("durable.worker_ids", [7], "$.durable.worker_ids[0]: must be a string"),
        ("durable.progress.percent", "half", "$.durable.progress.percent: must be a number"),
        ("durable.order", ["step:done"], "$.durable.order: does not name"),
        ("durable.order.0", "step:lost", '$.durable.order: "step:lost" is not among the steps (1 lost). Was the file cut short?'),
        ("durable.order.0", "step:bad", "$.durable.order: must name each step once"),
        ("steps.step:done", GONE, '$.durable.order: "step:done" is not among the steps'),
        ("steps.step:done.kind", "dance", '$.steps["step:done"].kind: must be one of'),
        ("steps.step:done.kind", "sleep", '$.steps["step:done"]: a sleep does not stand at such a path'),
        ("steps.step:done.kind", "try", "with '!try:'"),
        ("steps.step:done.position", -1, '$.steps["step:done"].position: must be from 0'),
        ("steps.step:done.fingerprint", "f" * 33, '$.steps["step:done"].fingerprint: must have 0 to 32 characters'),
        ("steps.step:bad.failure", GONE, '$.steps["step:bad"].failure: is missing'),
        ("steps.step:bad.failure.class", 1, '$.steps["step:bad"].failure.class: must be a string'),
        ("steps.step:bad.failure.due", "soon", '$.steps["step:bad"].failure.due: \'soon\' is no instant'),
        ("steps.call:child.value", 7, '$.steps["call:child"].value: must have the partials and the value'),
        ("durable.waits.0.path", "elsewhere", "$.durable.waits[0]: is no path"),
        ("durable.waits.0.token", "short", "$.durable.waits[0].token: must have 8 to 64 characters"),
        ("durable.waits.0.request", GONE, "$.durable.waits[0].request: is missing"),
        ("durable.partials.0.value", GONE, "$.durable.partials[0].value: is missing"),
    ],
)  # fmt: skip
def test_what_only_we_say_is_looked_at_as_closely(ours: dict[str, Any], path: str, value: Any, error: str) -> None:
    ours = json.loads(
        json.dumps(ours).replace(next(key for key in ours["steps"] if key.startswith("call:")), "call:child")
    )
    assert validate_snapshot(ours).valid
    errors = validate_snapshot(changed(ours, path, value)).errors
    assert any(error in each for each in errors), errors


def test_validation_never_raises_whatever_is_wrong(ours: dict[str, Any]) -> None:
    def places(value: Any, path: tuple[Any, ...] = ()) -> Any:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            yield (*path, key)
            yield from places(item, (*path, key))

    for place in [each for each in places(ours) if each != ("durable",)]:
        for wrong in (None, 7, "x", [], {}, True, GONE):
            broken = deepcopy(ours)
            owner: Any = broken
            for step in place[:-1]:
                owner = owner[step]
            if wrong is GONE:
                del owner[place[-1]]
            else:
                owner[place[-1]] = wrong
            if validate_snapshot(broken).valid:
                # Whatever is refused later is refused by name.
                with suppress(DurableError):
                    restore(broken)
