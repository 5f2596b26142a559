"""Forms that questions of the probe ask for."""

from __future__ import annotations

from datetime import date

from django import forms

from django_tasks_durable import answer_form


@answer_form("everything")
class EveryForm(forms.Form):
    """A field of each kind that a page draws, and one that it cannot."""

    note = forms.CharField(widget=forms.Textarea, required=False)
    count = forms.IntegerField(initial=3, min_value=1)
    is_urgent = forms.BooleanField(initial=True, required=False, help_text="Wakes somebody.")
    size = forms.ChoiceField(choices=[("s", "Small"), ("m", "Middle")], initial="m")
    colours = forms.MultipleChoiceField(choices=[("red", "Red"), ("blue", "Blue")], initial=["red"], required=False)
    day = forms.DateField(initial=date(2026, 9, 1), required=False)
    paper = forms.FileField(required=False)
    secret = forms.CharField(widget=forms.HiddenInput, required=False)
