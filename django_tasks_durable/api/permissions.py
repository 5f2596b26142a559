"""Who may call: somebody known, with the permissions that what is asked for takes; and how often."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

from django_tasks_durable.snapshots import places, policy


class MayDoThis(BasePermission):
    """Somebody who has every permission that the view asks for, whichever run is meant: so nothing is told of any."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the user may do what the method of this view does."""
        lacking = [each for each in view.permissions_for(request.method) if not policy.may(request.user, each)]
        if lacking:
            self.message = f"This takes the permission {lacking[0]!r}."
        return not lacking


class _Rate(UserRateThrottle):
    """So many calls of one kind by one user."""

    def get_rate(self) -> str | None:
        """Return the rate that the settings give."""
        rate: str | None = getattr(places.first().rest, f"{self.scope}_rate")
        return rate

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return the key that the calls of a user are counted under; None for calls of the other kind."""
        if (request.method in SAFE_METHODS) != (self.scope == "read"):
            return None
        return f"durable_tasks.rest.{super().get_cache_key(request, view)}"


class ReadRate(_Rate):
    """How often a user may look."""

    scope = "read"


class WriteRate(_Rate):
    """How often a user may change something."""

    scope = "write"
