"""A name that a run holds against other runs."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.keys import LONGEST_NAME, KeyKind

from .run import TaskRun


class OpenKey(models.Model):
    """A name held by one run, in a table of its own so that a run without keys pays for none."""

    pk = models.CompositePrimaryKey("kind", "name")
    kind = models.CharField(_("kind"), max_length=12, choices=[(kind.value, kind.value) for kind in KeyKind])
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    # Taken before the run's row is there, so nothing is checked.
    run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="open_keys", db_constraint=False)
    digest = models.CharField(max_length=64, default="", blank=True, help_text=_("Tells the input of its run."))
    expires_at = models.DateTimeField(_("expires"), null=True)

    class Meta:
        verbose_name = _("key")
        verbose_name_plural = _("keys")
        ordering = ("kind", "name")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=("expires_at",), name="dtd_key_expiry", condition=models.Q(expires_at__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"
