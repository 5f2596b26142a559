"""Snapshots of older code made fit for newer code: pure functions from a document to a document.

A migration leads from version N of a task to N + 1. A key names a step of the body, or by its path anything else, with all
that stands under it; a key that a snapshot does not have is none of its business, because its run had not come so far.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from django_tasks_durable.exceptions import SnapshotFormat, VersionMismatch
from django_tasks_durable.primitives import codec

from .shapes import LOWEST_VERSION, Document, as_workflow, decoded, dumps, path_of, version_of

Migration = Callable[[dict[str, Any]], dict[str, Any]]

# What the last part of a path may begin with; all else is the key of a step.
_WORD = re.compile(
    "(step|sleep|wait|recv|approval|webhook|event|link|call|branch|spawn|join|stream|poll|pause|patch|undo):"
)


def compose(*migrations: Migration) -> Migration:
    """Return the migration that does these, one after the other."""

    def all_of_them(document: dict[str, Any]) -> dict[str, Any]:
        for migrate in migrations:
            document = migrate(document)
        return document

    return all_of_them


def rename_key(old: str, new: str) -> Migration:
    """Return the migration that gives a step another key. It raises SnapshotFormat when there is one of that key."""

    def rename(document: dict[str, Any]) -> dict[str, Any]:
        document = as_workflow(document)
        before, after = _path(document, old), _path(document, new)
        belongs, is_taken = _belonging(document, before), _belonging(document, after)
        paths = _paths(document)
        if any(map(belongs, paths)) and any(map(is_taken, paths)):
            raise SnapshotFormat([f"$.steps: {old!r} cannot be renamed, there is a {new!r} already"])

        def renamed(path: str) -> str:
            return after + path[len(before) :] if belongs(path) else path

        return _with_paths(document, renamed)

    return rename


def remove_key(key: str) -> Migration:
    """Return the migration that forgets a step, so that code that has none of this key finds the others in order."""

    def remove(document: dict[str, Any]) -> dict[str, Any]:
        document = as_workflow(document)
        gone = list(filter(_belonging(document, _path(document, key)), _paths(document)))
        made = deepcopy(document)
        made["steps"] = {path: result for path, result in made["steps"].items() if path not in gone}
        if "warnings" in made:
            made["warnings"] = [each for each in made["warnings"] if each["stepId"] not in gone]
        durable = made.get("durable")
        if durable is not None:
            durable["order"] = [path for path in durable["order"] if path not in gone]
            for name in ("waits", "partials"):
                durable[name] = [each for each in durable[name] if each["path"] not in gone]
            _close_gaps(document, made, gone)
        if (made.get("execution") or {}).get("currentStepId") in gone:
            del made["execution"]["currentStepId"]
        return made

    return remove


def transform_value(key: str, change: Callable[[Any], Any]) -> Migration:
    """Return the migration that gives a step the value that ``change`` makes of its value; one that failed stays so."""

    def transform(document: dict[str, Any]) -> dict[str, Any]:
        made = deepcopy(as_workflow(document))
        is_ours = "durable" in made
        is_use = _matching(made, _path(made, key), r"(#\d+)?")
        for path, result in made["steps"].items():
            if not (is_use(path) and result["ok"]):
                continue
            value = decoded(key, dumps(result["value"])) if is_ours else result["value"]
            is_call = result.get("kind") == "call"
            changed = {**value, "value": change(value["value"])} if is_call else change(value)
            text = codec.text_of(changed, where=key)
            result["value"] = json.loads(text) if is_ours else changed
        return made

    return transform


def migrate(document: Document, migrations: Mapping[int, Migration], *, to: int) -> dict[str, Any]:
    """Return the document as version ``to`` would have left it, led there from version to version.

    Raise VersionMismatch when a link is missing, and for a snapshot of a version that is still to come.
    """
    made = deepcopy(as_workflow(document))
    stored = version_of(document)
    if stored > to:
        raise VersionMismatch(stored, to, "it was left by newer code. Deploy that code here first.")
    for version in range(stored, to):
        if version not in migrations:
            raise VersionMismatch(stored, to, f"there is no migration from version {version} to {version + 1}.")
        made = migrations[version](made)
    return with_version(made, to)


def with_version(document: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the document with the version of its task."""
    if "durable" in document:
        return {**document, "durable": {**document["durable"], "version": version}}
    if version == LOWEST_VERSION and "metadata" not in document:
        return document
    return {**document, "metadata": {**document.get("metadata", {}), "version": version}}


def _path(document: Document, key: str) -> str:
    """Return how a key stands in this document: a step of the body by its path, where paths are used."""
    if "durable" not in document:
        return key
    is_path = _WORD.match(key) is not None
    return key if is_path and path_of(key) not in document["steps"] else path_of(key)


def _paths(document: Document) -> list[str]:
    durable = document.get("durable") or {}
    return [*document["steps"], *(each["path"] for name in ("waits", "partials") for each in durable.get(name, ()))]


def _belonging(document: Document, path: str) -> Callable[[str], bool]:
    """Return what tells whether a path is this one, a numbered use of its key, a try of it, or stands inside it."""
    return _matching(document, path, r"(#\d+)?(!try:\d+|/.*)?")


def _matching(document: Document, path: str, suffix: str) -> Callable[[str], bool]:
    # A key of another program's has no parts.
    pattern = re.compile(re.escape(path) + (suffix if "durable" in document else ""))
    return lambda found: pattern.fullmatch(found) is not None


def _with_paths(document: dict[str, Any], renamed: Callable[[str], str]) -> dict[str, Any]:
    made = deepcopy(document)
    made["steps"] = {renamed(path): result for path, result in made["steps"].items()}
    for warning in made.get("warnings", ()):
        warning["stepId"] = renamed(warning["stepId"])
    current = (made.get("execution") or {}).get("currentStepId")
    if current is not None:
        made["execution"]["currentStepId"] = renamed(current)
    if "durable" in made:
        made["durable"]["order"] = [renamed(path) for path in made["durable"]["order"]]
        for name in ("waits", "partials"):
            for each in made["durable"][name]:
                each["path"] = renamed(each["path"])
    return made


def _close_gaps(before: Document, made: dict[str, Any], gone: list[str]) -> None:
    """Move up what stood behind the steps that are gone, where nothing else holds their places."""
    left = _places(made)
    freed = {place for place in _places(before, only=gone) if place not in left}
    for path, record in _placed(made):
        scope = _scope(path)
        record["position"] -= sum(1 for where, position in freed if where == scope and position < record["position"])


def _places(document: Document, only: list[str] | None = None) -> set[tuple[str, int]]:
    return {(_scope(path), record["position"]) for path, record in _placed(document) if only is None or path in only}


def _placed(document: Document) -> list[tuple[str, Any]]:
    return [*document["steps"].items(), *((wait["path"], wait) for wait in document["durable"]["waits"])]


def _scope(path: str) -> str:
    return path.rpartition("/")[0]
