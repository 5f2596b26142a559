"""Filters of the task list. None of them looks through the whole table for its choices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import narrowing, read
from django_tasks_durable.snapshots.text import plain

from . import places

if TYPE_CHECKING:
    Filter = admin.SimpleListFilter
else:
    Filter = admin.SimpleListFilter

AGES = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}
RECENT = 1000
CHOICES = 100


# What most runs come to; each other state has an index of its own.
COMMON = State.SUCCEEDED


def looks_among_newest(request: HttpRequest) -> bool:
    """Tell whether a list is filtered by what has no index, so that only the newest runs are looked at."""
    is_filtered = any(request.GET.get(name) for name in ("q", "queue_name", "task_path", "ended"))
    return is_filtered and request.GET.get("state", COMMON) in (COMMON, "")


def unindexed(request: HttpRequest, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """Keep the runs among which something that has no index may be looked for."""
    return narrowing.among_newest(queryset) if looks_among_newest(request) else queryset


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
        return queryset if chosen is None else unindexed(request, queryset).filter(**{self.column: chosen})


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


class EndedFilter(Filter):
    """By when they ended."""

    title = _("ended")
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the windows of the overview."""
        return [("1h", _("In the last hour")), ("24h", _("In the last day")), ("7d", _("In the last seven days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs that ended within the window."""
        age = AGES.get(self.value() or "")
        return queryset if age is None else narrowing.ended_within(unindexed(request, queryset), age)


class _GivenFilter(Filter):
    """By what an address gives. There is nothing to choose from: another page leads here."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return what was asked for."""
        return [(name, plain(name)) for name in request.GET.getlist(str(self.parameter_name))[:1] if name]


class ChannelFilter(_GivenFilter):
    """By a channel that they are in. The page of a task leads here."""

    title = _("channel")
    parameter_name = "channel"

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs in it."""
        chosen = self.value()
        return queryset if not chosen else narrowing.in_any_channel(queryset, [chosen])


class ExceptionFilter(_GivenFilter):
    """By the exception that they failed with. The overview leads here."""

    title = _("exception")
    parameter_name = "exception"

    def queryset(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
        """Keep the runs that failed with it."""
        chosen = self.value()
        return queryset if not chosen else narrowing.failed_with(queryset, chosen)
