"""How long a page may take: a statement that a big table makes slow is ended, and the page says what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from django_tasks_durable.store import vendors

from . import places

SECONDS = 10.0

View = Callable[..., HttpResponse]


def patiently(view: View) -> View:
    """Let a page that is looked at wait for each statement so long and no longer, where the database can bound that."""

    @wraps(view)
    def bounded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return view(self, request, *args, **kwargs)
        session = vendors.session(places.database())
        try:
            with session.bounded_reads(SECONDS):
                return view(self, request, *args, **kwargs)
        except DatabaseError as error:
            if not session.is_timeout(error):
                raise
        response: HttpResponse = self.framed(request, "admin/durable_tasks/slow.html", "", _("This takes too long"))
        response.status_code = 503
        return response

    return bounded
