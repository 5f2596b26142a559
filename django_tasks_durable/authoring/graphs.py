"""A workflow class as data: its steps, the moves between them, the keys that they use, the shape of its state."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from .plans import Plan, PlannedStep
from .states import MISSING, StateShape

# Which words of the context leave a key behind, what kind of key it is, and the key without one being given.
WORDS = {
    "step": ("step", None), "action": ("step", None), "sleep": ("sleep", "sleep"), "wait_ms": ("sleep", None),
    "wait": ("wait", None), "await_": ("wait", None), "wait_event": ("wait", None), "interrupt": ("wait", "interrupt"),
}  # fmt: skip
WORDS |= {f"a{name}": said for name, said in WORDS.items() if name not in ("wait", "await_")}
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
            {"name": step.name, "method": step.method, "to": list(step.to), "keys": keys_of(step)}
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


# --- keys


def keys_of(step: PlannedStep) -> list[dict[str, Any]]:
    """Return the keys that a step's source uses, in order; none when there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(step.function)))
    except (OSError, SyntaxError, TypeError):
        return []
    method = tree.body[0]
    if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or not method.args.args:
        return []
    found = list(_calls(method, method.args.args[0].arg))
    return [_key(word, node) for word, node in sorted(found, key=lambda each: (each[1].lineno, each[1].col_offset))]


def _calls(method: ast.AST, me: str) -> Iterator[tuple[str, ast.Call]]:
    """Give each ``self.word(...)`` and ``self.context.word(...)``."""
    for node in ast.walk(method):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in WORDS:
            continue
        owner = node.func.value
        if isinstance(owner, ast.Attribute) and owner.attr == "context":
            owner = owner.value
        if isinstance(owner, ast.Name) and owner.id == me:
            yield node.func.attr, node


def _key(word: str, call: ast.Call) -> dict[str, Any]:
    kind, otherwise = WORDS[word]
    said = next((each.value for each in call.keywords if each.arg == "key"), None)
    if said is None and word not in ("interrupt", "ainterrupt") and call.args:
        said = call.args[0]
    if isinstance(said, ast.Constant) and isinstance(said.value, str):
        return {"kind": kind, "key": said.value, "literal": True}
    if kind == "step" and isinstance(said, ast.Name):
        return {"kind": kind, "key": said.id, "literal": True}
    if otherwise is not None and (said is None or isinstance(said, ast.Constant)):
        return {"kind": kind, "key": otherwise, "literal": True}
    return {"kind": kind, "key": "" if said is None else ast.unparse(said), "literal": False}


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
