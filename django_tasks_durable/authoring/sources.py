"""What the source of a workflow's step says about the keys that it uses."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Which words of the context leave a key behind, what kind of key it is, and the key without one being given.
WORDS = {
    "step": ("step", None), "action": ("step", None), "sleep": ("sleep", "sleep"), "wait_ms": ("sleep", None),
    "wait": ("wait", None), "await_": ("wait", None), "wait_event": ("wait", None), "interrupt": ("wait", "interrupt"),
    "approval": ("approval", None), "webhook": ("webhook", None), "recv": ("recv", None), "poll": ("poll", None),
}  # fmt: skip
WORDS |= {f"a{name}": said for name, said in WORDS.items() if name not in ("wait", "await_")}
# These take the name of a box or an event, which may be asked again and again.
_MAILBOXES = frozenset({"recv", "arecv", "wait_event", "await_event"})
# What decides that only one of several blocks is entered.
_FORKS = (ast.If, ast.IfExp, ast.Match, ast.Try, ast.TryStar)
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


@dataclass(frozen=True, slots=True)
class _Use:
    """One ``self.word(...)``, and the blocks around it: which fork, which of its ways, and whether that way leaves."""

    word: str
    call: ast.Call
    blocks: tuple[tuple[ast.AST, str, bool], ...]


def keys_of(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """Return the keys that a step's source uses, in order; none when there is no source."""
    return [_key(use.word, use.call) for use in _uses(function)]


def key_used_twice(function: Callable[..., Any]) -> tuple[str, int] | None:
    """Return a literal key that one visit may use twice for the same thing, and the line of the second use; None if there is none.

    Uses on different ways of an if, a match or a try are not twice, nor are uses of which the first leaves the step.
    """
    seen: dict[tuple[str, str], list[_Use]] = {}
    for use in _uses(function):
        said = _said(use.word, use.call)
        if use.word in _MAILBOXES or not (isinstance(said, ast.Constant) and isinstance(said.value, str)):
            continue
        earlier = seen.setdefault((WORDS[use.word][0], said.value), [])
        if any(not _are_apart(each, use) for each in earlier):
            return said.value, use.call.lineno + inspect.unwrap(function).__code__.co_firstlineno - 1
        earlier.append(use)
    return None


def _uses(function: Callable[..., Any]) -> list[_Use]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return []
    method = tree.body[0]
    if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or not method.args.args:
        return []
    found = _walk(method, method.args.args[0].arg, ())
    return sorted(found, key=lambda use: (use.call.lineno, use.call.col_offset))


def _walk(node: ast.AST, me: str, blocks: tuple[tuple[ast.AST, str, bool], ...]) -> Iterator[_Use]:
    """Give each ``self.word(...)`` and ``self.context.word(...)``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WORDS:
        owner = node.func.value
        if isinstance(owner, ast.Attribute) and owner.attr == "context":
            owner = owner.value
        if isinstance(owner, ast.Name) and owner.id == me:
            yield _Use(node.func.attr, node, blocks)
    for name, inner in ast.iter_fields(node):
        children = inner if isinstance(inner, list) else [inner]
        for number, child in enumerate(children):
            if isinstance(child, ast.AST):
                yield from _walk(child, me, (*blocks, *_entered(node, name, number, children, child)))


def _entered(
    node: ast.AST, field: str, number: int, children: list[Any], child: ast.AST
) -> Iterator[tuple[ast.AST, str, bool]]:
    """Say which way of a fork a child is on."""
    if not isinstance(node, _FORKS) or field in ("test", "subject", "finalbody"):
        return
    # The handlers of a try are entered instead of each other, but after its body.
    way = f"{field} {number}" if field in ("cases", "handlers") else field
    block = getattr(child, "body", None) if field in ("cases", "handlers") else children
    leaves = isinstance(block, list) and bool(block) and isinstance(block[-1], _LEAVES)
    yield node, way, leaves


def _are_apart(first: _Use, second: _Use) -> bool:
    ways = {id(fork): way for fork, way, _ in second.blocks}
    for fork, way, leaves in first.blocks:
        other = ways.get(id(fork))
        if other == way:
            continue
        if leaves and not isinstance(fork, ast.Try | ast.TryStar):
            return True
        both_may_run = isinstance(fork, ast.Try | ast.TryStar) and "body" in (way, other)
        if other is not None and not both_may_run:
            return True
    return False


def _said(word: str, call: ast.Call) -> ast.expr | None:
    said = next((each.value for each in call.keywords if each.arg == "key"), None)
    if said is None and word not in ("interrupt", "ainterrupt") and call.args:
        return call.args[0]
    return said


def _key(word: str, call: ast.Call) -> dict[str, Any]:
    kind, otherwise = WORDS[word]
    said = _said(word, call)
    if isinstance(said, ast.Constant) and isinstance(said.value, str):
        return {"kind": kind, "key": said.value, "literal": True}
    if kind == "step" and isinstance(said, ast.Name):
        return {"kind": kind, "key": said.id, "literal": True}
    if otherwise is not None and (said is None or isinstance(said, ast.Constant)):
        return {"kind": kind, "key": otherwise, "literal": True}
    return {"kind": kind, "key": "" if said is None else ast.unparse(said), "literal": False}
