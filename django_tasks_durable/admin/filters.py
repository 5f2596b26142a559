"""Filters of the task list. None of them looks through the whole table for its choices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.text import plain

from . import places

if TYPE_CHECKING:
    Filter = admin.SimpleListFilter
else:
    Filter = admin.SimpleListFilter

RECENT = 1000
CHOICES = 100


class StateFilter(Filter):
    """By the state that people see. The strip of counts above the list is its face."""

    title = _("state")
    parameter_name = "state"
    template = "admin/durable_tasks/taskrun/no_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return all states."""
        return [(state.value, state.label) for state in State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs of the chosen state."""
        chosen = self.value()
        return queryset if chosen not in State.values else read.in_state(queryset, State(chosen))


class _RecentFilter(Filter):
    """By a column whose choices are known from the code and from the newest runs."""

    column = ""

    def known(self) -> Iterable[str]:
        """Return the choices that are there whatever the table holds."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the known choices and those of the newest runs."""
        newest = model_admin.get_queryset(request).order_by("-id").values_list(self.column, flat=True)[:RECENT]
        names = sorted({*self.known(), *newest, *filter(None, [self.value()])})
        return [(name, self.label(name)) for name in names[:CHOICES]]

    def label(self, name: str) -> str:
        """Return what a choice is called."""
        return plain(name)

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs of the chosen name."""
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(**{self.column: chosen})


class QueueFilter(_RecentFilter):
    """By queue."""

    title = _("queue")
    parameter_name = column = "queue_name"

    def known(self) -> Iterable[str]:
        """Return the queues of the settings."""
        return places.queue_names()


class TaskFilter(_RecentFilter):
    """By task."""

    title = _("task")
    parameter_name = column = "task_path"

    def known(self) -> Iterable[str]:
        """Return the tasks that this process knows."""
        return registered()

    def label(self, name: str) -> str:
        """Return the end of the path, which is what people call a task."""
        return plain(".".join(name.split(".")[-2:]))
