"""How many runs of a task began and ended in a span of time, for charts."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.spans import Grain


class Rollup(models.Model):
    """What the runs of one task in one queue did in one minute or hour, counted afterwards from their timelines.

    Histograms are JSON objects from a bucket of ``primitives.spans`` to a number, ``failures`` from an exception to one.
    """

    id = models.BigAutoField(primary_key=True)
    grain = models.PositiveSmallIntegerField(choices=Grain.choices, help_text=_("Seconds that a row is about."))
    begins_at = models.DateTimeField(_("begins"))
    task_path = models.CharField(_("task"), max_length=255)
    queue_name = models.CharField(_("queue"), max_length=64)
    started = models.PositiveIntegerField(_("started"), default=0)
    succeeded = models.PositiveIntegerField(_("succeeded"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    cancelled = models.PositiveIntegerField(_("cancelled"), default=0)
    retried = models.PositiveIntegerField(_("retried"), default=0)
    stale = models.PositiveIntegerField(_("worker lost"), default=0)
    waits = models.TextField(default="{}", help_text=_("Histogram of the seconds from due to started."))
    waited_seconds = models.FloatField(default=0)
    durations = models.TextField(default="{}", help_text=_("Histogram of the seconds from started to ended."))
    took_seconds = models.FloatField(default=0)
    failures = models.TextField(default="{}", help_text=_("How many of the failures were which exception."))

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        ordering = ("grain", "begins_at", "task_path", "queue_name")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=("grain", "begins_at", "task_path", "queue_name"), name="dtd_rollup_span")
        ]

    def __str__(self) -> str:
        return f"{self.task_path} {self.begins_at:%Y-%m-%d %H:%M}"


class RollupCursor(models.Model):
    """How far the timelines have been counted: up to the line with this id. There is one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    step_id = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("place of the rollups")
        verbose_name_plural = _("place of the rollups")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.step_id)
