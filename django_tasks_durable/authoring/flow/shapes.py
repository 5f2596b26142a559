"""A flow that has been read: values only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .names import method, type_name
from .problems import inside
from .properties import CASE, EDGES, EXTRA, FLOW, METHOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: its own properties, and those that this format does not know."""

    path: str
    type: str
    name: str
    values: dict[str, Any]
    extra: dict[str, Any]

    @property
    def method(self) -> str:
        """The method that a task's author writes."""
        return str(self.values.get(METHOD) or method(self.name))

    @property
    def transition(self) -> str:
        """The method of the generated part that is run when the workflow comes here."""
        return f"at_{method(self.name)}"

    @property
    def params(self) -> dict[str, Any]:
        """What a task is called with."""
        return dict(self.values.get("params") or {})

    def edges(self) -> Iterator[tuple[str, str]]:
        """Give the JSON path of each edge that leaves this node, and the name of the node it leads to."""
        for index, case in enumerate(self.values.get("cases") or ()):
            if "to" in case:
                yield inside(inside(inside(self.path, "cases"), index), "to"), case["to"]
        yield from ((inside(self.path, edge), self.values[edge]) for edge in EDGES if edge in self.values)

    def as_dict(self, *, extra: bool = True) -> dict[str, Any]:
        """Return the node as JSON."""
        return {"type": self.type, "name": self.name, **_told(self.values, self.extra, extra)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A flow without a mistake in it."""

    name: str
    values: dict[str, Any]
    nodes: tuple[Node, ...]
    extra: dict[str, Any]

    @property
    def module(self) -> str:
        """The module of the implementation; that of the generated part is this with ``_flow``."""
        return method(self.name)

    @property
    def class_name(self) -> str:
        """The class of the implementation; that of the generated part is this with ``Flow``."""
        return type_name(self.name)

    @property
    def tasks(self) -> tuple[Node, ...]:
        """The nodes that somebody writes a method for."""
        return tuple(node for node in self.nodes if node.type == "task")

    @property
    def steps(self) -> tuple[Node, ...]:
        """The nodes that become transitions: all but start and end."""
        return tuple(node for node in self.nodes if node.type not in ("start", "end"))

    @property
    def first(self) -> str:
        """The name of the node that a run begins with."""
        return next(str(node.values["to"]) for node in self.nodes if node.type == "start")

    @property
    def ends(self) -> frozenset[str]:
        """The names of the nodes at which a run is over."""
        return frozenset(node.name for node in self.nodes if node.type == "end")

    @property
    def digest(self) -> str:
        """A name for what the flow says; what only a drawing program knows of it does not count."""
        text = json.dumps(self.as_dict(extra=False), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self, *, extra: bool = True) -> dict[str, Any]:
        """Return the flow as JSON, with what this format does not know under ``_extra``."""
        own = {"name": self.name, **self.values, "nodes": [node.as_dict(extra=extra) for node in self.nodes]}
        return _told({name: own[name] for name in FLOW if name in own}, self.extra, extra)

    def as_text(self) -> str:
        """Return the flow as the text of a file."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"


def with_extra(values: dict[str, Any], unknown: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of an object, and what is unknown under ``_extra``."""
    return {**values, EXTRA: unknown} if unknown else values


def _plain(name: str, value: Any) -> Any:
    """Return the value of a property without what is unknown in it."""
    if name == "cases":
        return [{key: case[key] for key in CASE} for case in value]
    if name == "state":
        return {
            field: {key: each for key, each in said.items() if key != EXTRA} if isinstance(said, dict) else said
            for field, said in value.items()
        }
    return value


def _told(values: dict[str, Any], unknown: dict[str, Any], extra: bool) -> dict[str, Any]:
    if extra:
        return with_extra(values, unknown)
    return {name: _plain(name, value) for name, value in values.items()}
