"""The tasks that this process knows, by their dotted paths."""

from __future__ import annotations

from typing import Any

from django_tasks_durable.compat import Task
from django_tasks_durable.exceptions import UnknownTask

_tasks: dict[str, Task[..., Any]] = {}


def register(task: Task[..., Any]) -> None:
    """Make a task known under its path. The first one of a function wins, so that copies by using() change nothing."""
    path = task.module_path
    known = _tasks.get(path)
    # Another function under the same path is the same module imported again.
    if known is None or known.func is not task.func:
        _tasks[path] = task


def get_task(path: str) -> Task[..., Any]:
    """Return the task of this path. Raise UnknownTask; never imports anything."""
    try:
        return _tasks[path]
    except KeyError:
        raise UnknownTask(path) from None


def registered() -> dict[str, Task[..., Any]]:
    """Return all known tasks by path."""
    return dict(_tasks)
