"""The timeline."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.status import Level, StepKind

from .checkpoint import PATH_LENGTH
from .run import TaskRun


class Step(models.Model):
    """One line of a run's timeline, in a ``sequence`` without gaps: history, timeline, stream and live feed in one."""

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database: a row is only ever inserted while its run's row is locked, and the deferred check of each
    # insert cost a quarter of a happy run.
    run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, related_name="steps", db_index=False, db_constraint=False
    )
    sequence = models.PositiveIntegerField(_("sequence"))
    kind = models.CharField(_("kind"), max_length=20, choices=StepKind.choices)
    level = models.CharField(_("level"), max_length=10, choices=Level.choices, default=Level.INFO)
    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    path = models.CharField(_("path"), max_length=PATH_LENGTH, default="", blank=True)
    message = models.TextField(_("message"), default="", blank=True)
    percent = models.FloatField(_("percent"), null=True)
    data = models.TextField(_("data"), default="", blank=True)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ("run", "sequence")
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=("run", "sequence"), name="dtd_step_sequence")]

    def __str__(self) -> str:
        return f"{self.sequence} {self.kind}"
