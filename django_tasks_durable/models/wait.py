"""A question that a run put to the outside."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .checkpoint import PATH_LENGTH
from .run import TaskRun


class Wait(models.Model):
    """One pending question of a run. Its checkpoint is written when the run consumes the answer."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="waits", db_index=False)
    path = models.CharField(_("path"), max_length=PATH_LENGTH)
    kind = models.CharField(_("kind"), max_length=20)
    position = models.PositiveIntegerField(help_text=_("Place in the order of its scope."))
    fingerprint = models.CharField(max_length=32, default="", blank=True)
    token = models.CharField(_("token"), max_length=64, unique=True)
    request = models.TextField(_("request"), default="null")
    permission = models.CharField(
        _("permission"), max_length=255, default="", blank=True, help_text=_("Asked of whoever answers through a door.")
    )
    form = models.CharField(
        _("form"), max_length=255, default="", blank=True, help_text=_("The registered form that makes the answer.")
    )
    event = models.CharField(
        _("event"), max_length=200, default="", blank=True, help_text=_("What a broadcast finds; empty once answered.")
    )
    deadline = models.DateTimeField(_("deadline"), null=True)
    has_default = models.BooleanField(default=False, help_text=_("Goes on with a default after its deadline."))
    created_at = models.DateTimeField(_("created"))
    answer = models.TextField(_("answer"), null=True)
    answered_at = models.DateTimeField(_("answered"), null=True)
    answered_by = models.CharField(_("answered by"), max_length=200, default="", blank=True)

    class Meta:
        verbose_name = _("wait")
        verbose_name_plural = _("waits")
        ordering = ("run", "id")
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=("run", "path"), name="dtd_wait_path")]
        indexes = [models.Index(fields=("event", "run"), name="dtd_wait_event", condition=~Q(event=""))]

    def __str__(self) -> str:
        return self.path
