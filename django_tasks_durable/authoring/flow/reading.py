"""From the text of a file to a flow, with every mistake in it found at once."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from django_tasks_durable.exceptions import FlowInvalid, FlowUnreadable

from . import collisions, fields, graph, kinds
from .fields import declared_complaints
from .problems import Problem, hint, inside, kind_of, meant
from .properties import CASE, EDGES, EXTRA, FIELD, FLOW, NODES, OF_EACH_NODE, Kind, Properties, of_node
from .shapes import Flow, Node, with_extra

DEEPEST = 50
_STRING_OR_CONSTANT = re.compile(r'"(?:\\.|[^"\\])*"|(-?Infinity|NaN)', re.DOTALL)


def read_flow(text: str | bytes) -> Flow:
    """Return the flow that a text holds.

    Raise FlowUnreadable, with line and column, when it is no JSON, and FlowInvalid with every problem and its JSON path.
    """
    document = _json(text)
    reader = _Reader()
    reader.strange_text(document, "$")
    flow = reader.flow(document)
    if flow is not None:
        for found in (graph.problems(flow), collisions.problems(flow), fields.problems(flow)):
            for problem in found:
                reader.add(problem.path, problem.message)
    if flow is None or reader.problems:
        raise FlowInvalid(tuple((problem.path, problem.message) for problem in reader.told()))
    return flow


class _Members(dict[str, Any]):
    """A JSON object that remembers which names it was given twice."""

    repeated: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> _Members:
        members = cls(pairs)
        if len(members) < len(pairs):
            names = [name for name, _ in pairs]
            members.repeated = tuple(name for name in members if names.count(name) > 1)
        return members


def _json(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(errors="replace")
            raise FlowUnreadable(*_place(before, len(before)), "this is not UTF-8.") from None
    text = text.removeprefix("\ufeff")
    for found in _STRING_OR_CONSTANT.finditer(text):
        if found[1]:
            raise FlowUnreadable(*_place(text, found.start()), f"{found[1]} is no JSON.")
    try:
        return json.loads(text, object_pairs_hook=_Members.of)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip())
        message = "the text ends too early" if cut and text.strip() else error.msg
        raise FlowUnreadable(
            error.lineno, error.colno, f"{message if text.strip() else 'the text is empty'}."
        ) from None
    except (RecursionError, ValueError):
        raise FlowUnreadable(1, 1, "it is nested too deep, or holds a number that is too long.") from None


def _place(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


# Stands for a value that cannot be used; None is a value.
_UNUSABLE: Any = object()


class _Reader:
    """Collects what is wrong while it goes through a document."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def told(self) -> list[Problem]:
        """Return each problem once, sorted by its place."""
        return sorted(dict.fromkeys(self.problems), key=lambda problem: _order(problem.path))

    def add(self, path: str, message: str) -> None:
        """Note a problem; messages begin like sentences."""
        self.problems.append(Problem(path, message[:1].upper() + message[1:]))

    def strange_text(self, value: Any, path: str, depth: int = 0) -> None:
        """Find what JSON can spell and neither a file nor a run can keep."""
        if depth > DEEPEST:
            raise FlowInvalid(((path, f"Nested more than {DEEPEST} levels deep."),))
        if isinstance(value, float) and not math.isfinite(value):
            self.add(path, "the number is too large.")
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            self.add(path, "the text holds half of a character (a lone surrogate).")
        if isinstance(value, dict):
            for name in value:
                self.strange_text(name, path, depth)
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in members:
            self.strange_text(each, inside(path, key), depth + 1)

    def flow(self, document: Any) -> Flow | None:
        """Read the whole; None when there is nothing that could be looked at further."""
        read = self.members(document, "$", FLOW, "a flow")
        if read is None:
            return None
        values, extra = read
        nodes = [self.node(each, inside("$.nodes", index)) for index, each in enumerate(values.pop("nodes", ()))]
        name = values.pop("name", "flow")
        return Flow(name=name, values=values, nodes=tuple(node for node in nodes if node is not None), extra=extra)

    def node(self, document: Any, path: str) -> Node | None:
        """Read one node. One whose type is wrong is kept without a type, so that edges to it count."""
        if not isinstance(document, dict):
            self.add(path, f"a node is an object, this is {kind_of(document)}.")
            return None
        said = document.get("type")
        if isinstance(said, str) and said in NODES:
            read = self.members(document, path, of_node(said), f"a node of type {said!r}")
            assert read is not None
            values, extra = read
            del values["type"]
            if said == "event":
                self.late(document, path)
            return Node(path=path, type=said, name=values.pop("name", ""), values=values, extra=extra)
        if "type" in document:
            shown = repr(said) if isinstance(said, str) else kind_of(said)
            close = hint(said, NODES) if isinstance(said, str) else hint("", NODES)
            self.add(inside(path, "type"), f"{shown} is no type of node. {close}")
        lenient = OF_EACH_NODE | {name: rule for each in NODES.values() for name, rule in each.items()}
        lenient = {name: rule for name, rule in lenient.items() if name in ("type", "name", *EDGES)}
        optional = {name: type(rule)(rule.kind, required=name in OF_EACH_NODE) for name, rule in lenient.items()}
        read = self.members(document, path, optional, "a node", guess=False)
        assert read is not None
        values, _ = read
        return Node(path=path, type="", name=values.pop("name", ""), values=values, extra={})

    def late(self, event: dict[str, Any], path: str) -> None:
        """Check what an event says of being late."""
        after = [name for name in ("default", "on_timeout") if name in event]
        if len(after) == 2:
            either = "after the timeout either 'default' is the answer, or 'on_timeout' is next."
            self.add(inside(path, "on_timeout"), either)
        elif after and not any(name not in after and meant(name, ["timeout"], cutoff=0.75) for name in event):
            self.add(inside(path, after[0]), f"{after[0]!r} needs a 'timeout' on this event, such as '3 days'.")

    def members(
        self, document: Any, path: str, properties: Properties, what: str, *, guess: bool = True
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the known properties that are well formed, and the unknown ones."""
        if not isinstance(document, dict):
            self.add(path, f"{what} is an object, this is {kind_of(document)}.")
            return None
        for name in getattr(document, "repeated", ()):
            self.add(inside(path, name), "this name is given twice in one object; the first would be lost.")
        unknown = {name: value for name, value in document.items() if name not in properties and name != EXTRA}
        missing = [name for name, rule in properties.items() if name not in document]
        for name in [name for name in unknown if guess]:
            like = meant(name, missing, cutoff=0.75)
            if like is not None:
                missing.remove(like)
                self.add(
                    inside(path, name),
                    f"{what} has no property {name!r}. Did you mean {like!r}? To keep it as it is, put it under {EXTRA!r}.",
                )
        for name in missing:
            if properties[name].required:
                self.add(inside(path, name), f"{what} needs the property {name!r}.")
        values = {name: self.value(document[name], name, path, properties) for name in document if name in properties}
        return {name: value for name, value in values.items() if value is not _UNUSABLE}, self.extra(
            document, unknown, path
        )

    def extra(self, document: dict[str, Any], unknown: dict[str, Any], path: str) -> dict[str, Any]:
        """Return what this format does not know, wherever it was written."""
        kept = document.get(EXTRA, {})
        if not isinstance(kept, dict):
            self.add(inside(path, EXTRA), f"{EXTRA!r} is an object, this is {kind_of(kept)}.")
            return unknown
        for name in unknown.keys() & kept.keys():
            self.add(inside(path, name), f"{name!r} is given here and under {EXTRA!r}; one of them would be lost.")
        return {**kept, **unknown}

    def value(self, value: Any, name: str, path: str, properties: Properties) -> Any:
        """Check the value of a known property, and return it as it is to be used."""
        kind, here = properties[name].kind, inside(path, name)
        before = len(self.problems)
        match kind:
            case Kind.NODES:
                if not isinstance(value, list):
                    self.add(here, f"the nodes are a list, this is {kind_of(value)}.")
            case Kind.CASES:
                return self.cases(value, here)
            case Kind.STATE:
                return self.state(value, here)
            case _:
                for where, message in kinds.complaints(kind, value, here):
                    self.add(where, message)
        return value if len(self.problems) == before else _UNUSABLE

    def cases(self, value: Any, path: str) -> Any:
        """Return the cases of a switch that have a value and lead somewhere."""
        if not isinstance(value, list) or not value:
            self.add(path, "the cases are a list of at least one {'is': value, 'to': node}.")
            return _UNUSABLE
        seen: dict[Any, int] = {}
        read = [self.members(case, inside(path, index), CASE, "a case") for index, case in enumerate(value)]
        for index, values in enumerate(values for values, _ in filter(None, read)):
            if "is" not in values:
                continue
            wanted = values["is"]
            key = (wanted is None or isinstance(wanted, bool), wanted)
            if key in seen:
                first = inside(path, seen[key])
                self.add(inside(inside(path, index), "is"), f"{wanted!r} is the case of {first} already.")
            seen.setdefault(key, index)
        return [with_extra(*case) if case else {} for case in read]

    def state(self, value: Any, path: str) -> Any:
        """Return the declared fields of the state that are well formed."""
        if not isinstance(value, dict):
            self.add(path, f"the state is an object of names and types, this is {kind_of(value)}.")
            return _UNUSABLE
        declared: dict[str, Any] = {}
        for name, said in value.items():
            here, before = inside(path, name), len(self.problems)
            read = ({"type": said}, {}) if isinstance(said, str) else self.members(said, here, FIELD, "a field")
            for where, message in declared_complaints(name, read[0] if read else {}):
                self.add(here if isinstance(said, str) or not where else inside(here, where), message)
            if read and len(self.problems) == before:
                declared[name] = said if isinstance(said, str) else with_extra(*read)
        return declared


def _order(path: str) -> list[tuple[int, str]]:
    return [(int(number) if number else -1, word) for number, word in re.findall(r"\[(\d+)\]|([^\[\].]+)", path)]
