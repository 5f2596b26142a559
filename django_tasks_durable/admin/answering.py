"""The form that a question is answered in: the one it asks for, or ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import Http404, HttpRequest

from django_tasks_durable.authoring.forms import form_named, value_of
from django_tasks_durable.exceptions import UnknownForm
from django_tasks_durable.snapshots import policy, waits
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.shapes import RunSnapshot

from . import places
from .forms import AnswerForm

# A form's own fields may be named as ours are.
PREFIX = "answer"


@dataclass(frozen=True)
class Bound:
    """A form that somebody has filled in, and the question that it is for."""

    token: str
    form: BaseForm

    @property
    def value(self) -> Any:
        """The answer that a valid form makes."""
        cleaned = value_of(self.form)
        return cleaned["value"] if isinstance(self.form, AnswerForm) else cleaned


def filled_form(request: HttpRequest, run: RunSnapshot) -> Bound:
    """Return the form of the question that is meant, filled in.

    Raise PermissionDenied for somebody who lacks the permission that the question asks for, and Http404 for a form that
    this process does not know.
    """
    token = request.POST.get("token", "")
    wait = waits.wait_of(run.id, token, using=places.database())
    if wait is None or not wait.form:
        form: BaseForm = AnswerForm(request.POST, auto_id="id_answer_%s")
    else:
        try:
            form = form_named(wait.form)(request.POST, prefix=PREFIX, auto_id="id_answer_%s")
        except UnknownForm as error:
            raise Http404(str(error)) from None
    if wait is not None and not policy.may_answer(request.user, wait.permission):
        raise PermissionDenied
    return Bound(token, form)


def asked_form(wait: WaitSnapshot, bound: BaseForm | None = None) -> tuple[BaseForm | None, str]:
    """Return the form that a question asks for, as it was filled in if it was; else its name, when it is not known here."""
    if not wait.form:
        return None, ""
    try:
        form = form_named(wait.form)
    except UnknownForm:
        return None, wait.form
    return bound if isinstance(bound, form) else form(prefix=PREFIX, auto_id=f"id_{wait.token[:8]}_%s"), ""
