"""Which node leads to which, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator

from .problems import Problem, hint, inside, meant
from .shapes import Flow, Node

Leads = dict[str, set[str]]


def problems(flow: Flow) -> Iterator[Problem]:
    """Give what is wrong with the nodes as a whole."""
    named: dict[str, Node] = {}
    for node in (node for node in flow.nodes if node.name):
        named.setdefault(node.name, node)
    yield from _starts_and_ends(flow)
    for node in flow.nodes:
        for path, target in node.edges():
            yield from _edge(node, path, target, named)
    leads = {name: {_probable(target, named) for _, target in node.edges()} for name, node in named.items()}
    starts = {node.name for node in flow.nodes if node.type == "start"}
    ends = {node.name for node in flow.nodes if node.type == "end"}
    reached = _from(starts, leads) if starts else set(named)
    for name, node in named.items():
        if name not in reached:
            yield Problem(node.path, f"no way leads from the start to {name!r}. Lead an edge to it, or remove it.")
    if ends:
        yield from _without_exit(named, leads, reached, ends)
    yield from _loops(named, leads)
    yield from _idle_rounds(named, leads)


def _starts_and_ends(flow: Flow) -> Iterator[Problem]:
    starts = [node for node in flow.nodes if node.type == "start"]
    if not starts:
        yield Problem("$.nodes", "there is no start: add {'type': 'start', 'name': 'start', 'to': <the first node>}.")
    for second in starts[1:]:
        yield Problem(
            inside(second.path, "type"), f"a second start: a run begins at {starts[0].name!r} ({starts[0].path})."
        )
    if not any(node.type == "end" for node in flow.nodes):
        yield Problem("$.nodes", "there is no end: add {'type': 'end', 'name': 'end'} and lead an edge to it.")


def _edge(node: Node, path: str, target: str, named: dict[str, Node]) -> Iterator[Problem]:
    if target not in named:
        yield Problem(path, f"there is no node {target!r}. {hint(target, named)}")
    elif named[target].type == "start":
        yield Problem(path, f"{target!r} is the start, to which nothing leads back. Lead to the node after it.")
    elif node.type == "start" and named[target].type == "end":
        yield Problem(path, "the start leads straight to the end: nothing would be done.")


def _probable(target: str, named: dict[str, Node]) -> str:
    """Follow a misspelt edge to where it was probably meant to lead, so that one mistake is told once."""
    return target if target in named else meant(target, named) or target


def _from(names: set[str], leads: Leads) -> set[str]:
    found, todo = set(names), list(names)
    while todo:
        new = leads.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def _without_exit(named: dict[str, Node], leads: Leads, reached: set[str], ends: set[str]) -> Iterator[Problem]:
    back: Leads = {}
    for name, targets in leads.items():
        for target in targets:
            back.setdefault(target, set()).add(name)
    leaving = _from(ends | (set(back) - set(named)), back)  # what leads nowhere is a problem of its edge
    told: set[str] = set()
    for name in (name for name in named if name in reached and name not in leaving and leads[name]):
        around = _from(leads[name], leads)
        if name in told or name not in around:
            continue
        told |= {other for other in around if name in _from({other}, leads)}
        circle = ", ".join(repr(other) for other in named if other in told & around)
        yield Problem(named[name].path, f"a loop without exit: no way leads from {circle} to an end.")


def _idle_rounds(named: dict[str, Node], leads: Leads) -> Iterator[Problem]:
    """Find the ways round on which nothing is done, so that every question has the same answer for ever."""
    deciding = {name for name, node in named.items() if node.type in ("condition", "switch", "loop")}
    idle = {name: leads[name] & deciding for name in deciding}
    told: set[str] = set()
    for name in (name for name in named if name in deciding):
        around = _from(idle[name], idle)
        if name in around and name not in told:
            told |= around
            yield Problem(
                named[name].path,
                f"a loop without a task, wait or event: from {name!r} back to {name!r} nothing is done.",
            )


def _loops(named: dict[str, Node], leads: Leads) -> Iterator[Problem]:
    for name, node in named.items():
        body = node.values.get("do")
        if node.type != "loop" or body is None or body not in named:
            continue
        if name not in _from({body}, leads):
            yield Problem(
                inside(node.path, "do"),
                f"the way from {body!r} never comes back to the loop {name!r}; use a condition.",
            )
        if node.values.get("to") == body:
            yield Problem(inside(node.path, "to"), "a loop without exit: `do` and `to` lead to the same node.")
