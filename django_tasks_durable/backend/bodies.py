"""What a program sends in the body of a request."""

from __future__ import annotations

import json
from typing import Any, Protocol

from django.http import UnreadablePostError

from django_tasks_durable.exceptions import NotJson, PayloadTooLarge


class Readable(Protocol):
    """A request, or what is left of one."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes."""


def read_json(body: Readable, told: str | None, limit: int) -> Any:
    """Return the JSON of a body whose length is told in a header.

    Raise PayloadTooLarge before more than ``limit`` bytes are read, or NotJson.
    """
    if told and told.isdecimal() and int(told[:20]) > limit:
        raise PayloadTooLarge("The body", int(told[:20]), limit)
    try:
        raw = body.read(limit + 1)
    except UnreadablePostError as error:
        raise NotJson(str(error)) from error
    if len(raw) > limit:
        raise PayloadTooLarge("The body", len(raw), limit)
    return json_of(raw)


def json_of(raw: bytes) -> Any:
    """Return the JSON that bytes hold. Raise NotJson, also for numbers that JSON does not have."""
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
