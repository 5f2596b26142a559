"""The inbox: questions of tasks that this user may answer, each with its form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.snapshots import policy, read, waits
from django_tasks_durable.snapshots.parts import Asked
from django_tasks_durable.snapshots.shapes import Act
from django_tasks_durable.snapshots.text import plain

from . import acts, look, places
from .acting import RunActs
from .answering import Bound, filled_form
from .asking import WaitView, wait_view
from .navigation import Navigated
from .patience import patiently

MOST_SHOWN = 25


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One question in the inbox, with the task that asks it."""

    id: str
    name: str
    task_url: str
    asked: SafeString
    action: str
    view: WaitView


class Inbox(RunActs, Navigated):
    """Questions of tasks, and the answers that people give them in one place."""

    @patiently
    def inbox(self, request: HttpRequest) -> HttpResponse:
        """Show the questions that this user may answer, the oldest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._inbox(request)

    def answer(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Answer a question of the inbox and come back to it; show it again with what is wrong about the answer."""
        if not self.has_view_permission(request) or not acts.may(request.user, Act.RESUME):
            raise PermissionDenied
        try:
            run = self.run_of(request, pk)
        except RunNotFound as error:
            raise Http404(str(error)) from None
        bound = filled_form(request, run)
        if not bound.form.is_valid():
            return self._inbox(request, bound=bound)
        outcome = self.perform(request, Act.RESUME, run, token=bound.token, value=bound.value)
        if outcome.is_done:
            messages.success(request, acts.DONE[Act.RESUME])
        else:
            messages.warning(request, plain(outcome.refusal))
        return HttpResponseRedirect(self.to("taskrun_inbox"))

    def _inbox(self, request: HttpRequest, *, bound: Bound | None = None) -> HttpResponse:
        found: list[Asked] = []
        if acts.may(request.user, Act.RESUME):
            visible = policy.visible_to(request.user, read.runs(using=places.database()))
            may_answer = partial(policy.may_answer, request.user)
            found = waits.inbox(visible, may_answer=may_answer, limit=MOST_SHOWN + 1, using=places.database())
        context: dict[str, Any] = {
            "letters": [self._letter(request, asked, bound) for asked in found[:MOST_SHOWN]],
            "is_cut": len(found) > MOST_SHOWN,
            "shown": MOST_SHOWN,
            "may_answer": acts.may(request.user, Act.RESUME),
        }
        return self.framed(request, "admin/durable_tasks/inbox.html", "taskrun_inbox", _("Inbox"), **context)

    def _letter(self, request: HttpRequest, asked: Asked, bound: Bound | None) -> Letter:
        veil = policy.veil(request.user, keys=places.redacted_keys())
        return Letter(
            id=asked.wait.token[:8],
            name=plain(asked.task_path.rpartition(".")[2]),
            task_url=self.address_of(asked.run_id),
            asked=look.moment(asked.wait.created_at, form="SHORT_DATETIME_FORMAT"),
            action=self.to("taskrun_answer", asked.run_id),
            view=wait_view(asked.wait, veil, True, bound),
        )
