"""Who listens, and which runs they may see: asked at the door, and again while they stay."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import EmptyResultSet
from django.http import HttpRequest

from django_tasks_durable.conf import Options
from django_tasks_durable.snapshots import policy, read
from django_tasks_durable.snapshots.policy import User, Veil
from django_tasks_durable.snapshots.read import Narrow

UNKNOWN, FORBIDDEN, SILENT, TOO_MANY = 4401, 4403, 4408, 4429


class Barred(Exception):
    """Nobody is let in here, or no longer. ``close_code`` says why."""

    def __init__(self, close_code: int, code: str, message: str) -> None:
        self.close_code = close_code
        self.code = code
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Audience:
    """All who may see the same runs through the same veil; what is read for one of them is read for all."""

    key: str
    veil: Veil = field(compare=False)
    narrow: Narrow = field(compare=False, repr=False)


@dataclass(frozen=True)
class Viewer:
    """Somebody who listens."""

    name: str
    audience: Audience


def viewer(user: Any, session: SessionBase | None, options: Options) -> Viewer:
    """Ask the database who somebody is now, and what he may see. Raise Barred.

    What a session or a user said at the door is not believed: it may have ended, or lost its permission, meanwhile.
    """
    present = _present(user, session)
    if present is None or not present.is_authenticated:
        raise Barred(UNKNOWN, "unauthenticated", "Log in first.")
    veil = policy.veil(present, keys=options.redact_keys)
    queryset = policy.visible_to(present, read.runs(using=options.database))
    try:
        sql = str(queryset.order_by("id").values("pk").query)
    except EmptyResultSet:
        raise Barred(FORBIDDEN, "forbidden", "You may not see tasks.") from None
    # What a hook hides may differ from user to user.
    hidden_for = present.pk if veil.hooks else ""
    return Viewer(
        name=f"{present._meta.label}:{present.pk}",
        audience=Audience(
            f"{veil.sees_payloads} {hidden_for} {sql}", veil, lambda queryset: policy.visible_to(present, queryset)
        ),
    )


def _present(user: Any, session: SessionBase | None) -> User | None:
    if session is not None and session.session_key:
        fresh = session.__class__(session.session_key)
        return cast(User, get_user(cast(HttpRequest, SimpleNamespace(session=fresh))))
    if user is None or not user.is_authenticated:
        return None
    return policy.user_named(user.get_username())
