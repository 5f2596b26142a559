"""What a run hands out so that it can be answered from outside: addresses, and the wait for a program's call."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.urls import NoReverseMatch, reverse

from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import LinksNotRouted
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.links import WEBHOOK, Link
from django_tasks_durable.primitives.status import CheckpointKind

from . import messages, records
from .effects import Act, Durable
from .frame import Frame
from .replay import Replayed
from .waits import Question


def webhook(frame: Frame, key: str, timeout: timedelta | None, default: Any) -> Act[Any]:
    """Wait for what is posted to the address of this key. It may have come before the run began to wait."""
    return messages.take(frame, Question(kind=WEBHOOK, word=WEBHOOK, key=key, timeout=timeout, default=default))


def link(frame: Frame, kind: str, key: str, valid_for: timedelta | None) -> Act[str]:
    """Make the address of the next question of a key in this scope. Signature and end are decided once."""
    place = frame.begin("link", key)
    try:
        decision = frame.decide(place, CheckpointKind.STEP)
        if isinstance(decision, Replayed):
            made: str = codec.decode(decision.text)
            return made
        slice = frame.slice
        expires_at = None if valid_for is None else slice.now() + valid_for
        address = _address(frame, kind, frame.scope.next_path(kind, key), expires_at)
        yield Durable(records.saved(slice.claimed.lease, place, CheckpointKind.STEP, codec.encode(address)))
        return address
    finally:
        frame.end()


def _address(frame: Frame, kind: str, path: str, expires_at: datetime | None) -> str:
    claimed = frame.slice.claimed
    target = Link(kind=kind, run_id=claimed.run_id, path=path, backend=claimed.backend, expires_at=expires_at)
    try:
        address = reverse(f"durable_answers:{kind}", args=[target.sign()])
    except NoReverseMatch as error:
        raise LinksNotRouted from error
    return get_options(claimed.backend).base_url.rstrip("/") + address
