"""Django's Tasks framework, from wherever this version of Django has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import django
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.dispatch import Signal

HAS_CORE_TASKS = django.VERSION >= (6, 0)

if TYPE_CHECKING or HAS_CORE_TASKS:
    from django.tasks import TaskContext, TaskResultStatus, base, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError, TaskResult
    from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist, TaskResultMismatch
    from django.utils.json import normalize_json
else:
    try:
        from django_tasks import TaskContext, TaskResultStatus, base, exceptions, task_backends
        from django_tasks.backends.base import BaseTaskBackend
        from django_tasks.base import Task, TaskError, TaskResult
        from django_tasks.exceptions import TaskResultDoesNotExist, TaskResultMismatch
        from django_tasks.utils import normalize_json
    except ImportError as error:
        raise ImproperlyConfigured(
            "Before Django 6.0 the task framework is a package of its own: pip install 'django-tasks>=0.12'."
        ) from error
    # The backport takes over Django's names after 0.12.
    InvalidTask = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
    InvalidTaskBackend = getattr(exceptions, "InvalidTaskBackend", None) or exceptions.InvalidTaskBackendError

TASK_REFRESH_ATTRS: frozenset[str] = frozenset(base.TASK_REFRESH_ATTRS)
_FRAMEWORK = "django.tasks" if HAS_CORE_TASKS else "django_tasks"
TASKS_LOGGER = _FRAMEWORK

__all__ = [
    "HAS_CORE_TASKS",
    "TASKS_LOGGER",
    "TASK_REFRESH_ATTRS",
    "BaseTaskBackend",
    "InvalidTask",
    "InvalidTaskBackend",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TaskResultStatus",
    "is_only_logged",
    "normalize_json",
    "register_checks",
    "restore",
    "signals",
    "task_backends",
]


@cache
def signals() -> ModuleType:
    """Return the framework's signals module, which must not be imported while settings load."""
    return import_module(f"{_FRAMEWORK}.signals")


def register_checks() -> None:
    """Register the framework's own check, which asks each backend. Registering it twice is as good as once."""
    checks.register(import_module(f"{_FRAMEWORK}.checks").check_tasks)


def is_only_logged(signal: Signal, log: Callable[..., None]) -> bool:
    """Tell whether nobody listens but the framework's own receiver, which writes a line into a log."""
    return len(signal.receivers) == 1 and signal.receivers[0][0][0] == id(log)


def restore(task: Task[..., Any], **changes: Any) -> Task[..., Any]:
    """Return a copy of a task with other values, without validating it again.

    What was enqueued must stay readable when QUEUES has changed since.
    """
    copy = object.__new__(type(task))
    for field in fields(task):
        object.__setattr__(copy, field.name, changes.get(field.name, getattr(task, field.name)))
    return copy
