"""A workflow that dies at any commit, or is commanded before any, ends with the same state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_tasks_durable import Workflow, command, transition
from django_tasks_durable.primitives import clock, codec
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import AtomicBody, ClaimedRun, Verdict, Write

from .laboratory import Bench, MortalStore
from .test_crash_anywhere import drive, remains

Program = list[list[tuple[str, str]]]
instructions = st.tuples(
    st.sampled_from(["step", "atomic", "ask", "nap", "fail", "yield", "log", "audit", "gather"]), st.sampled_from("ab")
)
programs = st.lists(st.lists(instructions, max_size=4), min_size=1, max_size=4)


@dataclass
class Register:
    """A program, how far it is, what it found, and how often somebody knocked from outside."""

    program: Any = field(default_factory=list)
    at: int = 0
    found: list[Any] = field(default_factory=list)
    knocks: int = 0


class Knocked(Workflow, abstract=True):
    """Counts how often somebody knocked."""

    State = Register
    state: Register

    @command
    def knock(self) -> int:
        """Knock."""
        self.state.knocks += 1
        return self.state.knocks

    def note(self, value: Any) -> None:
        """Note a value, within a step."""
        self.state.found.append(value)

    def refuse(self) -> None:
        """Fail."""
        raise LookupError("refused")


class Interpreter(Knocked):
    """Does one line of its program in each visit."""

    @transition(to=["line", None], start=True)
    def line(self) -> Iterator[Any]:
        """Do one line."""
        for what, key in self.state.program[self.state.at]:
            match what:
                case "step" | "atomic":
                    self.step(key, self.note, [what, key], atomic=what == "atomic")
                case "ask":
                    answer = self.interrupt(key, key=key)
                    self.step("answer", self.note, answer)
                case "nap":
                    self.sleep(key, 60)
                case "fail":
                    try:
                        self.step(key, self.refuse)
                    except LookupError as error:
                        self.step("refused", self.note, str(error))
                case "yield":
                    yield key
                case "log":
                    self.log(key)
                case "audit":
                    self.audit(key)
                case "gather":
                    both = self.gather({"l": lambda context: context.step("x", str, 1), "r": lambda context: 2})
                    self.step("both", self.note, both)
        self.state.at += 1
        return "line" if self.state.at < len(self.state.program) else None


class AsyncInterpreter(Knocked):
    """Does one line of its program in each visit, on an event loop."""

    @transition(to=["line", None], start=True)
    async def line(self) -> AsyncIterator[Any]:
        """Do one line."""
        for what, key in self.state.program[self.state.at]:
            match what:
                case "step" | "atomic":
                    await self.astep(key, self.note, [what, key], atomic=what == "atomic")
                case "ask":
                    answer = await self.ainterrupt(key, key=key)
                    await self.astep("answer", self.note, answer)
                case "nap":
                    await self.asleep(key, 60)
                case "yield":
                    yield key
        self.state.at += 1
        self.finish("line" if self.state.at < len(self.state.program) else None)


class HauntedStore(MortalStore):
    """A mortal store in which somebody knocks just before some commits."""

    def __init__(self, flow: type[Knocked], deaths: dict[int, bool], knocks: set[int]) -> None:
        super().__init__(deaths)
        self.flow = flow
        self.knocks = knocks
        self.knocked = 0
        self.run_id: UUID | str | None = None

    def commit(self, write: Write) -> Future[Verdict]:
        self._knock()
        return super().commit(write)

    def atomic(self, claimed: ClaimedRun, perform: AtomicBody[Any]) -> Any:
        self._knock()
        return super().atomic(claimed, perform)

    def _knock(self) -> None:
        if self.commits + 1 in self.knocks and self.run_id is not None:
            self.knocks.discard(self.commits + 1)
            assert self.flow.of(self.find(self.run_id).name, store=self).knock() == self.knocked + 1
            self.knocked += 1


def played(flow: type[Knocked], program: Any, deaths: dict[int, bool], knocks: set[int]) -> tuple[dict[str, Any], int]:
    """Play a program to its end; return what remains and how many commits it took."""
    clock.freeze()
    try:
        store = HauntedStore(flow, deaths, set(knocks))
        bench = Bench(flow.task, store=store)
        with store.changing(bench.run_id) as change:
            change.keep(flow.task.encoded(Register(program=program)), [], wakes=False)
        store.run_id = bench.run_id
        drive(bench)
        assert bench.run.status is RunStatus.SUCCESSFUL, bench.run.errors
        found = remains(bench)
        state = codec.decode(found.pop("result"))
        assert state.knocks == store.knocked
        return found | {"found": state.found, "at": state.at, "visit": bench.run.stage.visit}, store.commits
    finally:
        clock.unfreeze()


@settings(max_examples=60, deadline=None)
@given(
    program=programs,
    deaths=st.dictionaries(st.integers(1, 30), st.booleans(), max_size=4),
    knocks=st.sets(st.integers(1, 30), max_size=3),
)
def test_a_workflow_survives_any_deaths_and_no_command_is_lost(
    program: Program, deaths: dict[int, bool], knocks: set[int]
) -> None:
    expected, _ = played(Interpreter, program, {}, set())
    found, _ = played(Interpreter, program, deaths, knocks)
    assert found == expected


@settings(max_examples=25, deadline=None)
@given(
    program=programs,
    deaths=st.dictionaries(st.integers(1, 30), st.booleans(), max_size=4),
    knocks=st.sets(st.integers(1, 30), max_size=3),
)
def test_a_workflow_on_an_event_loop_survives_any_deaths_and_no_command_is_lost(
    program: Program, deaths: dict[int, bool], knocks: set[int]
) -> None:
    expected, _ = played(AsyncInterpreter, program, {}, set())
    found, _ = played(AsyncInterpreter, program, deaths, knocks)
    assert found == expected


@pytest.mark.seed("TW-19", "TW-30")
@pytest.mark.parametrize("after", [False, True], ids=["before it is durable", "just after"])
def test_a_workflow_that_dies_at_any_commit_ends_the_same(after: bool, frozen: datetime) -> None:
    kinds = ("step", "atomic", "ask", "nap", "fail", "yield", "gather")
    program = [[(kind, key) for kind in kinds] for key in ("a", "b")]
    expected, commits = played(Interpreter, program, {}, set())
    for die_at in range(1, commits + 1):
        found, _ = played(Interpreter, program, {die_at: after}, set())
        assert found == expected, f"died at commit {die_at}"


@pytest.mark.seed("TW-24")
def test_a_workflow_that_is_commanded_before_any_commit_ends_the_same() -> None:
    kinds = ("step", "atomic", "ask", "nap", "yield")
    program = [[(kind, key) for kind in kinds] for key in ("a", "b")]
    expected, commits = played(Interpreter, program, {}, set())
    for knock_at in range(1, commits + 1):
        found, _ = played(Interpreter, program, {}, {knock_at})
        assert found == expected, f"commanded before commit {knock_at}"


def test_a_stream_in_process_goes_on_after_a_command(frozen: datetime) -> None:
    for knock_at in (1, 2):
        store = HauntedStore(Interpreter, {}, {knock_at})
        store.run_id = "x"
        register = Register(program=[[("step", "a"), ("yield", "b")]])
        items = Interpreter.stream(register, run_id="x", store=store)
        assert [item.partial for item in items] == ["b"]
        assert Interpreter.of("x", store=store).state == Register(
            program=[[("step", "a"), ("yield", "b")]], at=1, found=[["step", "a"]], knocks=1
        )
