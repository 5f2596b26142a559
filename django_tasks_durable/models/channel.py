"""Where runs are found by the channels that they were given."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.channels import LONGEST_CHANNEL

from .run import TaskRun


class RunChannel(models.Model):
    """One channel that a run was given, in a table of its own so that a run without any pays for none.

    It is only for finding: the run keeps its channels among its options. Those that follow from what a run is are not here.
    """

    pk = models.CompositePrimaryKey("name", "run_id")
    name = models.CharField(_("channel"), max_length=LONGEST_CHANNEL)
    # No constraint in the database: rows come with their run and go with it.
    run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="own_channels", db_constraint=False)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ("name", "run_id")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name
