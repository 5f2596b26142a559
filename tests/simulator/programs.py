"""What simulated runs do: programs drawn at random, the tasks that follow them, and what must come of them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from django_tasks_durable import Backoff, get_context, task

from .ground import DELIVERIES

#: A program: its lines, each with what is done, and a number or more lines.
Program = list[list[Any]]

ATTEMPTS = 30
PATIENCE = 20
NAPS = (0.5, 20, 90)
LINES = (
    "step", "step", "step", "atomic", "atomic", "fails", "asks", "hastens", "naps", "yields", "logs", "flaky", "calls", "dies",
)  # fmt: skip


@dataclass
class Deeds:
    """What plain steps did to the world outside, which no rollback and no death takes back."""

    times: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    #: How the process ends that is at work just now.
    end: Callable[[], None] = field(default=lambda: None)
    #: How a run writes down what shall be there if and only if its checkpoint is.
    record: Callable[[str, UUID], Any] = field(default=lambda key, run_id: None)

    def do(self, run_id: UUID, key: str) -> int:
        """Do something, and tell how often it was done."""
        self.times[run_id, key] += 1
        return self.times[run_id, key]


#: Those of the seed that is played right now.
DEEDS = Deeds()


def drawn(random: Random, *, lines: int = 5, may_spawn: bool = True) -> Program:
    """Draw a program."""
    program: Program = []
    for _ in range(random.randint(1, lines)):
        what = random.choice([*LINES, "spawns", "receives"] if may_spawn else LINES)
        argument: Any = random.randint(0, 2)
        if what in ("calls", "spawns"):
            argument = drawn(random, lines=2, may_spawn=False)
        elif what == "naps":
            argument = random.choice(NAPS)
        program.append([what, argument])
    return program


def work(run_id: UUID, key: str, value: Any) -> Any:
    """Do a plain step."""
    DEEDS.do(run_id, key)
    return value


def book(run_id: UUID, key: str, value: Any) -> Any:
    """Do an atomic step: a row that is there if and only if the checkpoint is."""
    DEEDS.do(run_id, key)
    DEEDS.record(key, run_id)
    return value


def refuse(run_id: UUID, key: str) -> None:
    """Do a step that always fails."""
    DEEDS.do(run_id, key)
    raise LookupError(key)


def try_again(run_id: UUID, key: str, failures: int) -> str:
    """Do a step that fails a few times; its exception ends the attempt."""
    if DEEDS.do(run_id, key) <= failures:
        raise TimeoutError(key)
    return key


def die(run_id: UUID, key: str, deaths: int) -> str:
    """Do a step that takes its worker along a few times."""
    if DEEDS.do(run_id, key) <= deaths:
        DEEDS.end()
    return key


PATIENT = Backoff(first=1, factor=2, longest=20, jitter=0.1)


@task(max_attempts=ATTEMPTS, max_deliveries=DELIVERIES, backoff=PATIENT)
def follow(context: Any, program: Program) -> Iterator[Any]:
    """Do what a program says and return what came of it."""
    found: list[Any] = []
    run_id = context.run_id
    for place, (what, argument) in enumerate(program):
        key = f"{what}{place}"
        match what:
            case "step":
                found.append(context.step(key, work, run_id, key, argument))
            case "atomic":
                found.append(context.step(key, book, run_id, key, argument, atomic=True))
            case "fails":
                with contextlib.suppress(LookupError):
                    context.step(key, refuse, run_id, key)
            case "flaky":
                found.append(context.step(key, try_again, run_id, key, argument))
            case "dies":
                found.append(context.step(key, die, run_id, key, argument))
            case "asks":
                found.append(context.interrupt({"of": key}, key=key))
            case "hastens":
                found.append(context.interrupt({"of": key}, key=key, timeout=PATIENCE, default=None))
            case "receives":
                found.append(context.recv("post"))
            case "naps":
                context.sleep(key, argument)
            case "yields":
                yield argument
            case "logs":
                context.log("here")
                context.progress(50)
            case "calls":
                found.append((yield from context.call(nested, argument, key)))
            case "spawns":
                (value,) = context.join(context.spawn(follow, argument, key=key))
                found.append(value)
    return found


@task
def nested(context: Any, program: Program, prefix: str) -> Iterator[Any]:
    """Do what a program says, in a scope of the caller's run."""
    found: list[Any] = []
    run_id = get_context().run_id
    for place, (what, argument) in enumerate(program):
        key = f"{prefix}.{what}{place}"
        match what:
            case "step" | "calls" | "receives" | "flaky":
                found.append(context.step(key, work, run_id, key, place))
            case "atomic":
                found.append(context.step(key, book, run_id, key, argument, atomic=True))
            case "asks":
                found.append(context.interrupt({"of": key}, key=key))
            case "naps":
                context.sleep(key, argument)
            case _:
                yield place
    return found


@task(max_attempts=ATTEMPTS, max_deliveries=DELIVERIES, backoff=PATIENT)
async def afollow(context: Any, program: Program) -> AsyncIterator[Any]:
    """See follow."""
    found: list[Any] = []
    run_id = context.run_id
    for place, (what, argument) in enumerate(program):
        key = f"{what}{place}"
        match what:
            case "step":
                found.append(await context.astep(key, work, run_id, key, argument))
            case "atomic":
                found.append(await context.astep(key, book, run_id, key, argument, atomic=True))
            case "fails":
                with contextlib.suppress(LookupError):
                    await context.astep(key, refuse, run_id, key)
            case "flaky":
                found.append(await context.astep(key, try_again, run_id, key, argument))
            case "dies":
                found.append(await context.astep(key, die, run_id, key, argument))
            case "asks":
                found.append(await context.ainterrupt({"of": key}, key=key))
            case "hastens":
                found.append(await context.ainterrupt({"of": key}, key=key, timeout=PATIENCE, default=None))
            case "receives":
                found.append(await context.arecv("post"))
            case "naps":
                await context.asleep(key, argument)
            case "yields":
                yield argument
            case "logs":
                context.log("here")
            case "calls" | "spawns":
                found.append(await context.astep(key, work, run_id, key, place))
    context.finish(found)


@task(max_deliveries=DELIVERIES)
def pulse(context: Any) -> str:
    """Beat once for each tick of a schedule."""
    return str(context.step("beat", work, context.run_id, "beat", "once"))


def asked(program: Sequence[Sequence[Any]]) -> int:
    """Count the messages that a program receives."""
    return sum(1 for what, _ in program if what == "receives")
