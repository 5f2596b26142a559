"""Something that was sent to a run."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .checkpoint import PATH_LENGTH
from .run import TaskRun


class Message(models.Model):
    """Something sent to a run from outside, taken once: by the checkpoint under ``consumed_path``."""

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database: a row is only ever inserted while its run's row is locked.
    run = models.ForeignKey(
        TaskRun, on_delete=models.CASCADE, related_name="messages", db_index=False, db_constraint=False
    )
    name = models.CharField(_("name"), max_length=PATH_LENGTH)
    payload = models.TextField(_("payload"), default="null")
    sent_at = models.DateTimeField(_("sent"))
    sent_by = models.CharField(_("sent by"), max_length=200, default="", blank=True)
    consumed_path = models.CharField(
        max_length=PATH_LENGTH, default="", blank=True, help_text=_("What took it; empty while it is unread.")
    )

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ("run", "id")
        default_permissions = ("view",)
        indexes = [models.Index(fields=("run", "id"), name="dtd_message_order")]

    def __str__(self) -> str:
        return self.name
