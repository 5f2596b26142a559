"""Is this a snapshot, and what is wrong with it: every error, each with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.conf import HARD_PAYLOAD_BYTES
from django_tasks_durable.exceptions import SnapshotFormat

from . import durable
from .finding import Finder, at
from .shapes import FORMAT, Shape, Snapshot, shape_of
from .telling import CIRCULAR, ENCODE_FAILED, NON_JSON

MOST_BYTES = 16 * HARD_PAYLOAD_BYTES
EXECUTION_STATUSES = ("running", "completed", "failed")
REASONS = (NON_JSON, CIRCULAR, ENCODE_FAILED)


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found: the snapshot, or all that is wrong."""

    valid: bool
    errors: tuple[str, ...]
    snapshot: Snapshot | None


def validate_snapshot(source: object) -> Validation:
    """Look at the whole of a snapshot, given as JSON text or as what JSON text gives. Never raises."""
    find = Finder()
    document = _read(source, find)
    shape = None if find.errors else _outline(document, find)
    if not isinstance(document, Mapping) or find.errors or shape is None:
        return Validation(False, tuple(find.errors), None)
    remarks = [] if shape is not Shape.RESUME_STATE else _resume_steps(document, find)
    if shape is not Shape.RESUME_STATE:
        _workflow(document, find)
    if shape is Shape.RUN:
        durable.check(document, find)
    if find.errors:
        return Validation(False, tuple(find.errors), None)
    return Validation(True, (), Snapshot(document, shape, tuple(remarks)))


def assert_valid_snapshot(source: object) -> Snapshot:
    """Return the snapshot. Raise SnapshotFormat, whose text is the first error and whose ``errors`` are all of them."""
    validation = validate_snapshot(source)
    if validation.snapshot is None:
        raise SnapshotFormat(list(validation.errors))
    return validation.snapshot


def _read(source: object, find: Finder) -> object:
    if isinstance(source, Snapshot):
        return source.document
    if not isinstance(source, str | bytes | bytearray):
        return source
    if len(source) > MOST_BYTES:
        find.say("$", f"it takes more than {MOST_BYTES:,} bytes, which is the most that is read")
        return None
    try:
        return json.loads(source, object_pairs_hook=_unique, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        hint = ". Was the file cut short?" if _is_cut(error) else ""
        find.say("$", f"it is no JSON: {error.msg} at line {error.lineno}, column {error.colno}{hint}")
        return None
    except (ValueError, RecursionError) as error:
        find.say("$", f"it cannot be read: {error}")
        return None


def _is_cut(error: json.JSONDecodeError) -> bool:
    """Tell text that ends too early from text that is wrong in the middle."""
    text = error.doc.rstrip()
    is_at_end = error.pos >= len(text) - 1 or error.msg.startswith("Unterminated")
    return is_at_end or not text.endswith(("}", "]"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {double!r} stands twice in one object")
    return made


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON has")


def _outline(document: object, find: Finder) -> Shape | None:
    if not isinstance(document, Mapping):
        find.say("$", f"must be an object, not {find.name_of(document)}")
        return None
    shape = shape_of(document)
    if shape is Shape.RESUME_STATE:
        return shape
    if document.get("kind") == "ResumeState":
        find.say("$.steps", "must be a list of [key, result] pairs")
        return None
    find.json(document, "$")
    version = document.get("formatVersion")
    if "formatVersion" not in document:
        find.say("$.formatVersion", "is missing")
    elif not isinstance(version, int) or isinstance(version, bool) or version < FORMAT:
        find.say("$.formatVersion", f"must be {FORMAT}, not {version!r}")
    elif version > FORMAT:
        find.say(
            "$.formatVersion", f"{version} is newer than {FORMAT}, the newest that is known here; update this package"
        )
        # What a newer format means by the rest is not known.
        return None
    find.member(document, "$", "steps", dict)
    find.member(document, "$", "execution", dict)
    if "durable" in document:
        find.member(document, "$", "durable", dict)
    # Some of the outline may be wrong and the rest is looked at all the same, so that every error is told at once.
    return shape or (Shape.RUN if isinstance(document.get("durable"), Mapping) else Shape.WORKFLOW)


def _resume_steps(document: Mapping[str, Any], find: Finder) -> list[str]:
    find.json(document, "$")
    steps = document["steps"]
    if isinstance(steps, Mapping):
        for key, entry in steps.items():
            is_entry = isinstance(entry, Mapping) and "ok" not in entry and "result" in entry
            _result(
                entry["result"] if is_entry else entry, f"{at('$.steps', key)}{'.result' if is_entry else ''}", find
            )
        return ["$.steps: is an object, not a list of pairs: its order is taken as it stands"]
    seen: set[str] = set()
    for place, pair in enumerate(steps):
        where = f"$.steps[{place}]"
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            find.say(where, "must be a pair of a key and a result")
            continue
        if not pair[0] or pair[0] in seen:
            find.say(f"{where}[0]", f"the key {pair[0]!r} stands there before" if pair[0] else "must not be empty")
        seen.add(pair[0])
        _result(pair[1], f"{where}[1]", find)
    return []


def _workflow(document: Mapping[str, Any], find: Finder) -> None:
    if "workflowName" in document:
        find.member(document, "$", "workflowName", str)
    steps = document.get("steps")
    for key, result in steps.items() if isinstance(steps, Mapping) else ():
        if not key:
            find.say(at("$.steps", key), "a step has an empty key")
        _result(result, at("$.steps", key), find)
    if isinstance(execution := document.get("execution"), Mapping):
        _execution(execution, find)
    if "metadata" in document and isinstance(metadata := find.member(document, "$", "metadata", dict), Mapping):
        for name in ("workflowId", "definitionHash"):
            if name in metadata:
                find.member(metadata, "$.metadata", name, str)
    if "warnings" in document and isinstance(warnings := find.member(document, "$", "warnings", list), list):
        for place, warning in enumerate(warnings):
            _warning(warning, f"$.warnings[{place}]", find)


def _execution(execution: Mapping[str, Any], find: Finder) -> None:
    find.choice(execution, "$.execution", "status", EXECUTION_STATUSES)
    find.instant(execution, "$.execution", "lastUpdated")
    if "completedAt" in execution:
        find.instant(execution, "$.execution", "completedAt")
    if "currentStepId" in execution:
        find.member(execution, "$.execution", "currentStepId", str)


def _warning(warning: object, where: str, find: Finder) -> None:
    if not isinstance(warning, Mapping):
        find.say(where, f"must be an object, not {find.name_of(warning)}")
        return
    find.choice(warning, where, "type", ("lossy_value",))
    find.choice(warning, where, "reason", REASONS)
    find.member(warning, where, "stepId", str)
    find.member(warning, where, "path", str)


def _result(result: object, where: str, find: Finder) -> None:
    if not isinstance(result, Mapping):
        find.say(where, f"must be an object, not {find.name_of(result)}")
        return
    is_ok = find.member(result, where, "ok", bool)
    if is_ok is True:
        find.present(result, where, "value")
    elif is_ok is False:
        find.present(result, where, "error")
        if find.present(result, where, "cause"):
            _cause(result["cause"], f"{where}.cause", find)
        if "meta" in result and isinstance(meta := find.member(result, where, "meta", dict), Mapping):
            find.choice(meta, f"{where}.meta", "origin", ("result", "throw"))


def _cause(cause: object, where: str, find: Finder) -> None:
    while isinstance(cause, Mapping):
        kind = find.choice(cause, where, "type", ("error", "thrown"))
        if kind == "error":
            find.member(cause, where, "name", str)
            find.member(cause, where, "message", str)
            if "stack" in cause:
                find.member(cause, where, "stack", str)
        elif kind == "thrown":
            find.member(cause, where, "stringRepresentation", str)
            if "originalType" in cause:
                find.member(cause, where, "originalType", str)
        if "cause" not in cause:
            return
        cause, where = cause["cause"], f"{where}.cause"
    find.say(where, f"must be an object, not {find.name_of(cause)}")
