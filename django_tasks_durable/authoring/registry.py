"""The tasks that this process knows, by their dotted paths, and how their histories are led to newer code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_tasks_durable.compat import Task
from django_tasks_durable.exceptions import UnknownTask

Migration = Callable[[dict[str, Any]], dict[str, Any]]
_tasks: dict[str, Task[..., Any]] = {}
_migrations: dict[str, dict[int, Migration]] = {}


def register(task: Task[..., Any]) -> None:
    """Make a task known under its path. The first one of a function wins, so that copies by using() change nothing."""
    path = task.module_path
    known = _tasks.get(path)
    # Another function under the same path is the same module imported again.
    if known is None or known.func is not task.func:
        _tasks[path] = task


def register_migration(path: str, version: int, migration: Migration) -> None:
    """Make it known how the history of a task leads from a version to the next."""
    _migrations.setdefault(path, {})[version] = migration


def migrations_of(path: str) -> dict[int, Migration]:
    """Return the known migrations of a task, each by the version that it begins with."""
    return dict(_migrations.get(path, {}))


def get_task(path: str) -> Task[..., Any]:
    """Return the task of this path. Raise UnknownTask; never imports anything."""
    try:
        return _tasks[path]
    except KeyError:
        raise UnknownTask(path) from None


def registered() -> dict[str, Task[..., Any]]:
    """Return all known tasks by path."""
    return dict(_tasks)
