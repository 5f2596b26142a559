"""The page between asking for an act that cannot be undone and doing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, QueryDict
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext as _

from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.snapshots.text import plain, pretty

from .forms import CancelForm, CopyForm, ForkForm

FORMS: dict[Act, type[forms.Form]] = {Act.CANCEL: CancelForm, Act.COPY: CopyForm, Act.FORK: ForkForm}
LONGEST_SHOWN = 4_000
# What the page of many posts beside what chose them.
CONFIRMED = "confirmed"
CHOSEN_BY = ("action", "select_across", "index", ACTION_CHECKBOX_NAME)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked before an act is done: the words, what it is about, and the button."""

    title: str
    words: str
    facts: list[tuple[str, str]]
    button: str
    is_dangerous: bool


def form_for(act: Act, request: HttpRequest) -> forms.Form:
    """Return the form of an act: filled in when it is posted, else as the link that led to it says."""
    if request.method == "POST":
        return FORMS[act](request.POST)
    return FORMS[act](initial=_initial(request.GET))


def _initial(query: QueryDict) -> dict[str, Any]:
    return {"path": query.get("path", "")}


def question_about(act: Act, run: RunSnapshot, form: forms.Form, veil: Veil) -> Question:
    """Return what is asked before an act is done to a run."""
    return Question(
        title=_titles()[act],
        words=_words()[act],
        facts=list(_facts(act, run, form, veil)),
        button=_buttons()[act],
        is_dangerous=act is Act.CANCEL,
    )


def question_about_many(act: Act, number: int) -> Question:
    """Return what is asked before an act is done to many runs."""
    title = ngettext("%(act)s: %(count)d task?", "%(act)s: %(count)d tasks?", number)
    return Question(
        title=title % {"act": act.label, "count": number},
        words=_words()[act],
        facts=[],
        button=gettext("Yes, go on"),
        is_dangerous=act is Act.CANCEL,
    )


def chosen_again(request: HttpRequest) -> SafeString:
    """Return what chose the runs in the list, as hidden fields, with the word that it is confirmed."""
    fields = [(name, value) for name in CHOSEN_BY for value in request.POST.getlist(name)]
    return format_html_join("", '<input type="hidden" name="{}" value="{}">', [*fields, (CONFIRMED, "yes")])


def _titles() -> dict[Act, str]:
    return {
        Act.CANCEL: _("Cancel this task?"),
        Act.COPY: _("Run this task again as a copy?"),
        Act.FORK: _("Fork this task?"),
    }


def _words() -> dict[Act, str]:
    return {
        Act.CANCEL: _(
            "A task that runs stops at its next step; what it has done already stays done. "
            "The tasks that it has started are cancelled with it."
        ),
        Act.COPY: _(
            "A new task begins from the start with the same arguments. What this one did outside is done once more."
        ),
        Act.FORK: _(
            "A new task keeps what this one did before the chosen place; that place and all after it is done again. "
            "This task stays as it is."
        ),
    }


def _buttons() -> dict[Act, str]:
    return {Act.CANCEL: _("Cancel this task"), Act.COPY: _("Run again as a copy"), Act.FORK: _("Fork from here")}


def _facts(act: Act, run: RunSnapshot, form: forms.Form, veil: Veil) -> Iterator[tuple[str, str]]:
    yield _("Task"), f"{plain(run.task_path)} {run.id}"
    yield _("State"), str(run.state.label)
    if act is Act.FORK:
        yield _("From"), plain(form["path"].value() or "")
    if act is not Act.CANCEL:
        shown = run.as_dict(show=veil)
        yield _("Arguments"), pretty(shown["args"], longest=LONGEST_SHOWN)
        if shown["kwargs"]:
            yield _("Keyword arguments"), pretty(shown["kwargs"], longest=LONGEST_SHOWN)
