"""The tasks of a flow as methods: declared in the generated part, written in the other."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Field
from .layout import call, documented, sentence_of
from .literals import quoted
from .names import field_of, is_reference
from .shapes import Flow, Node

PYTHON = {"list": "list[Any]", "dict": "dict[str, Any]", "any": "Any"}


def python_type(kind: str) -> str:
    """Return the Python type of a field's type."""
    plain, bar, rest = kind.partition(" | ")
    return "Any" if plain == "any" else PYTHON.get(plain, plain) + bar + rest


def type_of(value: object, fields: dict[str, Field]) -> str:
    """Return the Python type of what a task is given: a field's, or a literal's."""
    if is_reference(value):
        return python_type(fields[field_of(value)].type)
    if isinstance(value, dict | list):
        return "dict[str, Any]" if isinstance(value, dict) else "list[Any]"
    return "Any" if value is None else type(value).__name__


@dataclass(frozen=True, slots=True)
class TaskMethod:
    """One method that the author of a workflow writes."""

    name: str
    node: str
    description: str
    parameters: tuple[tuple[str, str], ...]
    returns: str

    def declared(self, class_name: str) -> list[str]:
        """Return the lines that declare it in the generated part."""
        return self._lines(self.parameters, self.returns, f"Write {class_name}.{self.name}().")

    def stub(self) -> list[str]:
        """Return the lines of the method that its author goes on from; it names no type that needs an import."""
        loose = tuple((name, kind.replace("Any", "object")) for name, kind in self.parameters)
        return self._lines(loose, self.returns.replace("Any", "object"), f"Write the task {self.node!r}.")

    def _lines(self, parameters: tuple[tuple[str, str], ...], returns: str, message: str) -> list[str]:
        arguments = ["self", *(["*"] if parameters else []), *(f"{name}: {kind}" for name, kind in parameters)]
        complaint = quoted(message)
        return [
            *call(f"def {self.name}", arguments, f" -> {returns}:", depth=1),
            *documented(self.description, depth=2),
            *call("raise NotImplementedError", [complaint]),
        ]


def methods(flow: Flow, fields: dict[str, Field]) -> list[TaskMethod]:
    """Return the methods of all tasks, in the order of the flow."""
    return [_method(node, fields) for node in flow.tasks]


def _method(node: Node, fields: dict[str, Field]) -> TaskMethod:
    result = node.values.get("result")
    return TaskMethod(
        name=node.method,
        node=node.name,
        description=node.values.get("description") or sentence_of(node.name),
        parameters=tuple((name, type_of(value, fields)) for name, value in node.params.items()),
        returns="None" if result is None else python_type(fields[field_of(result)].type),
    )
