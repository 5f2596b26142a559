"""The seeds' state machines, as classes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from django_tasks_durable import Workflow, command, query, transition
from tests.probe.journal import deed


class Onboarding(Workflow):
    """Write to somebody, wait for the confirmation, and welcome them the day after."""

    @dataclass
    class State:
        """Who, and how far."""

        name: str = ""
        letter: str = ""
        confirmed: Any = None
        welcomed: bool = False

    state: State

    @transition(to=["wait-confirm"], start=True)
    def begin(self) -> Any:
        """Write the letter."""
        self.state.letter = self.step("letter", self._letter)
        return self.confirm

    def _letter(self) -> str:
        deed("letter", person=self.state.name)
        return f"Dear {self.state.name}"

    @transition("wait-confirm", to=["welcome"])
    def confirm(self) -> str:
        """Wait for the answer."""
        self.state.confirmed = self.wait("confirm", {"name": self.state.name})
        return "welcome"

    @transition(to=None)
    def welcome(self) -> None:
        """Say welcome, a day later."""
        self.sleep("a day", days=1)
        self.state.welcomed = True
        self.audit("welcomed", person=self.state.name)


class IntervalPayment(Workflow, queue_name="default", max_attempts=3):
    """Bill what was used in each cycle until somebody cancels."""

    @dataclass
    class State:
        """What was used, and which receipts were sent."""

        usage: list[int] = field(default_factory=list)
        status: str = "active"
        receipts: list[int] = field(default_factory=list)

    state: State

    @transition(to=["wait_cycle"], start=True)
    def begin(self) -> str:
        """Open the account."""
        self.step("welcome", deed, "welcome")
        return "wait_cycle"

    @transition(to=["receipt", "goodbye"])
    def wait_cycle(self) -> str:
        """Let a cycle pass."""
        if self.state.status == "active":
            self.sleep("cycle", hours=1)
        return "receipt" if self.state.status == "active" else "goodbye"

    @transition(to=["wait_cycle"])
    def receipt(self) -> str:
        """Send one receipt for the cycle."""
        total = self.step("bill", self._bill)
        self.step("send", deed, "receipt", total=total)
        return "wait_cycle"

    def _bill(self) -> int:
        # Inside a step, so that the state changes exactly when the step is remembered.
        total = sum(self.state.usage)
        self.state.receipts.append(total)
        self.state.usage = []
        return total

    @transition(to=["end"])
    def goodbye(self) -> str:
        """Close the account."""
        self.step("bye", deed, "bye")
        return "end"

    @command
    def add_usage(self, amount: int) -> int:
        """Add to the usage of this cycle and return all of it."""
        if self.state.status != "active":
            raise ValueError("this account is closed")
        self.state.usage.append(amount)
        return sum(self.state.usage)

    @command
    def cancel(self) -> None:
        """Close the account at the end of the cycle."""
        self.state.status = "cancelled"

    @command(wakes=True)
    def cancel_now(self) -> None:
        """Close the account at once."""
        self.state.status = "cancelled"

    @query
    def total(self) -> int:
        """Sum up the usage of this cycle, and show that a query works on a copy."""
        self.state.status = "asked"
        return sum(self.state.usage)


class Game(Protocol):
    """What a guess game needs from outside."""

    def secret(self) -> int:
        """Return the number to guess."""


class SeededGame:
    """The real implementation."""

    def secret(self) -> int:
        """Return the number to guess."""
        return 4


class GuessGame(Workflow):
    """Guess a number; each guess is a visit, with the same keys again."""

    @dataclass
    class State:
        """The guesses so far."""

        guesses: list[int] = field(default_factory=list)
        won: bool = False

    state: State
    tasks_class = SeededGame

    @transition(to=["check"], start=True)
    def ask(self) -> str:
        """Ask for a guess."""
        deed("iteration", visit=self.visit)
        guess = self.interrupt({"tries": len(self.state.guesses)}, key="guess")
        self.step("note", self.state.guesses.append, guess)
        return "check"

    @transition(to=["ask", None])
    def check(self) -> str | None:
        """Compare it."""
        self.state.won = self.step("compare", self._compare)
        return None if self.state.won else "ask"

    def _compare(self) -> bool:
        deed("compare", guess=self.state.guesses[-1])
        return bool(self.state.guesses[-1] == self.tasks.secret())


class Spinning(Workflow):
    """Visit itself over and over."""

    @dataclass
    class State:
        """How often still, and what came of it."""

        left: int = 0
        seen: list[int] = field(default_factory=list)

    state: State

    @transition(to=["spin", None], start=True)
    def spin(self) -> Any:
        """Count down, with the same key each time."""
        value = self.step("value", deed, "spin", visit=self.visit)
        assert value is None
        self.step("keep", self.state.seen.append, self.visit)
        self.state.left -= 1
        return self.spin if self.state.left > 0 else None


class Telling(Workflow):
    """Yield partial results, from an async and from a plain generator."""

    @dataclass
    class State:
        """What was answered."""

        answer: Any = None

    state: State

    @transition(to=["last"], start=True)
    async def first(self) -> AsyncIterator[str]:
        """Tell, ask, and tell again."""
        yield "one"
        self.state.answer = await self.ainterrupt("?")
        yield f"two {self.state.answer}"
        self.finish("last")

    @transition()
    def last(self) -> Iterator[str]:
        """Tell once more."""
        yield "three"


class Reminded(Workflow):
    """Ask, unless somebody gave up asking."""

    @dataclass
    class State:
        """Whether somebody gave up."""

        gave_up: bool = False

    state: State

    @transition(to=["other"], start=True)
    def ask(self) -> str:
        """Ask the question."""
        if not self.state.gave_up:
            self.wait("q")
        return "other"

    @transition()
    def other(self) -> None:
        """Ask another one."""
        self.wait("other")

    @command(wakes=True)
    def give_up(self) -> None:
        """Ask no more."""
        self.state.gave_up = True


class Straying(Workflow, max_attempts=5):
    """Go where it said that it would not."""

    @dataclass
    class State:
        """How often it began."""

        tried: int = 0

    state: State

    @transition(to=["begin", None], start=True)
    def begin(self) -> str:
        """Stray."""
        self.state.tried += 1
        return "nowhere"


class ASpinning(Spinning):
    """Visit itself over and over, on an event loop."""

    @transition(to=["spin", None], start=True)
    async def spin(self) -> Any:
        """Count down."""
        await self.astep("keep", self.state.seen.append, self.visit)
        self.state.left -= 1
        return self.spin if self.state.left > 0 else None


class Breaking(Workflow):
    """Fail once in the second step."""

    @dataclass
    class State:
        """How often the second step was tried."""

        tried: int = 0

    state: State

    @transition(to=["second"], start=True)
    def first(self) -> str:
        """Do the first thing."""
        self.step("first", deed, "first")
        return "second"

    @transition()
    def second(self) -> None:
        """Fail the first time."""
        self.step("before", deed, "before")
        self.state.tried += 1
        if self.state.tried == 1:
            raise ValueError("not yet")
