"""The columns of the task list."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as of_django
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.models import TaskRun
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.shapes import RunSummary
from django_tasks_durable.snapshots.text import plain

from . import look


class RunColumns:
    """What the list says of each run."""

    def action_checkbox(self, obj: TaskRun) -> SafeString:
        """What Django's own is, which names the task to screen readers, without a template for each row."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            of_django("Select this object for an action - {}").format(str(harmless(_summary(obj)))),
        )

    @admin.display(description=_("state"))
    def state(self, obj: TaskRun) -> SafeString:
        """The state, in icon, colour and word."""
        return look.badge(_summary(obj))

    @admin.display(description=_("task"), ordering="-id")
    def task(self, obj: TaskRun) -> SafeString:
        """The task's short name over the end of the id; the whole path is the title."""
        run = _summary(obj)
        return format_html(
            '<span class="dtd-task" title="{}" data-run="{}"><bdi>{}</bdi></span> <code class="dtd-quiet">{}</code>',
            plain(run.task_path),
            run.id,
            plain(run.name),
            run.short_id,
        )

    @admin.display(description=_("queue"))
    def queue(self, obj: TaskRun) -> str:
        """The queue."""
        return plain(obj.queue_name)

    @admin.display(description=_("attempt"))
    def attempt(self, obj: TaskRun) -> SafeString:
        """The attempt and how many there may be."""
        return look.attempts(_summary(obj))

    @admin.display(description=_("progress"))
    def progress(self, obj: TaskRun) -> SafeString:
        """How far it is."""
        return look.progress(_summary(obj))

    @admin.display(description=_("enqueued"), ordering="id")
    def enqueued(self, obj: TaskRun) -> SafeString:
        """When it was enqueued."""
        return look.shortly(_summary(obj))

    @admin.display(description=_("run time"))
    def lasted(self, obj: TaskRun) -> SafeString:
        """How long it took."""
        return look.lasted(_summary(obj))


def _summary(run: TaskRun) -> RunSummary:
    """Return the summary of a row, which is made once for all of its cells."""
    kept: RunSummary = run.__dict__.get("_summary") or run.__dict__.setdefault("_summary", read.summary(run))
    return kept


def harmless(run: TaskRun | RunSummary) -> TaskRun:
    """Return a stand-in for a run where Django writes out its name by itself."""
    return TaskRun(id=run.id, task_path=plain(run.task_path))
