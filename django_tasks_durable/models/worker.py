"""A process that claims."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Worker(models.Model):
    """One incarnation of a process that claims; known by its heartbeat, its row is never reused."""

    id = models.CharField(_("worker"), primary_key=True, max_length=128)
    host = models.CharField(_("host"), max_length=128)
    pid = models.PositiveIntegerField(_("process id"))
    queues = models.TextField(default="[]")
    concurrency = models.PositiveIntegerField(default=1)
    lease_seconds = models.FloatField(default=30)
    package_version = models.CharField(_("version"), max_length=32, default="", blank=True)
    started_at = models.DateTimeField(_("started"))
    heartbeat_at = models.DateTimeField(_("heartbeat"))
    # The database has the defaults too: workers of the release before this one do not know these columns.
    failed_heartbeats = models.PositiveIntegerField(default=0, db_default=0)
    deaf_because = models.CharField(max_length=200, default="", db_default="", blank=True)
    dead_at = models.DateTimeField(_("declared dead"), null=True)
    stopped_at = models.DateTimeField(_("stopped"), null=True)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("-started_at",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.id
