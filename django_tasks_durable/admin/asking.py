"""The questions of runs with the forms for their answers, ready for the page of a task and for the inbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.forms import BaseForm
from django.utils.safestring import SafeString

from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.questions import choices_of, question_of
from django_tasks_durable.snapshots.text import plain, pretty

from . import look
from .answering import Bound, asked_form
from .forms import AnswerForm
from .tree import LONGEST_VALUE


@dataclass(frozen=True, kw_only=True)
class WaitView:
    """One question, with the form for its answer if this user may give one.

    ``asked`` is the form that the question asks for; then ``form`` only says which question is meant.
    """

    path: str
    answered_by: str
    question: str
    request: str
    answer: str
    choices: Sequence[tuple[str, str]]
    deadline: SafeString
    permission: str
    form: AnswerForm | None
    asked: BaseForm | None
    lacks_form: str


def wait_view(wait: WaitSnapshot, veil: Veil, may_answer: bool, bound: Bound | None) -> WaitView:
    """Return a question as the page shows it, with a form for its answer if this user may give one."""
    # The question is meant for whoever may answer it, with or without the right to see payloads.
    request = veil.masked(wait.request) if may_answer else veil(wait.request)
    own = bound.form if bound is not None and bound.token == wait.token else None
    asked, lacks_form = asked_form(wait, own) if may_answer else (None, "")
    form = None
    if may_answer and not lacks_form:
        fresh = AnswerForm(initial={"token": wait.token}, auto_id=f"id_{wait.token[:8]}_%s")
        form = own if isinstance(own, AnswerForm) else fresh
    return WaitView(
        path=plain(wait.path),
        answered_by=plain(wait.answered_by),
        question=question_of(request),
        request=pretty(request, longest=LONGEST_VALUE),
        answer="" if wait.answered_at is None else pretty(veil(wait.answer), longest=LONGEST_VALUE),
        choices=choices_of(wait, request),
        deadline=look.moment(wait.deadline) if wait.deadline else SafeString(""),
        permission=plain(wait.permission),
        form=form,
        asked=asked,
        lacks_form=plain(lacks_form),
    )
