"""Who may see which runs, and what of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet

from django_tasks_durable.models import TaskRun

VIEW = "durable_tasks.view_taskrun"
VIEW_PAYLOAD = "durable_tasks.view_payload"

MASK = "••••••"
HIDDEN = "(hidden)"
DEEPEST = 64

User = AbstractBaseUser | AnonymousUser


def visible_to(user: User, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """Keep the runs that a user may see: all for those who may view tasks, none for others."""
    return queryset if _may(user, VIEW) else queryset.none()


def sees_payloads(user: User) -> bool:
    """Tell whether a user may see arguments, results, answers and other values of runs."""
    return _may(user, VIEW_PAYLOAD)


def user_named(name: str) -> User | None:
    """Return the user who logs in by this name; None if there is none."""
    users = get_user_model()
    try:
        return users._default_manager.get_by_natural_key(name)
    except users.DoesNotExist:
        return None


def may_answer(user: User, permission: str) -> bool:
    """Tell whether a user may answer a question that asks for this permission, or for none."""
    return not permission or _may(user, permission)


def _may(user: User, permission: str) -> bool:
    return bool(getattr(user, "is_active", False)) and user.has_perm(permission)  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class Veil:
    """How much of the payloads somebody sees: nothing, or all but what lies under the redacted keys."""

    sees_payloads: bool
    keys: tuple[str, ...]

    def __call__(self, value: Any) -> Any:
        """Return what may be seen of a payload."""
        return self.masked(value) if self.sees_payloads else HIDDEN

    def masked(self, value: Any) -> Any:
        """Return what may be seen of a value that is meant for everybody who is here, such as a question."""
        return redact(value, self.keys)


def veil(user: User, *, keys: Iterable[str]) -> Veil:
    """Return the veil between a user and the payloads of runs."""
    return Veil(sees_payloads=sees_payloads(user), keys=tuple(keys))


@lru_cache(maxsize=32)
def _pattern(keys: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(key.lower()) for key in keys) or r"(?!)")


def redact(value: Any, keys: Iterable[str]) -> Any:
    """Mask what lies under a key that contains one of ``keys``, at any depth, whatever the case of its letters."""
    return _redact(value, _pattern(tuple(keys)), DEEPEST)


def _redact(value: Any, pattern: re.Pattern[str], depth: int) -> Any:
    if depth == 0:
        return HIDDEN
    match value:
        case Mapping():
            return {
                key: MASK if pattern.search(str(key).lower()) else _redact(item, pattern, depth - 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_redact(item, pattern, depth - 1) for item in value]
        case _:
            return value
