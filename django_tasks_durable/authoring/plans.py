"""What a workflow class is made of: its steps and the moves between them, its commands and its queries."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.exceptions import InvalidWorkflow, UnknownStep, UnknownTransition

from .marks import MARK, CommandMark, QueryMark, StepMark
from .sources import key_used_twice
from .states import StateShape
from .words import ALIASES, OF_A_CONTEXT

END = "end"
LONGEST_NAME = 100
TAKEN = OF_A_CONTEXT | ALIASES.keys() | {"state"}
_LOOKS_NUMBERED = re.compile(r"#\d+$")


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step: its name, its method, and the names that it may go on to; None among them means that it may end."""

    name: str
    method: str
    function: Callable[..., Any]
    to: tuple[str | None, ...]
    is_start: bool

    @property
    def is_async(self) -> bool:
        """Whether the method runs on an event loop."""
        return inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole of one workflow class, checked."""

    workflow: str
    start: str
    steps: Mapping[str, PlannedStep]
    commands: Mapping[str, CommandMark]
    queries: tuple[str, ...]
    shape: StateShape
    keeps_audit: bool

    def step(self, name: str) -> PlannedStep:
        """Return a step; the empty name is the start. Raise UnknownStep."""
        found = self.steps.get(name or self.start)
        if found is None:
            raise UnknownStep(self.workflow, name, list(self.steps))
        return found

    @property
    def unreachable(self) -> list[str]:
        """The steps that no way from the start leads to."""
        reached: set[str | None] = {None}
        ahead: list[str] = [self.start]
        while ahead:
            name = ahead.pop()
            reached.add(name)
            ahead += [each for each in self.steps[name].to if each is not None and each not in reached]
        return [name for name in self.steps if name not in reached]

    def target(self, step: PlannedStep, answer: Any) -> str | None:
        """Return the name of the step that a step's answer means, None for the end. Raise UnknownTransition."""
        name: str | None = name_of(answer)
        if name in step.to:
            return name
        raise UnknownTransition(self.workflow, step.name, answer, [each or END for each in step.to])


def name_of(target: Any) -> Any:
    """Return the step's name that a target means: a name, a step's method, or None and "end" for the end."""
    if target is None or target == END:
        return None
    mark = getattr(target, MARK, None)
    if isinstance(mark, StepMark):
        return mark.name or target.__name__
    return target


def plan_of(cls: type, *, base: type, audit: bool) -> Plan:
    """Look a class over. Raise InvalidWorkflow naming what is wrong with it."""
    name = cls.__qualname__
    marked = _marked(cls)
    for member in marked:
        if hasattr(base, member) or member.startswith("_") or member in TAKEN:
            raise InvalidWorkflow(name, f"a method may not be called {member!r}, which has a meaning here already.")
    steps = _steps(name, marked)
    return Plan(
        workflow=name,
        start=_start(name, steps),
        steps=steps,
        commands={
            member: _synchronous(name, member, function, mark)
            for member, (function, mark) in marked.items()
            if isinstance(mark, CommandMark)
        },
        queries=tuple(
            member
            for member, (function, mark) in marked.items()
            if isinstance(mark, QueryMark) and _synchronous(name, member, function, mark)
        ),
        shape=StateShape(name, cls.State),  # type: ignore[attr-defined]
        keeps_audit=audit,
    )


def _marked(cls: type) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Collect the marked methods in the order of their definition; one that a subclass overrides keeps its mark."""
    found: dict[str, tuple[Callable[..., Any], Any]] = {}
    for owner in reversed(cls.__mro__):
        for member, value in vars(owner).items():
            mark = getattr(value, MARK, None)
            if mark is not None:
                found[member] = value, mark
            elif member in found:
                found[member] = value, found[member][1]
    return found


def _steps(workflow: str, marked: Mapping[str, tuple[Callable[..., Any], Any]]) -> dict[str, PlannedStep]:
    steps: dict[str, PlannedStep] = {}
    for member, (function, mark) in marked.items():
        if not isinstance(mark, StepMark):
            continue
        step = PlannedStep(
            name=member if mark.name is None else mark.name,
            method=member,
            function=function,
            to=tuple(name_of(each) for each in mark.to) or (None,),
            is_start=mark.is_start,
        )
        _expect_usable(workflow, step)
        if (other := steps.get(step.name)) is not None:
            raise InvalidWorkflow(workflow, f"{other.method}() and {member}() are both the step {step.name!r}.")
        steps[step.name] = step
    for step in steps.values():
        for target in step.to:
            if target is not None and target not in steps:
                raise InvalidWorkflow(
                    workflow,
                    f"the step {step.name!r} may go on to {target!r}, which is none of its steps ({', '.join(steps)}).",
                )
    return steps


def _expect_usable(workflow: str, step: PlannedStep) -> None:
    name: Any = step.name
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
        raise InvalidWorkflow(workflow, f"the name of a step is text of 1 to {LONGEST_NAME} characters, not {name!r}.")
    if "/" in name or not name.isprintable() or _LOOKS_NUMBERED.search(name) or name == END:
        raise InvalidWorkflow(workflow, f"no step can be named {name!r}.")
    needed = [
        each.name
        for each in list(inspect.signature(step.function).parameters.values())[1:]
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed:
        raise InvalidWorkflow(workflow, f"the step {name!r} asks for {', '.join(needed)}; a step is given self only.")
    if (twice := key_used_twice(step.function)) is not None:
        raise InvalidWorkflow(
            workflow,
            f"the step {name!r} uses the key {twice[0]!r} again, in line {twice[1]}: a key stands for one thing in a visit. "
            "Give each a key of its own, or build the key from what differs.",
        )


def _start(workflow: str, steps: Mapping[str, PlannedStep]) -> str:
    starts = [step.name for step in steps.values() if step.is_start]
    if len(starts) == 1:
        return starts[0]
    if not starts:
        raise InvalidWorkflow(workflow, "it has no start: mark one step with @transition(..., start=True).")
    raise InvalidWorkflow(workflow, f"it has {len(starts)} starts ({', '.join(starts)}); leave one of them.")


def _synchronous(workflow: str, member: str, function: Callable[..., Any], mark: Any) -> Any:
    written = inspect.unwrap(function)
    if inspect.iscoroutinefunction(written) or inspect.isgeneratorfunction(written):
        raise InvalidWorkflow(
            workflow,
            f"{member}() must be a plain function: it runs at once, a command under the lock of the run's row.",
        )
    return mark
