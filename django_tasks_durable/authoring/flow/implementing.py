"""The part of a workflow that somebody writes: made once, then only given stubs for what is new."""

from __future__ import annotations

import ast
import re

from django_tasks_durable.exceptions import ImplementationUnfit

from .layout import INDENT, documented
from .shapes import Flow
from .tasks import TaskMethod


def begin(flow: Flow, tasks: tuple[TaskMethod, ...], *, in_package: bool) -> str:
    """Return the text of a new implementation."""
    lines = [
        *documented(f"What {flow.name} does; when it does that is said by {flow.module}_flow.py", depth=0),
        "",
        "from __future__ import annotations",
        "",
        f"from {'.' if in_package else ''}{flow.module}_flow import {flow.class_name}Flow",
        "",
        "",
        f"class {flow.class_name}({flow.class_name}Flow):",
        *documented(f"The tasks of {flow.name}", depth=1),
        *(line for task in tasks for line in ["", *task.stub()]),
    ]
    return "\n".join([*lines, ""])


def declared(generated: bytes) -> frozenset[str]:
    """Return the names of all methods that a generated part, perhaps an older one, declares."""
    return frozenset(node.name for node in ast.walk(ast.parse(generated)) if isinstance(node, ast.FunctionDef))


def missing(content: bytes, flow: Flow, tasks: tuple[TaskMethod, ...], older: frozenset[str]) -> list[TaskMethod]:
    """Return the tasks that an implementation has no method for.

    Where the class has other bases, the tasks of ``older`` may be written there, and are not missing.
    """
    found = _class(content, flow)
    own = _own(found)
    if len(found.bases) > 1:
        own |= older
    return [task for task in tasks if task.name not in own]


def unused(content: bytes, flow: Flow, tasks: tuple[TaskMethod, ...], older: frozenset[str]) -> tuple[str, ...]:
    """Return the methods that an implementation still has for tasks that are no longer in the flow."""
    gone = older - {"__init_subclass__"} - {task.name for task in tasks} - {node.transition for node in flow.steps}
    return tuple(sorted(gone & _own(_class(content, flow))))


def extended(content: bytes, flow: Flow, tasks: list[TaskMethod]) -> bytes:
    """Return an implementation with stubs at the end of its class, and every other byte as it was."""
    if not tasks:
        return content
    found = _class(content, flow)
    lines = content.splitlines(keepends=True)
    last = found.body[-1].end_lineno or len(lines)
    before, after = b"".join(lines[:last]), b"".join(lines[last:])
    first = lines[found.body[0].lineno - 1]
    unit = re.match(rb"[ \t]*", first)
    indent = unit[0].decode() if unit and unit[0] else INDENT
    newline = "\r\n" if b"\r\n" in content else "\n"
    stubs = [line for task in tasks for line in ["", *task.stub()]]
    text = newline.join([_indented(line, indent) for line in stubs]) + newline
    joined = before + (b"" if before.endswith((b"\n", b"\r")) else newline.encode()) + text.encode() + after
    try:
        done = not missing(joined, flow, tuple(tasks), frozenset())
    except ImplementationUnfit:
        done = False
    if not done:
        names = ", ".join(f"{task.name}()" for task in tasks)
        raise ImplementationUnfit(f"{found.name} cannot be extended safely as it is laid out. Add {names} by hand.")
    return joined


def _own(found: ast.ClassDef) -> set[str]:
    own = {node.name for node in found.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in found.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        own |= {target.id for target in targets if isinstance(target, ast.Name)}
    return own


def _indented(line: str, indent: str) -> str:
    depth = (len(line) - len(line.lstrip())) // len(INDENT)
    return indent * depth + line.lstrip()


def _class(content: bytes, flow: Flow) -> ast.ClassDef:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise ImplementationUnfit(f"{flow.module}.py cannot be read ({line}). Repair it first.") from None
    base = f"{flow.class_name}Flow"
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found = [node for node in classes if any(ast.unparse(each).rpartition(".")[2] == base for each in node.bases)]
    if found:
        return next((node for node in found if node.name == flow.class_name), found[0])
    raise ImplementationUnfit(
        f"{flow.module}.py has no class that derives from {base}. Write `class {flow.class_name}({base}):`, "
        "or name the flow otherwise."
    )
