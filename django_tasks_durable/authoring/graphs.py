"""A workflow class as data: its steps, the moves between them, the keys that they use, the shape of its state."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from . import sources
from .plans import Plan
from .states import MISSING, StateShape

JSON_TYPES = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"},
    type(None): {"type": "null"}, datetime: {"type": "string", "format": "date-time"}, date: {"type": "string", "format": "date"},
    UUID: {"type": "string", "format": "uuid"}, Decimal: {"type": "string", "format": "decimal"},
    bytes: {"type": "string", "format": "byte"},
}  # fmt: skip


def graph_of(name: str, plan: Plan) -> dict[str, Any]:
    """Return the graph of a workflow class. ``to`` holds None where the workflow may end.

    Keys are read from the source; one that is no literal is given as its source text, with ``literal`` False.
    """
    return {
        "name": name,
        "start": plan.start,
        "steps": [
            {"name": step.name, "method": step.method, "to": list(step.to), "keys": sources.keys_of(step.function)}
            for step in plan.steps.values()
        ],
        "commands": list(plan.commands),
        "queries": list(plan.queries),
        "state": schema_of(plan.shape),
    }


def mermaid_of(plan: Plan) -> str:
    """Return the steps and moves as a Mermaid state diagram."""
    ids = {name: f"s{number}" for number, name in enumerate(plan.steps, 1)}
    lines = ["stateDiagram-v2"]
    lines += [f"    state {_quoted(name)} as {ids[name]}" for name in plan.steps]
    lines.append(f"    [*] --> {ids[plan.start]}")
    for step in plan.steps.values():
        lines += [f"    {ids[step.name]} --> {'[*]' if target is None else ids[target]}" for target in step.to]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


# --- the shape of the state


def schema_of(shape: StateShape) -> dict[str, Any]:
    """Return the shape of a state in the words of JSON Schema, as far as its types tell."""
    return _object(shape.kind, shape.hints)


def _object(kind: type, hints: Mapping[str, Any]) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    told: dict[str, Any] = {
        "type": "object",
        "title": kind.__qualname__,
        "properties": {field.name: _schema(hints.get(field.name, Any)) for field in fields},
    }
    required = [
        field.name for field in fields if field.init and field.default is MISSING and field.default_factory is MISSING
    ]
    return told | ({"required": required} if required else {})


def _schema(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(each) for each in arguments]}
    if origin is not None and hasattr(hint, "__metadata__"):
        return _schema(arguments[0])
    kind = origin or hint
    if not isinstance(kind, type) or kind is Any:
        return {}
    if kind in JSON_TYPES:
        return dict(JSON_TYPES[kind])
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    if dataclasses.is_dataclass(kind):
        return _object(kind, {field.name: field.type for field in dataclasses.fields(kind)})
    if issubclass(kind, Mapping):
        return {"type": "object"} | ({"additionalProperties": _schema(arguments[1])} if len(arguments) == 2 else {})
    if issubclass(kind, Sequence | Set):
        return {"type": "array"} | ({"items": _schema(arguments[0])} if arguments else {})
    return {}
