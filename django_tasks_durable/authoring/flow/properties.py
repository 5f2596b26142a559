"""Which properties a flow and each type of node have. ``flow.schema.json`` says the same to other programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FORMAT = 1
EXTRA = "_extra"
METHOD = "method"


class Kind(StrEnum):
    """What the value of a property is."""

    FORMAT = "format"
    TEXT = "text"
    FLOW_NAME = "flow name"
    NAME = "name"
    IDENTIFIER = "identifier"
    NODE = "node"
    REFERENCE = "reference"
    CONDITION = "condition"
    DURATION = "duration"
    COUNT = "count"
    FLAG = "flag"
    SCALAR = "scalar"
    VALUE = "value"
    PARAMS = "params"
    CASES = "cases"
    STATE = "state"
    NODES = "nodes"


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a JSON object."""

    kind: Kind
    required: bool = False


Properties = dict[str, Property]


def _must(kind: Kind) -> Property:
    return Property(kind, required=True)


def _may(kind: Kind) -> Property:
    return Property(kind)


FLOW: Properties = {
    "$schema": _may(Kind.TEXT),
    "format": _may(Kind.FORMAT),
    "name": _must(Kind.FLOW_NAME),
    "description": _may(Kind.TEXT),
    "queue_name": _may(Kind.TEXT),
    "state": _may(Kind.STATE),
    "nodes": _must(Kind.NODES),
}
OF_EACH_NODE: Properties = {
    "type": _must(Kind.TEXT),
    "name": _must(Kind.NAME),
    "description": _may(Kind.TEXT),
}
NODES: dict[str, Properties] = {
    "start": {"to": _must(Kind.NODE)},
    "task": {
        METHOD: _may(Kind.IDENTIFIER),
        "params": _may(Kind.PARAMS),
        "result": _may(Kind.REFERENCE),
        "max_attempts": _may(Kind.COUNT),
        "timeout": _may(Kind.DURATION),
        "atomic": _may(Kind.FLAG),
        "to": _must(Kind.NODE),
    },
    "condition": {"if": _must(Kind.CONDITION), "then": _must(Kind.NODE), "else": _must(Kind.NODE)},
    "switch": {"on": _must(Kind.REFERENCE), "cases": _must(Kind.CASES), "else": _must(Kind.NODE)},
    "loop": {"while": _must(Kind.CONDITION), "do": _must(Kind.NODE), "to": _must(Kind.NODE)},
    "wait": {"for": _must(Kind.DURATION), "to": _must(Kind.NODE)},
    "event": {
        "request": _may(Kind.VALUE),
        "timeout": _may(Kind.DURATION),
        "default": _may(Kind.VALUE),
        "on_timeout": _may(Kind.NODE),
        "result": _may(Kind.REFERENCE),
        "to": _must(Kind.NODE),
    },
    "end": {},
}
CASE: Properties = {"is": _must(Kind.SCALAR), "to": _must(Kind.NODE)}
FIELD: Properties = {"type": _must(Kind.TEXT), "default": _may(Kind.VALUE), "description": _may(Kind.TEXT)}


def of_node(node_type: str) -> Properties:
    """Return the properties of a node of this type."""
    return OF_EACH_NODE | NODES[node_type]


# The names of all properties that lead to another node, in the order of a drawing.
EDGES = ("to", "then", "do", "else", "on_timeout")
