"""Middleware that come with the package, and what every one is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import tzinfo
from pathlib import PurePath
from typing import Any

from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.decorators import sync_and_async_middleware

from .authoring.middleware import AttemptContext as AttemptContext
from .authoring.middleware import EnqueueContext as EnqueueContext
from .authoring.middleware import GetOutcome as GetOutcome
from .authoring.middleware import within
from .primitives.origins import ENQUEUED_BY

LANGUAGE, TIME_ZONE = "language", "time_zone"
COMMANDS = frozenset({"manage.py", "django-admin"})
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


@sync_and_async_middleware
def language_and_time_zone(get_outcome: GetOutcome) -> GetOutcome:
    """Keep the language and the time zone of whoever enqueues, and let the task work in them.

    They are ``language`` and ``time_zone`` of the run's metadata: what is there already stands.
    """
    return within(get_outcome, _kept)


@contextmanager
def _kept(context: EnqueueContext | AttemptContext) -> Iterator[None]:
    if isinstance(context, EnqueueContext):
        context.metadata.setdefault(LANGUAGE, translation.get_language())
        context.metadata.setdefault(TIME_ZONE, _name_of(timezone.get_current_timezone()))
        yield
        return
    language = context.metadata.get(LANGUAGE, translation.get_language())
    zone = _zone_of(context.metadata.get(TIME_ZONE))
    # Whatever the task leaves active goes with the overrides, as the thread is used again.
    with translation.override(language), timezone.override(zone):
        yield


def _name_of(zone: tzinfo) -> str | float | None:
    """Return the key of a time zone, or the minutes of a fixed offset; None for one that has neither."""
    key = getattr(zone, "key", None)
    if key:
        return str(key)
    offset = zone.utcoffset(None)
    return None if offset is None else offset.total_seconds() / 60


def _zone_of(name: str | float | None) -> str | tzinfo:
    if name is None:
        return timezone.get_current_timezone()
    return name if isinstance(name, str) else timezone.get_fixed_timezone(name)  # type: ignore[arg-type]


@sync_and_async_middleware
def remember_request(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Know whose request is answered, for ``enqueued_by``. One of ``MIDDLEWARE``, behind Django's for authentication."""
    return within(get_response, _remembered)


@sync_and_async_middleware
def enqueued_by(get_outcome: GetOutcome) -> GetOutcome:
    """Keep who enqueues as ``enqueued_by`` of the run's metadata: the user of the request, else the management command.

    What is there already stands. The user is known where ``remember_request`` is among Django's ``MIDDLEWARE``.
    """
    return within(get_outcome, _signed)


@contextmanager
def _remembered(request: HttpRequest) -> Iterator[None]:
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


@contextmanager
def _signed(context: EnqueueContext | AttemptContext) -> Iterator[None]:
    if isinstance(context, EnqueueContext) and (name := _user() or _command()):
        context.metadata.setdefault(ENQUEUED_BY, name)
    yield


def _user() -> str:
    user = getattr(_request.get(), "user", None)
    return "" if user is None else str(user.get_username())


def _command() -> str:
    program, *arguments = sys.argv or [""]
    if PurePath(program).name not in COMMANDS or not arguments:
        return ""
    return f"manage.py {arguments[0]}"
