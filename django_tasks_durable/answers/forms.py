"""What a person fills in on the page of a link."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.authoring.forms import form_named, value_of
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.questions import choices_of


class ChoiceForm(forms.Form):
    """One of the answers that a question offers, as JSON."""

    choice = forms.ChoiceField(label=_("Answer"), widget=forms.RadioSelect)

    def __init__(self, data: Any = None, *, choices: list[tuple[str, str]]) -> None:
        super().__init__(data)
        self.fields["choice"].choices = choices  # type: ignore[attr-defined]


def form_of(wait: WaitSnapshot, data: Any = None) -> forms.BaseForm:
    """Return the form of a question, filled with data if there is some. Raise UnknownForm."""
    if wait.form:
        return form_named(wait.form)(data)
    return ChoiceForm(data, choices=choices_of(wait, wait.request))


def answer_of(form: forms.BaseForm) -> Any:
    """Return the answer that a valid form makes."""
    cleaned = value_of(form)
    return json.loads(cleaned["choice"]) if isinstance(form, ChoiceForm) else cleaned
