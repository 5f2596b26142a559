"""Errors in a snapshot: a chain of causes that any program can read, and the way back.

A failed step tells ``error`` (what the step failed with), ``cause`` (an error with its own cause, or something thrown that
is no error) and ``meta.origin`` (``throw``, or ``result`` where a step returned its error). Ours carry the stored failure
beside that, so that the same exception comes back; those of others come back as StepFailed with their name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.primitives import codec

TEXT_LENGTH = 1000
# What lies deeper says nothing more to anybody.
LONGEST_CHAIN = 16
FOREIGN = "foreign"


def told(stored: str) -> dict[str, Any]:
    """Return error, cause and origin of a stored failure, as the snapshot that it came from told them if it came from one."""
    failure = json.loads(codec.opened(stored))
    if isinstance(failure.get(FOREIGN), dict):
        return dict(failure[FOREIGN])
    error = {"name": _name_of(failure), "message": str(failure["message"])}
    return {"error": error, "cause": _chain(failure), "meta": {"origin": "throw"}}


def cause_of(thrown: object) -> dict[str, Any]:
    """Tell an exception with its causes; anything else by its type, its text of at most 1000 characters and its value."""
    if isinstance(thrown, BaseException):
        return _chain(json.loads(codec.opened(codec.encode_error(thrown))))
    cause: dict[str, Any] = {"type": "thrown", "originalType": type(thrown).__name__}
    try:
        text = str(thrown)
    except Exception:  # what was thrown may be anything
        text = f"<{type(thrown).__name__} whose text cannot be told>"
    cause["stringRepresentation"] = text[:TEXT_LENGTH]
    if len(text) > TEXT_LENGTH:
        cause["truncated"] = True
    try:
        cause["value"] = json.loads(codec.text_of(thrown, limit=TEXT_LENGTH))
    except DurableError:
        pass  # Its text must do.
    return cause


def stored(result: Mapping[str, Any]) -> str:
    """Return a failure of another program's snapshot in the form that checkpoints keep, origin and all."""
    kept = {name: result[name] for name in ("error", "cause", "meta") if name in result}
    failure = _failure(result["cause"], result["error"], LONGEST_CHAIN)
    return json.dumps({**failure, FOREIGN: kept}, separators=(",", ":"))


def _chain(failure: Mapping[str, Any]) -> dict[str, Any]:
    cause: dict[str, Any] = {"type": "error", "name": _name_of(failure), "message": str(failure["message"])}
    if isinstance(failure.get("cause"), Mapping):
        cause["cause"] = _chain(failure["cause"])
    return cause


def _name_of(failure: Mapping[str, Any]) -> str:
    return re.split(r"[.:]", str(failure["class"]))[-1]


def _failure(cause: Mapping[str, Any], error: Any, left: int) -> dict[str, Any]:
    failure: dict[str, Any] = {"args": None, "state": {}}
    if cause["type"] == "error":
        failure |= {"class": cause["name"], "message": cause["message"]}
    else:
        failure |= {"class": cause.get("originalType", "thrown"), "message": _message(cause, error)}
    if isinstance(cause.get("cause"), Mapping) and left:
        failure |= {"cause": _failure(cause["cause"], None, left - 1), "raised_from": True}
    return failure


def _message(cause: Mapping[str, Any], error: Any) -> str:
    """Return the text of what was thrown; a step that returned an error has thrown nothing, so its error says more."""
    if error is None:
        return str(cause["stringRepresentation"])
    return error if isinstance(error, str) else json.dumps(error)[:TEXT_LENGTH]
