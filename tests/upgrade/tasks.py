"""The tasks whose runs lie in the fixtures. Do not change them: their histories were written by this code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django_tasks_durable import Workflow, command, task, transition


@task
def ask(context: Any, name: str) -> Iterator[Any]:
    """Remember, tell, ask, and wait for a message."""
    context.progress(40, "asking", page=3)
    context.log("about to ask", level="warn", name=name)
    size = context.step("size", len, name)
    yield {"size": size}
    answer = context.interrupt({"question": f"{name}?"})
    word = context.recv("word")
    return [size, answer, word]


@task
def values() -> dict[str, Any]:
    """Return a value of each kind that travels under a tag."""
    return {
        "decimal": Decimal("1.10"),
        "instant": datetime(2026, 11, 21, 12, tzinfo=UTC),
        "tuple": (1, "two"),
        "set": {3},
        "bytes": b"\x00\xff",
        "big": 2**5000,
    }


@task
def fail(context: Any, is_mended: list[str]) -> str:
    """Fail behind a step."""
    context.step("before", len, is_mended)
    if not mended:
        raise LookupError("no such row")
    return "mended"


# What a test puts in here has been mended.
mended: list[str] = []


@task
def nap(context: Any) -> str:
    """Sleep for an hour."""
    context.sleep("nap", hours=1)
    return "awake"


@task
def child(context: Any, name: str) -> str:
    """Ask."""
    return str(context.interrupt(name))


@task
def parent(context: Any) -> list[str]:
    """Wait for two children."""
    return list(context.join(context.spawn(child, "a", key="a"), context.spawn(child, "b", key="b")))


class Tally(Workflow):
    """A state machine."""

    @dataclass
    class State:
        """What it knows."""

        seen: list[int] = field(default_factory=list)

    state: State

    @transition(to=["counted"], start=True)
    def counting(self) -> str:
        """Wait."""
        self.step("one", int, "1")
        self.interrupt("enough?")
        return "counted"

    @transition()
    def counted(self) -> None:
        """End."""

    @command
    def add(self, number: int) -> int:
        """Count."""
        self.state.seen.append(number)
        return len(self.state.seen)
