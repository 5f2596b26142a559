"""All schedules that the code of this process declares."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.compat import Task
from django_tasks_durable.primitives import codec

from .schedules import DeclaredSchedule
from .tasks import options_of, registered


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One schedule of one task, under the name that its row and its ticks have."""

    name: str
    task: Task[..., Any]
    schedule: DeclaredSchedule
    position: int


def declarations() -> Iterator[Declaration]:
    """Give every schedule of every registered task. One without a name has its task's path, numbered from the second on."""
    for path, task in sorted(registered().items()):
        for position, schedule in enumerate(options_of(task).schedule):
            own = path if position == 0 else f"{path}#{position + 1}"
            yield Declaration(name=schedule.name or own, task=task, schedule=schedule, position=position)


def misfit(task: Task[..., Any], args: str, kwargs: str) -> str:
    """Say how arguments, as JSON text, do not fit what a task takes; nothing when they do."""
    given = ([None] if task.takes_context else []) + list(codec.decode(args))
    try:
        inspect.signature(task.func).bind(*given, **codec.decode(kwargs))
    except TypeError as error:
        return str(error)
    except ValueError:
        pass  # a function of C has no signature to look at
    return ""
