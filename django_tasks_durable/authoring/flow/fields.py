"""The fields of a flow's state: declared by the flow, or inferred from how it uses them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import conditions
from .names import expect_field, field_of, is_reference
from .problems import Malformed, Problem, hint, inside, kind_of, meant
from .shapes import Flow, Node

# The types of a field, as the flow and Python name them, and what an unset one is.
TYPES = {"str": '""', "int": "0", "float": "0.0", "bool": "False", "list": "list", "dict": "dict", "any": "None"}
_IN_JSON_SCHEMA = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict",
}  # fmt: skip
_NUMBERS = frozenset({"int", "float", "bool"})
_OR_NONE = " | None"


@dataclass(slots=True)
class Field:
    """One field of the state, and what is known of it."""

    name: str
    declared: str | None = None
    default: list[Any] = field(default_factory=list)  # one value or none: None is a value
    description: str = ""
    is_written: bool = False
    first_read: str = ""
    evidence: set[str] = field(default_factory=set)

    @property
    def type(self) -> str:
        """The declared type, else the one that all evidence points to, else ``any``."""
        if self.declared is not None:
            return self.declared
        if len(self.evidence) > 1 and self.evidence <= {"int", "float"}:
            return "float"
        return next(iter(self.evidence)) if len(self.evidence) == 1 and "None" not in self.evidence else "any"

    @property
    def alternatives(self) -> frozenset[str]:
        """The simple types that a value of it may have; empty when anything is possible."""
        plain = self.type.removesuffix(_OR_NONE)
        return frozenset() if plain == "any" else frozenset({plain, *(["None"] if plain != self.type else [])})


def name_of(value: Any) -> str:
    """Return the simple type of a JSON value, as a flow names it."""
    if isinstance(value, dict):
        return "dict"
    return "None" if value is None else type(value).__name__


def declared_complaints(name: str, said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what is wrong with a declared field, each with the property that it is about."""
    try:
        expect_field(name)
    except Malformed as error:
        yield "", str(error)
    kind = said.get("type")
    if kind is None:
        return
    plain = kind.removesuffix(_OR_NONE)
    if plain not in TYPES:
        like = _IN_JSON_SCHEMA.get(plain.casefold())
        yield "type", f"{plain!r} is no type. {f'Did you mean {like!r}?' if like else hint(plain, TYPES)}"
        return
    if "default" not in said or plain == "any":
        return
    given = name_of(said["default"])
    allowed = {plain} | ({"int"} if plain == "float" else set()) | ({"None"} if plain != kind else set())
    if given not in allowed:
        yield "default", f"the default of a field of type {kind!r} cannot be {kind_of(said['default'])}."


def of(flow: Flow) -> dict[str, Field]:
    """Return the fields of the state: the declared ones, then the others in the order of their first use."""
    found: dict[str, Field] = {}
    for name, said in flow.values.get("state", {}).items():
        entry = said if isinstance(said, dict) else {"type": said}
        default = [entry["default"]] if "default" in entry else []
        found[name] = Field(name, entry["type"], default, entry.get("description", ""))
    for node in flow.nodes:
        for path, name in _reads(node):
            known = found.setdefault(name, Field(name))
            known.first_read = known.first_read or path
        if "result" in node.values:
            name = field_of(node.values["result"])
            found.setdefault(name, Field(name)).is_written = True
        for name, kind in _evidence(node):
            found[name].evidence.add(kind)
    return found


def problems(flow: Flow) -> Iterator[Problem]:
    """Give the names that are probably misspelt, and the comparisons that Python's types forbid."""
    fields = of(flow)
    declared = [name for name, known in fields.items() if known.declared is not None]
    for name, known in fields.items():
        if known.declared is None and not known.is_written:
            like = meant(name, declared, cutoff=0.8)
            if like is not None:
                yield Problem(
                    known.first_read,
                    f"'state.{name}' is not in the declared state, and nothing sets it. Did you mean 'state.{like}'? "
                    f"Otherwise declare {name!r} under $.state.",
                )
    for node in flow.nodes:
        yield from _mistyped(node, fields)


def _reads(node: Node) -> Iterator[tuple[str, str]]:
    for name, value in node.params.items():
        yield from _references(value, inside(inside(node.path, "params"), name))
    if "request" in node.values:
        yield from _references(node.values["request"], inside(node.path, "request"))
    if "default" in node.values:
        yield from _references(node.values["default"], inside(node.path, "default"))
    if "on" in node.values:
        yield inside(node.path, "on"), field_of(node.values["on"])
    for edge, tree in _trees(node):
        yield from ((inside(node.path, edge), name) for name in conditions.fields(tree))


def _references(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if is_reference(value):
        yield path, field_of(value)
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in members:
        yield from _references(each, inside(path, key))


def _trees(node: Node) -> Iterator[tuple[str, ast.expr]]:
    for name in ("if", "while"):
        if name in node.values:
            yield name, conditions.parse(node.values[name])


def _evidence(node: Node) -> Iterator[tuple[str, str]]:
    if "result" in node.values and "default" in node.values and not is_reference(node.values["default"]):
        yield field_of(node.values["result"]), name_of(node.values["default"])
    if "on" in node.values:
        cases = [case["is"] for case in node.values.get("cases", ()) if "is" in case]
        yield from ((field_of(node.values["on"]), name_of(value)) for value in cases)
    for _, tree in _trees(node):
        yield from _compared_with(tree)


def _compared_with(tree: ast.expr) -> Iterator[tuple[str, str]]:
    """Give each field that stands beside a literal, with the literal's type; a field alone is yes or no."""
    match tree:
        case ast.BoolOp(values=values):
            for value in values:
                yield from _compared_with(value)
        case ast.UnaryOp(operand=operand):
            yield from _compared_with(operand)
        case ast.Attribute(attr=name):
            yield name, "bool"
        case ast.Compare(left=left, comparators=others):
            sides = [left, *others]
            named = [side.attr for side in sides if isinstance(side, ast.Attribute)]
            literals = [name_of(value) for side in sides for value in _values(side)]
            yield from ((name, kind) for name in named for kind in literals)


def _values(node: ast.expr) -> list[Any]:
    if isinstance(node, ast.List | ast.Tuple):
        return [conditions.literal_of(each) for each in node.elts]
    return [] if isinstance(node, ast.Attribute) else [conditions.literal_of(node)]


# --- what Python's types say


def _mistyped(node: Node, fields: dict[str, Field]) -> Iterator[Problem]:
    if "on" in node.values:
        known = fields[field_of(node.values["on"])]
        for index, case in enumerate(node.values.get("cases", ())):
            if "is" in case and _never_equal(known.alternatives, frozenset({name_of(case["is"])})):
                path = inside(inside(inside(node.path, "cases"), index), "is")
                yield Problem(path, f"state.{known.name} is {known.type!r}, so it never is {case['is']!r}.")
    for edge, tree in _trees(node):
        for message in _complaints(tree, fields, frozenset()):
            yield Problem(inside(node.path, edge), message)
    if "result" in node.values and "default" in node.values and not is_reference(node.values["default"]):
        known = fields[field_of(node.values["result"])]
        given = name_of(node.values["default"])
        if known.alternatives and given not in known.alternatives and (given, known.type) != ("int", "float"):
            yield Problem(
                inside(node.path, "default"),
                f"state.{known.name} is {known.type!r}, so the default cannot be {given!r}.",
            )


def _complaints(tree: ast.expr, fields: dict[str, Field], present: frozenset[str]) -> Iterator[str]:
    match tree:
        case ast.BoolOp(op=operator, values=values):
            for value in values:
                yield from _complaints(value, fields, present)
                if isinstance(operator, ast.And):
                    present |= _made_sure(value)
        case ast.UnaryOp(operand=operand):
            yield from _complaints(operand, fields, present)
        case ast.Compare(left=left, ops=signs, comparators=others):
            for sign, other in zip(signs, others, strict=True):
                message = _complaint(sign, left, other, fields, present)
                if message:
                    yield message
                left = other


def _made_sure(tree: ast.expr) -> frozenset[str]:
    """Return the fields that are not None when this is true."""
    match tree:
        case ast.Compare(
            left=ast.Attribute(attr=name), ops=[ast.IsNot() | ast.NotEq()], comparators=[ast.Constant(value=None)]
        ):
            return frozenset({name})
        case ast.Attribute(attr=name):
            return frozenset({name})
    return frozenset()


def _complaint(
    sign: ast.cmpop, left: ast.expr, right: ast.expr, fields: dict[str, Field], present: frozenset[str]
) -> str | None:
    a, b = (_possible(side, fields, present) for side in (left, right))
    said = f"{ast.unparse(left)} and {ast.unparse(right)}"
    if isinstance(sign, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        for side, kinds in ((left, a), (right, b)):
            if "None" in kinds:
                return (
                    f"{ast.unparse(side)} may be None, which is neither less nor greater: ask `is not None and` first."
                )
            if kinds & {"list", "dict"}:
                return f"{ast.unparse(side)} is {' or '.join(sorted(kinds))}, which is neither less nor greater."
        return f"{said} are never in an order: {_types(a)} and {_types(b)}." if _never_equal(a, b) else None
    if isinstance(sign, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple):
            if b and not b <= {"list", "dict", "str"}:
                return f"nothing can be in {ast.unparse(right)}, which is {_types(b)}."
            is_text = not a or "str" in a or not b or "list" in b
            return None if is_text else f"{said}: in {_types(b)} there are only texts, this is {_types(a)}."
        return f"{said} never have one value: {_types(a)} and {_types(b)}." if _never_equal(a, b) else None
    if _never_equal(a, b) and "None" not in a | b:
        return f"{said} are never equal: {_types(a)} and {_types(b)}."
    return None


def _possible(node: ast.expr, fields: dict[str, Field], present: frozenset[str]) -> frozenset[str]:
    if isinstance(node, ast.Attribute):
        kinds = fields[node.attr].alternatives
        return kinds - {"None"} if node.attr in present else kinds
    return frozenset(map(name_of, _values(node)))


def _never_equal(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a and b) and not a & b and not (a & _NUMBERS and b & _NUMBERS)


def _types(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
