"""The typed state of a workflow: a dataclass, stored field by field as JSON."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

from django.db.models import Model

from django_tasks_durable.exceptions import InvalidState, InvalidWorkflow, NotSerializable
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.tags import class_path

STORABLE = (
    str, int, float, bytes, type(None), list, dict, tuple, set, frozenset, date, time, timedelta, Decimal, UUID, Model,
    codec.ModelReference,
)  # fmt: skip
MISSING = dataclasses.MISSING


@dataclasses.dataclass
class NoState:
    """The state of a workflow that declares none."""


class StateShape:
    """What the state of one workflow class is made of, and how it is stored and made again."""

    def __init__(self, workflow: str, kind: type) -> None:
        self.workflow = workflow
        self.kind = kind
        self._expect_dataclass()
        self.fields = {field.name: field for field in dataclasses.fields(kind)}
        self.hints = self._hints()
        for field in self.fields.values():
            self._expect_storable(field)

    def given(self, value: Any) -> Any:
        """Return the state for what a caller gave: an instance, a mapping of fields, or None. Raise InvalidState."""
        if isinstance(value, self.kind):
            return value
        if value is not None and not isinstance(value, Mapping):
            raise InvalidState(self.workflow, f"{value!r} is neither a State nor a mapping of its fields.")
        fields = dict(value or {})
        self._expect_known(fields)
        later = {name: fields.pop(name) for name, field in self.fields.items() if not field.init and name in fields}
        try:
            state: Any = self.kind(**fields)
        except TypeError as error:
            raise InvalidState(self.workflow, f"{error}.") from error
        for name, each in later.items():
            object.__setattr__(state, name, each)
        return state

    def parts(self, state: Any) -> dict[str, Any]:
        """Return the fields of a state. Raise InvalidState for what is none."""
        if not isinstance(state, self.kind):
            raise InvalidState(self.workflow, f"{state!r} is no {self.kind.__qualname__}.")
        return {name: getattr(state, name) for name in self.fields if hasattr(state, name)}

    def text(self, state: Any, *, limit: int | None = None) -> str:
        """Return the JSON text of a state. Raise NotSerializable or PayloadTooLarge, naming the place."""
        return codec.text_of(self.parts(state), where="state", limit=limit)

    def decode(self, text: str) -> Any:
        """Make the state of JSON text again."""
        return self.made(codec.decode(text))

    def made(self, parts: Mapping[str, Any]) -> Any:
        """Make a state of stored fields. One that the class has lost is dropped, a new one gets its default."""
        # Not through __init__: it may check, count or connect, and its result was what was stored.
        state: Any = object.__new__(self.kind)
        for name, field in self.fields.items():
            object.__setattr__(state, name, parts[name] if name in parts else self._default(field))
        return state

    def result(self, state: Any) -> Any:
        """Return what a run returns: the state, or its fields where no other process could make the state again."""
        return self.parts(state) if class_path(self.kind) is None else state

    def of_result(self, result: Any) -> Any:
        """Return the state that a run returned."""
        return self.made(result) if isinstance(result, Mapping) else result

    def _default(self, field: dataclasses.Field[Any]) -> Any:
        if field.default is not MISSING:
            return field.default
        if field.default_factory is not MISSING:
            return field.default_factory()
        raise InvalidState(
            self.workflow, f"the stored one has no {field.name!r}, and the field has no default. Give it one."
        )

    def _expect_known(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.fields:
                continue
            like = difflib.get_close_matches(str(name), self.fields, n=1)
            hint = f"Did you mean {like[0]!r}?" if like else f"It has {', '.join(self.fields) or 'no fields'}."
            raise InvalidState(self.workflow, f"there is no field {name!r}. {hint}")

    def _expect_dataclass(self) -> None:
        own = vars(self.kind).get("__annotations__", {}) if isinstance(self.kind, type) else {}
        is_one = isinstance(self.kind, type) and dataclasses.is_dataclass(self.kind)
        if not is_one or (own and "__dataclass_fields__" not in vars(self.kind)):
            raise InvalidWorkflow(self.workflow, "its State is not a dataclass: decorate it with @dataclass.")

    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self.kind, include_extras=True)
        except Exception:  # a name that only a type checker can resolve: the values will tell
            return {}

    def _expect_storable(self, field: dataclasses.Field[Any]) -> None:
        problem = unstorable(self.hints.get(field.name, Any))
        if problem is None and (field.default is not MISSING or field.default_factory is not MISSING):
            try:
                codec.encode(self._default(field), where=f"State.{field.name}")
            except NotSerializable as error:
                problem = error.problem
        if problem is not None:
            raise InvalidWorkflow(self.workflow, f"its State.{field.name} cannot be stored: {problem}")


def unstorable(hint: Any) -> str | None:
    """Say why values of a type cannot be stored; None when they can, or when nobody can tell."""
    if isinstance(hint, types.GenericAlias) or get_origin(hint) is not None:
        return _unstorable_parts(get_origin(hint), get_args(hint))
    if (
        not isinstance(hint, type)
        or is_typeddict(hint)
        or hint in (object, Any)
        or getattr(hint, "_is_protocol", False)
    ):
        return None
    if issubclass(hint, Enum) and not issubclass(hint, STORABLE):
        return f"{hint.__qualname__} is an Enum; make it a TextChoices or IntegerChoices"
    if issubclass(hint, STORABLE) or dataclasses.is_dataclass(hint) or hint.__module__ == "collections.abc":
        return None
    return f"{hint.__qualname__} has no form as JSON; keep the plain values that it is made of"


def _unstorable_parts(origin: Any, arguments: tuple[Any, ...]) -> str | None:
    if origin is Literal:
        return None
    if origin is Annotated:
        return unstorable(arguments[0])
    if origin is Callable or (isinstance(origin, type) and issubclass(origin, type)):
        return "a function has no form as JSON; keep its name"
    if origin not in (Union, types.UnionType):
        if isinstance(origin, type) and not issubclass(origin, (Collection, *STORABLE)):
            return unstorable(origin)
        if isinstance(origin, type) and issubclass(origin, Mapping) and arguments and _is_no_text(arguments[0]):
            return f"its keys are {arguments[0].__qualname__}; JSON has only str keys"
    return next((problem for each in arguments if (problem := unstorable(each)) is not None), None)


def _is_no_text(hint: Any) -> bool:
    return isinstance(hint, type) and not issubclass(hint, str) and hint is not object
