"""What may be changed about a queue while workers run, and what keeps limits."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.lanes import SlotKind

from .run import TaskRun

LONGEST_QUEUE = 64
LONGEST_RATE = 32


class Queue(models.Model):
    """The settings of a queue that somebody changed at run time; a queue that nobody touched has no row."""

    name = models.CharField(_("queue"), primary_key=True, max_length=LONGEST_QUEUE)
    paused_at = models.DateTimeField(_("paused"), null=True)
    paused_by = models.CharField(_("paused by"), max_length=200, default="", blank=True)
    concurrency = models.PositiveIntegerField(
        _("concurrency"), null=True, help_text=_("Runs at a time; 0 for any number, empty for what the settings say.")
    )
    rate = models.CharField(
        _("rate"),
        max_length=LONGEST_RATE,
        default="",
        blank=True,
        help_text=_("Such as 10/minute; 'none' for any, empty for what the settings say."),
    )
    changed_at = models.DateTimeField(_("changed"))
    changed_by = models.CharField(_("changed by"), max_length=200, default="", blank=True)

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ("name",)
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return self.name


class Slot(models.Model):
    """Something that limits are counted by. Whoever starts a run that counts towards it holds its row's lock meanwhile.

    How many are running is never stored: it is counted among the runs. ``tokens`` are those of a rate; NULL is a full bucket.
    """

    pk = models.CompositePrimaryKey("kind", "name")
    kind = models.CharField(_("kind"), max_length=6, choices=[(kind.value, kind.value) for kind in SlotKind])
    name = models.CharField(_("name"), max_length=LONGEST_QUEUE)
    tokens = models.FloatField(_("tokens"), null=True)
    refilled_at = models.DateTimeField(_("refilled"))
    idle_at = models.DateTimeField(_("forgotten"), db_index=True)

    class Meta:
        verbose_name = _("slot")
        verbose_name_plural = _("slots")
        ordering = ("kind", "name")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class KeptKey(models.Model):
    """The concurrency key that a run keeps while it waits or sleeps (``hold_key=True``); void once the run has ended."""

    run = models.OneToOneField(
        TaskRun, primary_key=True, on_delete=models.CASCADE, db_constraint=False, related_name="kept_key"
    )
    slots = models.CharField(max_length=28)

    class Meta:
        verbose_name = _("kept key")
        verbose_name_plural = _("kept keys")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.slots} {self.run_id}"
