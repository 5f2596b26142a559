"""What a program posts to a webhook."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, UnreadablePostError

from django_tasks_durable.exceptions import NotJson, PayloadTooLarge


def read_json(request: HttpRequest, limit: int) -> Any:
    """Return the JSON of a request's body. Raise PayloadTooLarge before more than ``limit`` bytes are read, or NotJson."""
    told = request.META.get("CONTENT_LENGTH") or "0"
    if told.isdecimal() and int(told) > limit:
        raise PayloadTooLarge("The body", int(told), limit)
    try:
        raw = request.read(limit + 1)
    except UnreadablePostError as error:
        raise NotJson(str(error)) from error
    if len(raw) > limit:
        raise PayloadTooLarge("The body", len(raw), limit)
    try:
        return json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
