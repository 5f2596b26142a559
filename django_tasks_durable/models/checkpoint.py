"""The answer that a primitive left behind."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.status import CheckpointKind

from .run import TaskRun

PATH_LENGTH = 400


class Checkpoint(models.Model):
    """The answer that a step, wait, sleep or nested call left behind: one per (run, path), never changed."""

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database: a row is only ever inserted while its run's row is locked, and the deferred check of each
    # insert cost a quarter of a happy run.
    run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, related_name="checkpoints", db_index=False, db_constraint=False
    )
    path = models.CharField(_("path"), max_length=PATH_LENGTH)
    kind = models.CharField(_("kind"), max_length=10, choices=CheckpointKind.choices)
    position = models.PositiveIntegerField(help_text=_("Place in the order of its scope."))
    fingerprint = models.CharField(max_length=32, default="", blank=True)
    failed = models.BooleanField(_("failed"), default=False)
    value = models.TextField(_("value"), default="null")
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    seconds = models.FloatField(_("seconds"), null=True)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        ordering = ("run", "id")
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=("run", "path"), name="dtd_checkpoint_path")]

    def __str__(self) -> str:
        return self.path
