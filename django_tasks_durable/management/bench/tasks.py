"""The tasks that ``benchtasks`` runs. Only its own processes import this module, so no other worker knows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import getrandbits
from typing import Any

from django.db import connection

from django_tasks_durable.authoring.marks import transition
from django_tasks_durable.authoring.tasks import task
from django_tasks_durable.authoring.workflow import Workflow
from django_tasks_durable.primitives import clock


@task
def nothing() -> None:
    """Do nothing, on a thread."""


@task
async def anothing() -> None:
    """Do nothing, on the event loop."""


@task
def begun_at() -> float:
    """Say when the body began, by the monotonic clock that all processes of one machine share."""
    return clock.monotonic()


@task
def sequential(context: Any, count: int) -> list[float]:
    """Take steps one after the other and say when the first began and the last ended."""
    begun = clock.monotonic()
    for number in range(count):
        context.step(f"step {number}", _one)
    return [begun, clock.monotonic()]


@task
def long(context: Any, parts: int, count: int) -> list[float]:
    """Take steps in so many parts of so many, and say when the first part began and when each ended."""
    marks = [clock.monotonic()]
    for part in range(parts):
        for number in range(count):
            context.step(f"step {part}.{number}", _one)
        marks.append(clock.monotonic())
    return marks


@task
def parked(context: Any) -> None:
    """Wait for somebody who never answers."""
    context.interrupt("Well?")


@task
def pure(context: Any, count: int) -> list[float]:
    """Take steps one after the other of which all but every tenth are pure; see sequential()."""
    begun = clock.monotonic()
    for number in range(count):
        context.step(f"step {number}", _one, pure=bool(number % 10))
    return [begun, clock.monotonic()]


@task
def atomic(context: Any, count: int) -> list[float]:
    """Take atomic steps one after the other; see sequential()."""
    begun = clock.monotonic()
    for number in range(count):
        context.step(f"step {number}", _one, atomic=True)
    return [begun, clock.monotonic()]


@task
def writing(context: Any, count: int) -> list[float]:
    """Take atomic steps that each write a row of their own; see sequential()."""
    begun = clock.monotonic()
    for number in range(count):
        context.step(f"step {number}", _write, number, atomic=True)
    return [begun, clock.monotonic()]


@task
async def concurrent(context: Any, count: int) -> list[float]:
    """Take steps one after the other on the event loop, beside many other runs; see sequential()."""
    begun = clock.monotonic()
    for number in range(count):
        await context.astep(f"step {number}", _aone)
    return [begun, clock.monotonic()]


@task
def resumed(context: Any, count: int, times: int) -> list[float]:
    """Take steps, then be suspended and resumed, and say each time when all steps had been replayed."""
    for number in range(count):
        context.step(f"step {number}", _one)
    marks = []
    for number in range(times):
        context.interrupt({"time": number})
        marks.append(context.step(f"mark {number}", clock.monotonic))
    return marks


class Visiting(Workflow):
    """Make visits, then be suspended and resumed, and keep the instant at which each resumed visit went on."""

    @dataclass
    class State:
        """The visits and questions that are left, and the instants."""

        visits: int = 0
        questions: int = 0
        marks: list[float] = field(default_factory=list)

    state: State

    @transition(to=["count", "ask"], start=True)
    def count(self) -> str:
        """Make one visit with one step."""
        self.step("count", self._count)
        return "count" if self.state.visits > 0 else "ask"

    def _count(self) -> None:
        self.state.visits -= 1

    @transition(to=["ask", None])
    def ask(self) -> str | None:
        """Wait, and keep when that was over."""
        self.interrupt(self.state.questions)
        self.step("mark", self._mark)
        return "ask" if self.state.questions > 0 else None

    def _mark(self) -> None:
        self.state.marks.append(clock.monotonic())
        self.state.questions -= 1


def _one() -> int:
    return 1


def _write(number: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO limit_step (run_id, sequence, value) VALUES (%s, %s, 'x')", [getrandbits(30), number]
        )
    return number


async def _aone() -> int:
    return 1
