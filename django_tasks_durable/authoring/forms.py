"""The forms that people answer questions with, by name: a row names a form, and never what is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from django.db.models import QuerySet
from django.forms import BaseForm

from django_tasks_durable.exceptions import InvalidAnswer, UnknownForm

F = TypeVar("F", bound=type[BaseForm])
LONGEST_NAME = 255

_forms: dict[str, type[BaseForm]] = {}


@overload
def answer_form(name: F, /) -> F: ...
@overload
def answer_form(name: str, /) -> Callable[[F], F]: ...
def answer_form(name: str | type[BaseForm], /) -> Any:
    """Make a form known under a name, or under its dotted path: ``@answer_form`` or ``@answer_form("refund")``.

    Every process that shows or checks answers must import it; a ``tasks.py`` that imports its forms sees to that.
    """
    if not isinstance(name, str):
        return _register(f"{name.__module__}.{name.__qualname__}", name)
    return lambda form: _register(name, form)


def _register(name: str, form: type[BaseForm]) -> type[BaseForm]:
    if not isinstance(form, type) or not issubclass(form, BaseForm):
        raise TypeError(f"@answer_form decorates a class of a Django form, not {form!r}.")
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"{name!r} is no name for a form: it takes 1 to {LONGEST_NAME} characters that can be printed."
        )
    known = _forms.get(name)
    # The same class imported again is no other form.
    if known is not None and (known.__module__, known.__qualname__) != (form.__module__, form.__qualname__):
        raise ValueError(f"There is a form {name!r} already: {known.__module__}.{known.__qualname__}.")
    _forms[name] = form
    return form


def form_named(name: str) -> type[BaseForm]:
    """Return the form of a name. Raise UnknownForm; never imports anything."""
    try:
        return _forms[name]
    except KeyError:
        raise UnknownForm(name) from None


def name_of(form: str | type[BaseForm]) -> str:
    """Return the name that a form is known under. Raise UnknownForm for one that nobody registered."""
    if isinstance(form, str):
        form_named(form)
        return form
    for name, known in _forms.items():
        if known is form:
            return name
    raise UnknownForm(f"{getattr(form, '__module__', '')}.{getattr(form, '__qualname__', form)}")


def value_of(form: BaseForm) -> dict[str, Any]:
    """Return what a form makes of its data. Raise InvalidAnswer with what the form says is wrong."""
    if not form.is_valid():
        raise InvalidAnswer({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    cleaned: Mapping[str, Any] = form.cleaned_data
    return {name: list(value) if isinstance(value, QuerySet) else value for name, value in cleaned.items()}
