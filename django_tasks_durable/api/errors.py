"""What is answered when something is refused: one shape, ``{"code", "message", ...}``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from django_tasks_durable.exceptions import (
    AlreadyResolved,
    AmbiguousResume,
    CommandFailed,
    DuplicateTask,
    DurableError,
    IdempotencyConflict,
    InvalidAnswer,
    InvalidCall,
    InvalidCursor,
    InvalidKey,
    InvalidLimit,
    InvalidSchedule,
    InvalidState,
    InvalidTransition,
    KeyHeld,
    MayNotAnswer,
    NotIdempotent,
    NotJson,
    NotSerializable,
    NotWaiting,
    PayloadTooLarge,
    RunNotFound,
    ScheduleNotFound,
    UnknownForm,
    UnknownPath,
    UnknownQueue,
    UnknownTask,
    UnknownWord,
    Unreadable,
)
from django_tasks_durable.snapshots.text import plain

# A thing that the address names and that there is not is 404; one that the body names is 400.
STATUSES: dict[type[DurableError], int] = {
    InvalidAnswer: 400,
    InvalidCall: 400,
    InvalidCursor: 400,
    InvalidKey: 400,
    InvalidLimit: 400,
    InvalidState: 400,
    NotIdempotent: 400,
    NotJson: 400,
    NotSerializable: 400,
    UnknownPath: 400,
    UnknownTask: 400,
    MayNotAnswer: 403,
    RunNotFound: 404,
    ScheduleNotFound: 404,
    UnknownQueue: 404,
    UnknownWord: 404,
    AlreadyResolved: 409,
    AmbiguousResume: 409,
    DuplicateTask: 409,
    IdempotencyConflict: 409,
    InvalidSchedule: 409,
    InvalidTransition: 409,
    KeyHeld: 409,
    NotWaiting: 409,
    Unreadable: 409,
    PayloadTooLarge: 413,
    CommandFailed: 422,
    UnknownForm: 503,
}
LONGEST_MESSAGE = 2000
SECONDS_TO_WAIT = "5"


def answer(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the response to an error; None for one that is a fault of the server."""
    found = _problem(error, context["view"])
    if found is None:
        return None
    status, body, headers = found
    set_rollback()
    return Response(body, status=status, headers=headers)


def _problem(error: Exception, view: Any) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    match error:
        case Http404():
            return _problem(exceptions.NotFound(), view)
        case PermissionDenied():
            return _problem(exceptions.PermissionDenied(), view)
        case exceptions.APIException():
            return error.status_code, _told(error), _headers(error)
        case DurableError():
            status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), None)
            return None if status is None else (status, _facts(error, view), {})
        case BadRequest() | SuspiciousOperation():
            return 400, problem("BAD_REQUEST", "The request cannot be read."), {}
        case OperationalError() | InterfaceError():
            body = problem("UNAVAILABLE", "The database does not answer. Try again in a moment.")
            return 503, body, {"Retry-After": SECONDS_TO_WAIT}
        case _:
            return None


def problem(code: str, message: object, **facts: Any) -> dict[str, Any]:
    """Return the one shape of what is refused."""
    told = plain(message)
    return {"code": code, "message": told if len(told) <= LONGEST_MESSAGE else f"{told[:LONGEST_MESSAGE]}…", **facts}


def _facts(error: DurableError, view: Any) -> dict[str, Any]:
    match error:
        case DuplicateTask() | KeyHeld():
            return problem(error.code, _for_eyes_of(view, str(error), error.run_id))
        case AlreadyResolved() | NotWaiting() if error.token:
            # Whoever has the token may answer; who may not need not learn it from a refusal.
            return problem(error.code, str(error).replace(error.token, "…"))
        case InvalidAnswer():
            return problem(error.code, error, fields=error.errors)
        case NotSerializable() | PayloadTooLarge():
            return problem(error.code, error, path=plain(error.path))
        case UnknownPath():
            return problem(error.code, error, near=[plain(each) for each in error.near])
        case _:
            return problem(error.code, error)


def _for_eyes_of(view: Any, message: str, run_id: Any) -> str:
    """Leave the id of a run out of a message for somebody who may not see that run."""
    try:
        view.run_of(run_id)
    except RunNotFound:
        return message.replace(str(run_id), "of somebody else")
    return message


def _told(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        fields = {name: list(said) for name, said in _flat("", error.detail)}
        message = "; ".join(f"{name}: {' '.join(said)}" if name else " ".join(said) for name, said in fields.items())
        return problem("INVALID", message, fields=fields)
    return problem(str(error.default_code).upper(), error.detail)


def _flat(name: str, detail: Any) -> Iterator[tuple[str, list[str]]]:
    """Give what is wrong with each field, those within others by their places."""
    if isinstance(detail, Mapping):
        for part, below in detail.items():
            place = "" if part == "non_field_errors" else str(part)
            yield from _flat(f"{name}.{place}".strip("."), below)
    elif isinstance(detail, list) and any(isinstance(each, (Mapping, list)) for each in detail):
        for number, below in enumerate(detail):
            if below:
                yield from _flat(f"{name}[{number}]", below)
    else:
        said = detail if isinstance(detail, list) else [detail]
        yield plain(name), [plain(each) for each in said]


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(auth)
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers
