"""Forms that questions of the tests ask for."""

from __future__ import annotations

from typing import Any

from django import forms

from django_tasks_durable import answer_form


@answer_form("refund")
class RefundForm(forms.Form):
    """How much goes back, and why."""

    amount = forms.DecimalField(min_value=0, max_value=100, max_digits=5, decimal_places=2)
    reason = forms.CharField(max_length=40)
    token = forms.CharField(required=False)

    def clean_reason(self) -> Any:
        """Take reasons only that say something."""
        if self.cleaned_data["reason"] == "because":
            raise forms.ValidationError("That is no reason.")
        return self.cleaned_data["reason"]


@answer_form
class PlainForm(forms.Form):
    """Known by its dotted path."""

    note = forms.CharField()
