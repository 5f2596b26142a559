"""The fields of the form that a question asks for, so that a page can draw it without knowing it."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django import forms
from django.core.serializers.json import DjangoJSONEncoder

from django_tasks_durable.authoring.forms import form_named
from django_tasks_durable.exceptions import UnknownForm
from django_tasks_durable.snapshots.parts import WaitSnapshot

MOST_CHOICES = 200
# The first that fits: some kinds of field are a kind of others.
KINDS: tuple[tuple[type[forms.Field], str], ...] = (
    (forms.BooleanField, "boolean"),
    (forms.MultipleChoiceField, "choices"),
    (forms.ModelMultipleChoiceField, "choices"),
    (forms.ChoiceField, "choice"),
    (forms.ModelChoiceField, "choice"),
    (forms.FloatField, "number"),
    (forms.DecimalField, "number"),
    (forms.IntegerField, "integer"),
    (forms.DateTimeField, "datetime"),
    (forms.DateField, "date"),
    (forms.TimeField, "time"),
    (forms.EmailField, "email"),
    (forms.URLField, "url"),
    # What one value does not fill in.
    (forms.MultiValueField, "other"),
    (forms.FileField, "other"),
)


def fields_of(wait: WaitSnapshot) -> list[dict[str, Any]] | None:
    """Return the fields of a question's form, in their order; None where there is no form, or none that is known here."""
    if not wait.form:
        return None
    try:
        form = form_named(wait.form)()
    except UnknownForm:
        return None
    return [_told(form, name, field) for name, field in form.fields.items()]


def _told(form: forms.BaseForm, name: str, field: forms.Field) -> dict[str, Any]:
    initial = form.get_initial_for_field(field, name)
    return {
        "name": name,
        "label": str(form[name].label),
        "kind": "hidden" if field.widget.is_hidden else _kind(field),
        "is_required": field.required,
        "help_text": str(field.help_text),
        "choices": _choices(field),
        "initial": _initial(initial),
        "least": _limit(field, "min_value"),
        "most": _limit(field, "max_value"),
        "longest": getattr(field, "max_length", None),
    }


def _kind(field: forms.Field) -> str:
    found = next((kind for each, kind in KINDS if isinstance(field, each)), "")
    return found or ("long_text" if isinstance(field.widget, forms.Textarea) else "text")


def _choices(field: forms.Field) -> list[dict[str, str]] | None:
    """Return values and words, those of groups one after the other; None where nothing is chosen from, or from too much."""
    choices = getattr(field, "choices", None)
    if choices is None:
        return None
    found: list[dict[str, str]] = []
    for value, words in islice(choices, MOST_CHOICES + 1):
        group = words if isinstance(words, (list, tuple)) else [(value, words)]
        found += [{"value": _plain("" if each is None else each), "words": str(said)} for each, said in group]
    return found if len(found) <= MOST_CHOICES else None


def _initial(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    return [_plain(each) for each in value] if isinstance(value, (list, tuple, set)) else _plain(value)


def _limit(field: forms.Field, name: str) -> str | None:
    limit = getattr(field, name, None)
    limit = limit() if callable(limit) else limit
    return None if limit is None else str(limit)


def _plain(value: Any) -> str:
    """Return a value as a control of a page holds it."""
    try:
        return str(DjangoJSONEncoder().default(value))
    except TypeError:
        return str(value)
