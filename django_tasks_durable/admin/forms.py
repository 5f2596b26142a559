"""What people may write on a task's page."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.store import queues

LONGEST_ANSWER = 64 * 1024


class AnswerForm(forms.Form):
    """An answer to a question: one of the offered choices, JSON, or plain text."""

    token = forms.CharField(widget=forms.HiddenInput, max_length=64)
    choice = forms.CharField(required=False, max_length=LONGEST_ANSWER)
    answer = forms.CharField(
        label=_("Answer"),
        required=False,
        strip=False,
        max_length=LONGEST_ANSWER,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "dtd-answer"}),
    )
    form = forms.ChoiceField(
        label=_("as"), choices=[("json", _("JSON")), ("text", _("Text"))], initial="json", required=False
    )

    def clean(self) -> dict[str, Any]:
        """Read the answer as what it says it is."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("choice"):
            cleaned["value"] = _json(cleaned["choice"])
        elif cleaned.get("form") == "text":
            cleaned["value"] = cleaned.get("answer", "")
        else:
            self._read_json(cleaned)
        return cleaned

    def _read_json(self, cleaned: dict[str, Any]) -> None:
        try:
            cleaned["value"] = _json(cleaned.get("answer", ""))
        except ValidationError as error:
            self.add_error("answer", error)


class CancelForm(forms.Form):
    """Why a task is cancelled."""

    reason = forms.CharField(
        label=_("Why? (optional)"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class CopyForm(forms.Form):
    """Nothing is asked about a copy."""


class ForkForm(forms.Form):
    """Where a fork goes on from, and what other values it is given."""

    path = forms.CharField(label=_("From"), max_length=400, strip=False, widget=forms.HiddenInput)
    values = forms.CharField(
        label=_("Other values (optional)"),
        help_text=_("A JSON object of paths and the values that the fork is to have there."),
        required=False,
        max_length=LONGEST_ANSWER,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "dtd-answer"}),
    )

    def clean_values(self) -> dict[str, Any]:
        """Read the values."""
        text = self.cleaned_data["values"]
        read = _json(text) if text.strip() else {}
        if not isinstance(read, dict):
            raise ValidationError(_("A JSON object."))
        return read


class LimitForm(forms.Form):
    """How a queue is limited, whatever the settings say; or that they alone say it."""

    concurrency = forms.IntegerField(
        label=_("Runs at a time"), required=False, min_value=1, help_text=_("Empty for any number.")
    )
    rate = forms.CharField(
        label=_("Rate"), required=False, max_length=32, help_text=_("Such as 10/minute; empty for any.")
    )
    by_settings = forms.BooleanField(label=_("As the settings say"), required=False)

    def write(self, name: str, *, using: str, by: str) -> None:
        """Change the limits of a queue. Raise UnknownQueue or InvalidLimit."""
        wanted = self.cleaned_data
        if wanted["by_settings"]:
            queues.unlimit(name, using=using, by=by)
        else:
            rate = wanted["rate"].strip() or None
            queues.limit(name, using=using, by=by, concurrency=wanted["concurrency"], rate=rate)


def _json(text: str) -> Any:
    if not text.strip():
        raise ValidationError(_('Write an answer. For an empty one, write null or "", or send it as text.'))
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValidationError(_("This is nested too deeply.")) from None
    except ValueError as error:
        raise ValidationError(_("This is not JSON: %(problem)s"), params={"problem": error}) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
