"""The generated part of a workflow: its state, and a transition for each node."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from . import conditions, durations
from . import fields as state
from .fields import TYPES, Field
from .layout import INDENT, WIDTH, call, documented, one_line, sentence_of
from .literals import quoted, scalar, written
from .shapes import Flow, Node
from .tasks import TaskMethod, methods, python_type

_DIGESTS = re.compile(r"\A# Generated .*\n# flow ([0-9a-f]{64})\n# code ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class Generated:
    """What a flow becomes: the text of the generated part, and the methods that somebody writes."""

    text: str
    tasks: tuple[TaskMethod, ...]


def generate(flow: Flow, source: str) -> Generated:
    """Write a flow as Python; ``source`` is what its file is called."""
    fields = state.of(flow)
    tasks = methods(flow, fields)
    body = "\n".join([*_module(flow, fields, tasks), ""])
    code = f"# fmt: off\n{'' if _is_plain(body) else '# ruff: noqa' + chr(10)}{body}"
    source = one_line(source)
    head = f"# Generated from {source}. Do not edit: change the flow, then `manage.py startworkflow {source}`.\n"
    return Generated(f"{head}# flow {flow.digest}\n# code {_digest(code)}\n{code}", tuple(tasks))


def is_edited(text: str) -> bool | None:
    """Say whether somebody edited a generated file; None when it is none."""
    text = text.replace("\r\n", "\n")
    found = _DIGESTS.match(text)
    return None if found is None else _digest(text[found.end() :]) != found[2]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_plain(text: str) -> bool:
    """Say whether no linter minds the text: long literals and letters that look like others come from the flow."""
    return text.isascii() and all(len(line) <= WIDTH for line in text.splitlines())


def _module(flow: Flow, fields: dict[str, Field], tasks: list[TaskMethod]) -> list[str]:
    about = flow.values.get("description") or f"The workflow {flow.name!r}"
    body = [*_state(fields), *_options(flow), *(line for node in flow.steps for line in ["", *_transition(flow, node)])]
    if tasks:
        body += ["", f"{INDENT}# --- what {flow.class_name} does, in {flow.module}.py"]
    body += [line for task in tasks for line in ["", *task.declared(flow.class_name)]]
    return [
        *documented(f"The control flow of {flow.name}", depth=0),
        "",
        "from __future__ import annotations",
        "",
        *_imports("\n".join(body)),
        "",
        "",
        f"class {flow.class_name}Flow(Workflow, abstract=True):",
        *documented(about, depth=1),
        "",
        *body,
    ]


def _imports(body: str) -> list[str]:
    dataclasses = "dataclass, field" if "field(" in body else "dataclass"
    return [
        f"from dataclasses import {dataclasses}",
        *(["from datetime import timedelta"] if "timedelta(" in body else []),
        *(["from typing import Any"] if re.search(r"\bAny\b", re.sub(r'"[^"\n]*"', "", body)) else []),
        "",
        "from django_tasks_durable import Workflow, transition",
        *(["from django_tasks_durable.exceptions import WaitTimeout"] if "except WaitTimeout" in body else []),
    ]


def _state(fields: dict[str, Field]) -> list[str]:
    lines = [f"{INDENT}@dataclass(kw_only=True)", f"{INDENT}class State:", *documented("What a run keeps", depth=2)]
    if fields:
        lines.append("")
    for known in fields.values():
        if known.description:
            lines += [f"{INDENT * 2}# {one_line(known.description)}"]
        lines.append(f"{INDENT * 2}{known.name}: {python_type(known.type)}{_default(known)}")
    return [*lines, "", f"{INDENT}state: State"]


def _options(flow: Flow) -> list[str]:
    """An abstract class has no task, so the options of the flow are those of its subclasses unless they say others."""
    if "queue_name" not in flow.values:
        return []
    return [
        "",
        f"{INDENT}def __init_subclass__(cls, **options: Any) -> None:",
        *call(
            "super().__init_subclass__", ["**{" + f'"queue_name": {quoted(flow.values["queue_name"])}, ' + "**options}"]
        ),
    ]


def _default(known: Field) -> str:
    if known.default:
        value = known.default[0]
        if isinstance(value, dict | list):
            empty = "dict" if isinstance(value, dict) else "list"
            return f" = field(default_factory={f'lambda: {written(value)}' if value else empty})"
        return f" = {scalar(value)}"
    if not known.is_written:
        return ""
    unset = "None" if " | " in known.type else TYPES[known.type]
    return f" = field(default_factory={unset})" if unset in ("list", "dict") else f" = {unset}"


def _transition(flow: Flow, node: Node) -> list[str]:
    targets = list(dict.fromkeys(None if target in flow.ends else target for _, target in node.edges()))
    options = [quoted(node.name), f"to=[{', '.join(map(scalar, targets))}]"]
    if node.name == flow.first:
        options.append("start=True")
    return [
        *call("@transition", options, depth=1),
        f"{INDENT}def {node.transition}(self) -> str | None:",
        *documented(node.values.get("description") or sentence_of(node.name), depth=2),
        *(f"{INDENT * 2}{line}" if line else "" for line in _BODIES[node.type](flow, node)),
    ]


def _go(flow: Flow, node: Node, edge: str) -> str:
    target = node.values[edge]
    return f"return {'None' if target in flow.ends else quoted(target)}"


def _flat(lines: list[str]) -> list[str]:
    return [line.removeprefix(INDENT * 2) for line in lines]


def _assigned(node: Node, head: str, arguments: list[str]) -> list[str]:
    result = f"self.{node.values['result']} = " if "result" in node.values else ""
    return _flat(call(f"{result}{head}", arguments))


def _timeout(node: Node) -> list[str]:
    if "timeout" not in node.values:
        return []
    return [f"timeout=timedelta({', '.join(durations.python(node.values['timeout']))})"]


def _task(flow: Flow, node: Node) -> list[str]:
    options = [f"{name}={node.values[name]!r}" for name in ("max_attempts", "atomic") if name in node.values]
    options += _timeout(node)
    params = [f"{name}={written(value)}" for name, value in node.params.items()]
    return [
        *_assigned(node, "self.step", [quoted(node.name), f"self.{node.method}", *params, *options]),
        _go(flow, node, "to"),
    ]


def _chosen(flow: Flow, node: Node, edge: str, yes: str, no: str) -> list[str]:
    word, parts = conditions.alternatives(conditions.parse(node.values[edge]))
    line = f"if {f' {word} '.join(parts)}:"
    head = [line]
    if word and len(line) + len(INDENT * 2) > WIDTH:
        head = ["if (", *(f"{INDENT}{f'{word} ' if index else ''}{part}" for index, part in enumerate(parts)), "):"]
    return [*head, f"{INDENT}{_go(flow, node, yes)}", _go(flow, node, no)]


def _condition(flow: Flow, node: Node) -> list[str]:
    return _chosen(flow, node, "if", "then", "else")


def _loop(flow: Flow, node: Node) -> list[str]:
    return _chosen(flow, node, "while", "do", "to")


def _switch(flow: Flow, node: Node) -> list[str]:
    lines = [f"match self.{node.values['on']}:"]
    for case in node.values["cases"]:
        target = "None" if case["to"] in flow.ends else quoted(case["to"])
        lines += [f"{INDENT}case {scalar(case['is'])}:", f"{INDENT * 2}return {target}"]
    return [*lines, _go(flow, node, "else")]


def _wait(flow: Flow, node: Node) -> list[str]:
    return [
        *_flat(call("self.sleep", [quoted(node.name), *durations.python(node.values["for"])])),
        _go(flow, node, "to"),
    ]


def _event(flow: Flow, node: Node) -> list[str]:
    arguments = [quoted(node.name)]
    if "request" in node.values:
        arguments.append(written(node.values["request"]))
    arguments += _timeout(node)
    if "default" in node.values:
        arguments.append(f"default={written(node.values['default'])}")
    waiting = _assigned(node, "self.wait", arguments)
    if "on_timeout" in node.values:
        late = f"{INDENT}{_go(flow, node, 'on_timeout')}"
        waiting = ["try:", *(f"{INDENT}{line}" for line in waiting), "except WaitTimeout:", late]
    return [*waiting, _go(flow, node, "to")]


_BODIES = {
    "task": _task,
    "condition": _condition,
    "switch": _switch,
    "loop": _loop,
    "wait": _wait,
    "event": _event,
}
