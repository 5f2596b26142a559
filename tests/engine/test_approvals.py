"""Approvals: whatever value a person gives, asked for with a permission and a form that are decided once."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django import forms

from django_tasks_durable import answer_form, approval
from django_tasks_durable.authoring.forms import form_named, name_of, value_of
from django_tasks_durable.exceptions import Interrupted, InvalidAnswer, UnknownForm, WaitTimeout
from django_tasks_durable.primitives import clock

from .laboratory import Bench, local


@answer_form("engine-amount")
class AmountForm(forms.Form):
    """An amount."""

    amount = forms.DecimalField()


@local
def asker(context: Any) -> Any:
    """Ask for an amount."""
    return context.approval("amount", {"order": 7}, permission="shop.refund", form=AmountForm)


@pytest.mark.seed("AW-22")
@pytest.mark.parametrize("value", [True, False, None, "later", {"amount": Decimal("1.50")}])
def test_an_approval_is_pending_until_it_is_given_and_returns_what_was_given(value: Any) -> None:
    bench = Bench(asker)
    bench.slice()
    (wait,) = bench.run.open_waits
    assert (wait.kind, wait.path, wait.permission, wait.form) == (
        "approval", "approval:amount", "shop.refund", "engine-amount",
    )  # fmt: skip
    bench.answer(value).slice()
    assert bench.result == value


def test_permission_and_form_stay_as_they_were_when_the_question_was_put() -> None:
    asked = {"permission": "shop.refund", "form": "engine-amount"}

    @local
    def body(context: Any) -> Any:
        return context.approval("amount", **asked)

    bench = Bench(body)
    bench.slice()
    asked |= {"permission": "nonsense", "form": "gone"}
    bench.answer(1).slice()
    assert bench.result == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"permission": "refund"}, "ValueError"),
        ({"permission": ".refund"}, "ValueError"),
        ({"permission": 7}, "ValueError"),
        ({"form": "no such form"}, "UnknownForm"),
        ({"form": forms.Form}, "UnknownForm"),
    ],
)
def test_what_nobody_could_answer_is_not_asked(options: dict[str, Any], error: str) -> None:
    @local
    def body(context: Any) -> Any:
        return context.approval("amount", **options)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["exception_class_path"].endswith(error)
    assert not bench.run.waits


def test_an_approval_that_nobody_gives_takes_its_default_or_fails(frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        try:
            context.approval("first", timeout=60)
        except WaitTimeout as error:
            return [error.path, context.approval("second", timeout=60, default=False)]

    bench = Bench(body)
    bench.slice()
    clock.advance(60)
    bench.slice()
    assert bench.run.open_waits[0].has_default
    clock.advance(60)
    bench.slice()
    assert bench.result == ["approval:first", False]


def test_a_coroutine_asks_too() -> None:
    @local
    async def body(context: Any) -> Any:
        return await context.aapproval("amount")

    bench = Bench(body)
    bench.slice()
    bench.answer("yes").slice()
    assert bench.result == "yes"


def test_outside_of_a_task_nobody_approves() -> None:
    assert approval("amount", timeout=1, default=True) is True
    with pytest.raises(Interrupted):
        approval("amount", "how much?")


def test_a_form_is_known_by_its_name_or_by_its_path() -> None:
    @answer_form
    class Own(forms.Form):
        note = forms.CharField()

    name = f"{Own.__module__}.{Own.__qualname__}"
    assert form_named(name) is Own
    assert name_of(Own) == name_of(name) == name
    assert value_of(Own({"note": "x"})) == {"note": "x"}
    with pytest.raises(InvalidAnswer, match="note: This field is required") as refused:
        value_of(Own({}))
    assert refused.value.errors == {"note": ["This field is required."]}
    with pytest.raises(UnknownForm):
        form_named("os.system")


def test_a_name_belongs_to_one_form() -> None:
    with pytest.raises(ValueError, match="already"):
        answer_form("engine-amount")(forms.Form)
    with pytest.raises(ValueError, match="no name"):
        answer_form("")(AmountForm)
    with pytest.raises(TypeError):
        answer_form(int)  # type: ignore[type-var]
    assert answer_form("engine-amount")(AmountForm) is AmountForm
