"""What operators did to the house around the runs: no run's timeline has a line of it."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model

from .news import tell

logger = logging.getLogger("django_tasks_durable.audit")
LONGEST_NAME = 200


def note(by: str, deed: str, *, using: str) -> None:
    """Log who did what, once it is committed."""
    tell(partial(logger.info, "%s %s", by or "somebody", deed), using)


def enter(user: Any, kind: str, key: str, name: str, said: str) -> None:
    """Write what a user did to a row of ours (``kind`` is its model) into the history that the admin shows.

    Does nothing where there is no admin, or for somebody without an account.
    """
    if not apps.is_installed("django.contrib.admin") or not isinstance(user, get_user_model()):
        return
    from django.contrib.admin.models import CHANGE, LogEntry  # a site may do without the admin
    from django.contrib.contenttypes.models import ContentType

    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_by_natural_key("durable_tasks", kind),
        object_id=key,
        object_repr=name[:LONGEST_NAME],
        action_flag=CHANGE,
        change_message=said,
    )
