"""Who calls over REST: users with some permissions, and clients of theirs."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

EVERYTHING = (
    "view_taskrun", "view_payload", "enqueue_task", "retry_task", "cancel_task", "resume_task", "run_task", "copy_task",
    "fork_task", "message_task",
)  # fmt: skip
BASE = "/api/tasks/"


def a_user(name: str, *permissions: str) -> User:
    """Make a user with these permissions, found by their code names."""
    user, _ = User.objects.get_or_create(username=name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return User.objects.get(pk=user.pk)


class Caller:
    """Somebody who calls, and reads JSON."""

    def __init__(self, user: User | None = None, **defaults: Any) -> None:
        self.client = Client(**defaults)
        if user is not None:
            self.client.force_login(user)

    def get(self, path: str = "", *, headers: Any = None, **parameters: Any) -> Any:
        """Look."""
        return self.client.get(path if path.startswith("http") else BASE + path, parameters, headers=headers)

    def post(self, path: str = "", body: Any = None, **headers: Any) -> Any:
        """Act."""
        text = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        return self.client.post(BASE + path, text, content_type="application/json", headers=headers)


def somebody(*permissions: str, name: str = "ann") -> Caller:
    """Return a caller who has these permissions, or all."""
    return Caller(a_user(name, *(permissions or EVERYTHING)))
