"""What a snapshot of ours says beyond awaitly's: the part under ``durable``, and more about each step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django_tasks_durable.primitives.marks import TRY
from django_tasks_durable.primitives.status import CheckpointKind, RunStatus, WakeReason

from ..replay import PATH_LENGTH
from .finding import Finder, at

FORMAT = 1
WHERE = "$.durable"
INSTANTS = ("enqueued_at", "run_after", "due_at", "started_at", "finished_at")
# What a question may say of who answers and how, and the most characters of each.
ASKED = {"permission": 255, "form": 255, "event": 200}
# What the last part of a path begins with, for each kind of checkpoint.
HEADS = {
    CheckpointKind.STEP: ("step:", "link:"),
    CheckpointKind.TRY: ("step:", "undo:"),
    CheckpointKind.SLEEP: ("sleep:", "pause:"),
    CheckpointKind.WAIT: ("wait:", "approval:", "webhook:", "recv:", "event:"),
    CheckpointKind.CALL: ("call:", "branch:"),
    CheckpointKind.UNDOABLE: ("step:",),
    CheckpointKind.UNDO: ("undo:",),
    CheckpointKind.PATCH: ("patch:",),
    CheckpointKind.SPAWN: ("spawn:",),
    CheckpointKind.JOIN: ("join:",),
    CheckpointKind.STREAM: ("stream:",),
    CheckpointKind.POLL: ("poll:",),
}


def check(document: Mapping[str, Any], find: Finder) -> None:
    """Look at all that only we say."""
    told = document["durable"]
    format = find.count(told, WHERE, "format", least=1)
    if format is not None and format > FORMAT:
        find.say(
            f"{WHERE}.format", f"{format} is newer than {FORMAT}, the newest that is known here; update this package"
        )
        return
    _run(told, find)
    steps = document.get("steps")
    if isinstance(steps, Mapping):
        for path, result in steps.items():
            if isinstance(result, Mapping):
                _step(path, result, at("$.steps", path), find)
        _order(told, steps, find)
    for place, wait in enumerate(find.member(told, WHERE, "waits", list) or ()):
        _wait(wait, f"{WHERE}.waits[{place}]", find)
    for place, message in enumerate((find.member(told, WHERE, "messages", list) or ()) if "messages" in told else ()):
        _message(message, f"{WHERE}.messages[{place}]", find)
    if "workflow" in told and (stage := find.member(told, WHERE, "workflow", dict)) is not None:
        _stage(stage, f"{WHERE}.workflow", find)
    for place, partial in enumerate(find.member(told, WHERE, "partials", list) or ()):
        where = f"{WHERE}.partials[{place}]"
        if not isinstance(partial, Mapping):
            find.say(where, f"must be an object, not {find.name_of(partial)}")
        else:
            find.text(partial, where, "path", most=PATH_LENGTH)
            find.present(partial, where, "value")


def _run(told: Mapping[str, Any], find: Finder) -> None:
    find.count(told, WHERE, "version", least=1)
    find.text(told, WHERE, "task_path", most=255, least=1)
    if told.get("run_id", ...) is not None and (run_id := find.member(told, WHERE, "run_id", str)) is not None:
        try:
            UUID(run_id)
        except ValueError:
            find.say(f"{WHERE}.run_id", f"{run_id!r} is no id")
    for name, kind in (("args", list), ("kwargs", dict), ("options", dict), ("errors", list), ("worker_ids", list)):
        find.member(told, WHERE, name, kind)
    find.present(told, WHERE, "metadata")
    for name in ("backend", "queue_name"):
        find.text(told, WHERE, name, most=64, least=1)
    priority = find.member(told, WHERE, "priority", int)
    if priority is not None and not -100 <= priority <= 100:
        find.say(f"{WHERE}.priority", f"must be from -100 to 100, not {priority}")
    status = find.choice(told, WHERE, "status", RunStatus.values)
    find.choice(told, WHERE, "wake_reason", WakeReason.values)
    find.text(told, WHERE, "error_code", most=32)
    find.member(told, WHERE, "cancel_requested", bool)
    for name, least in (("attempts", 0), ("max_attempts", 1), ("max_deliveries", 1), ("inbox", 0)):
        find.count(told, WHERE, name, least=least)
    for name in INSTANTS:
        if find.present(told, WHERE, name):
            find.instant(told, WHERE, name, nullable=True)
    if status == RunStatus.SUCCESSFUL:
        find.present(told, WHERE, "result")
    for place, error in enumerate(told.get("errors") or () if isinstance(told.get("errors"), list) else ()):
        if not isinstance(error, Mapping):
            find.say(f"{WHERE}.errors[{place}]", f"must be an object, not {find.name_of(error)}")
    for place, worker in enumerate(told.get("worker_ids") or () if isinstance(told.get("worker_ids"), list) else ()):
        if not isinstance(worker, str):
            find.say(f"{WHERE}.worker_ids[{place}]", f"must be a string, not {find.name_of(worker)}")
    _progress(told, find)


def _progress(told: Mapping[str, Any], find: Finder) -> None:
    progress = find.member(told, WHERE, "progress", dict)
    if progress is None:
        return
    percent = progress.get("percent")
    if percent is not None and (isinstance(percent, bool) or not isinstance(percent, int | float)):
        find.say(f"{WHERE}.progress.percent", f"must be a number, not {find.name_of(percent)}")
    find.text(progress, f"{WHERE}.progress", "label", most=200)
    find.present(progress, f"{WHERE}.progress", "meta")


def _step(path: str, result: Mapping[str, Any], where: str, find: Finder) -> None:
    kind = find.choice(result, where, "kind", CheckpointKind.values)
    find.count(result, where, "position")
    find.text(result, where, "fingerprint", most=32)
    seconds = result.get("seconds")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float)):
        find.say(f"{where}.seconds", f"must be a number, not {find.name_of(seconds)}")
    _path(path, where, find)
    if kind is not None and not _last(path).startswith(HEADS[CheckpointKind(kind)]):
        find.say(where, f"a {kind} does not stand at such a path")
    if kind is not None and (kind == CheckpointKind.TRY) != (TRY in path):
        find.say(where, "a failed try of a step, and nothing else, stands at a path with '!try:'")
    if result.get("ok") is False and isinstance(failure := find.member(result, where, "failure", dict), Mapping):
        _failure(failure, f"{where}.failure", find)
    if result.get("ok") is True and kind == CheckpointKind.CALL:
        value = result.get("value")
        if not isinstance(value, Mapping) or "value" not in value or not isinstance(value.get("partials"), list):
            find.say(f"{where}.value", "must have the partials and the value of the call")


def _failure(failure: Mapping[str, Any], where: str, find: Finder) -> None:
    if failure.get("due") is not None:
        find.instant(failure, where, "due")
    if "partials" in failure:
        find.member(failure, where, "partials", list)
    while True:
        find.member(failure, where, "class", str)
        find.member(failure, where, "message", str)
        find.member(failure, where, "state", dict)
        if failure.get("args") is not None:
            find.member(failure, where, "args", str)
        if "cause" not in failure:
            return
        cause = find.member(failure, where, "cause", dict)
        if cause is None:
            return
        failure, where = cause, f"{where}.cause"


def _order(told: Mapping[str, Any], steps: Mapping[str, Any], find: Finder) -> None:
    order = find.member(told, WHERE, "order", list)
    if order is None:
        return
    names = [name for name in order if isinstance(name, str)]
    known = set(names)
    if len(known) < len(order):
        find.say(f"{WHERE}.order", "must name each step once")
    if lost := [name for name in names if name not in steps]:
        find.say(
            f"{WHERE}.order",
            f"{json.dumps(lost[0])} is not among the steps ({len(lost)} lost). Was the file cut short?",
        )
    if unnamed := [path for path in steps if path not in known]:
        find.say(f"{WHERE}.order", f"does not name {json.dumps(unnamed[0])}")


def _stage(stage: Mapping[str, Any], where: str, find: Finder) -> None:
    find.present(stage, where, "state")
    find.text(stage, where, "step", most=100, least=1)
    find.count(stage, where, "visit", least=1)
    find.count(stage, where, "version")
    find.count(stage, where, "partials_before")


def _wait(wait: object, where: str, find: Finder) -> None:
    if not isinstance(wait, Mapping):
        find.say(where, f"must be an object, not {find.name_of(wait)}")
        return
    path = find.text(wait, where, "path", most=PATH_LENGTH, least=1)
    if path is not None:
        _path(path, where, find)
    find.text(wait, where, "kind", most=20, least=1)
    find.count(wait, where, "position")
    find.text(wait, where, "fingerprint", most=32)
    if "token" in wait:
        find.text(wait, where, "token", most=64, least=8)
    find.present(wait, where, "request")
    if find.present(wait, where, "deadline"):
        find.instant(wait, where, "deadline", nullable=True)
    if "has_default" in wait:
        find.member(wait, where, "has_default", bool)
    for name, most in ASKED.items():
        if name in wait:
            find.text(wait, where, name, most=most)


def _message(message: object, where: str, find: Finder) -> None:
    if not isinstance(message, Mapping):
        find.say(where, f"must be an object, not {find.name_of(message)}")
        return
    find.text(message, where, "name", most=PATH_LENGTH, least=1)
    find.present(message, where, "payload")


def _path(path: str, where: str, find: Finder) -> None:
    if len(path) > PATH_LENGTH or not path.isprintable() or ":" not in _last(path):
        find.say(where, f"is no path of a primitive, of at most {PATH_LENGTH} characters")


def _last(path: str) -> str:
    return path.rpartition("/")[2]
