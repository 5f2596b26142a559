"""All schedules that the code of this process declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.compat import Task

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
