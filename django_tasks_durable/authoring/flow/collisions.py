"""Names of a flow that cannot stand beside one another in Python."""

from __future__ import annotations

import keyword
from collections.abc import Iterator

from django_tasks_durable.authoring.plans import TAKEN
from django_tasks_durable.authoring.workflow import Workflow

from .names import TYPE_NAMES
from .problems import Problem, inside
from .properties import METHOD
from .shapes import Flow, Node

END = "end"


def problems(flow: Flow) -> Iterator[Problem]:
    """Give the nodes whose name or method is taken."""
    first: dict[str, Node] = {}
    methods: dict[str, Node] = {}
    taken = {*dir(Workflow), *Workflow.__annotations__, "State", *TAKEN}
    for node in (node for node in flow.nodes if node.name):
        if node.name in first:
            yield Problem(inside(node.path, "name"), f"{node.name!r} is the name of {first[node.name].path} already.")
            continue
        first[node.name] = node
        if node.type in ("", "start", "end"):
            continue
        if node.name == END:
            yield Problem(
                inside(node.path, "name"), f"{END!r} is what the end of every workflow is called; rename this node."
            )
        where = inside(node.path, METHOD if METHOD in node.values else "name")
        for method in [node.transition, *([node.method] if node.type == "task" else [])]:
            way_out = "Rename one, or give a task another 'method'."
            if method in methods:
                other = methods[method]
                yield Problem(
                    where, f"{node.name!r} and {other.name!r} ({other.path}) both become {method!r}. {way_out}"
                )
                break
            if method in taken:
                yield Problem(where, f"{node.name!r} becomes {method!r}, which every workflow has. {way_out}")
            elif method in TYPE_NAMES:
                yield Problem(where, f"{node.name!r} becomes {method!r}, which is the name of a type. {way_out}")
            elif keyword.iskeyword(method):
                yield Problem(where, f"{node.name!r} becomes {method!r}, a word of Python's. {way_out}")
            methods[method] = node
