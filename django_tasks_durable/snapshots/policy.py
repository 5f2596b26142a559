"""Who may see which runs, and what of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from django_tasks_durable.conf import durable_aliases, get_options
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.secrets import MASK as MASK
from django_tasks_durable.primitives.secrets import without_secrets

from .shapes import Act

VIEW = "durable_tasks.view_taskrun"
VIEW_PAYLOAD = "durable_tasks.view_payload"
ENQUEUE = "durable_tasks.enqueue_task"
MESSAGE = "durable_tasks.message_task"
VIEW_QUEUES, CHANGE_QUEUES = "durable_tasks.view_queue", "durable_tasks.change_queue"
VIEW_WORKERS = "durable_tasks.view_worker"
VIEW_SCHEDULES, RUN_SCHEDULES = "durable_tasks.view_schedule", "durable_tasks.run_schedule"
PERMISSIONS = {
    Act.CANCEL: "durable_tasks.cancel_task",
    Act.RETRY: "durable_tasks.retry_task",
    Act.RESUME: "durable_tasks.resume_task",
    Act.RUN_NOW: "durable_tasks.run_task",
    Act.COPY: "durable_tasks.copy_task",
    Act.FORK: "durable_tasks.fork_task",
}

HIDDEN = "(hidden)"
DEEPEST = 64

User = AbstractBaseUser | AnonymousUser


def visible_to(user: User, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """Keep the runs that a user may see: none without the permission to view tasks, else what the project's hooks keep.

    The hooks are the ``visible_to`` of every alias that keeps its runs in the queryset's database.
    """
    if not may(user, VIEW):
        return queryset.none()
    for hook in _hooks("visible_to", queryset.db):
        queryset = hook(user, queryset)
    return queryset


def sees_all(user: User, using: str) -> bool:
    """Tell whether a user may see every run of a database: then the project's hooks hand the queryset back as it is."""
    everything = TaskRun.objects.using(using)
    return visible_to(user, everything) is everything


def _hooks(option: str, using: str | None) -> list[Callable[..., Any]]:
    """Return the functions that an option names, of the aliases that keep their runs in a database, or of all."""
    named = (get_options(alias) for alias in durable_aliases())
    paths = [getattr(options, option) for options in named if using in (None, options.database)]
    return [import_string(path) for path in dict.fromkeys(filter(None, paths))]


def sees_payloads(user: User) -> bool:
    """Tell whether a user may see arguments, results, answers and other values of runs."""
    return may(user, VIEW_PAYLOAD)


def user_named(name: str) -> User | None:
    """Return the user who logs in by this name; None if there is none."""
    users = get_user_model()
    try:
        return users._default_manager.get_by_natural_key(name)
    except users.DoesNotExist:
        return None


def may_answer(user: User, permission: str) -> bool:
    """Tell whether a user may answer a question that asks for this permission, or for none."""
    return not permission or may(user, permission)


def may(user: User, permission: str) -> bool:
    """Tell whether a user is active and has a permission."""
    return bool(getattr(user, "is_active", False)) and user.has_perm(permission)  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class Veil:
    """How much of the payloads somebody sees: nothing, or all but what lies under the redacted keys.

    ``hooks`` are the project's own, which get the value without what the keys mask.
    """

    sees_payloads: bool
    keys: tuple[str, ...]
    hooks: tuple[Callable[[Any], Any], ...] = ()

    def __call__(self, value: Any) -> Any:
        """Return what may be seen of a payload."""
        return self.masked(value) if self.sees_payloads else HIDDEN

    def masked(self, value: Any) -> Any:
        """Return what may be seen of a value that is meant for everybody who is here, such as a question."""
        value = redact(value, self.keys)
        for hook in self.hooks:
            value = hook(value)
        return value


def veil(user: User, *, keys: Iterable[str]) -> Veil:
    """Return the veil between a user and the payloads of runs."""
    hooks = tuple(partial(hook, user) for hook in _hooks("redact", None))
    return Veil(sees_payloads=sees_payloads(user), keys=tuple(keys), hooks=hooks)


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
        case str():
            return without_secrets(value)
        case _:
            return value
