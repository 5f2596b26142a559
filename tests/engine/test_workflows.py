"""Class workflows in memory: what a class may be, and what its steps may do."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from django_tasks_durable import MemoryStore, Workflow, command, query, task, transition
from django_tasks_durable.authoring import registry
from django_tasks_durable.authoring.handles import Outside
from django_tasks_durable.authoring.words import OF_A_CONTEXT
from django_tasks_durable.checks.definitions import check_workflows
from django_tasks_durable.engine.context import DurableContext
from django_tasks_durable.exceptions import (
    AlreadyAttached,
    Interrupted,
    InvalidState,
    InvalidWorkflow,
    NotAttached,
    NotSerializable,
    RunNotFound,
    UnknownStep,
)
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.primitives.writes import Stage

from .laboratory import Bench


class Double:
    """What a test injects."""


class Machine(Workflow, queue_name="default", max_attempts=2, audit=False):
    """A machine of two steps."""

    @dataclass
    class State:
        """How far it is."""

        done: list[str] = field(default_factory=list)
        lock: Any = None

    state: State
    tasks_class = Double

    @transition(to=["second", "end"], start=True)
    def first(self) -> Any:
        """Do the first thing."""
        self.action("one", self.state.done.append, "one")
        self.wait_ms("a moment", 1500)
        return self.second

    @transition(to=[first, None])
    async def second(self) -> None:
        """Do the second thing."""
        await self.astep("two", self.state.done.append, "two")

    @command
    def spoil(self) -> None:
        """Put something into the state that cannot be stored."""
        self.state.lock = threading.Lock()

    @query
    def count(self) -> int:
        """Count what is done."""
        return len(self.state.done)


class Spoiled(Workflow, max_attempts=1):
    """Puts something into its state that cannot be stored."""

    @dataclass
    class State:
        """Where it is put."""

        lock: Any = None
        kind: str = "step"

    state: State

    @transition(to=["again", None], start=True)
    def begin(self) -> str:
        """Spoil the state, and go on in one of the ways there are."""
        self.state.lock = threading.Lock()
        if self.state.kind == "step":
            self.step("x", int)
        elif self.state.kind == "wait":
            self.wait("x")
        return "again" if self.state.kind == "move" else "end"

    @transition()
    def again(self) -> None:
        """Be visited."""


class Bare(Workflow):
    """A workflow whose tasks are written after it."""

    @transition(start=True)
    def only(self) -> None:
        """Do all there is."""


@Bare.implemented_by
class Real:
    """What does its work."""


class Rolled(Workflow, max_attempts=1):
    """Changes its state in an atomic step that fails."""

    @dataclass
    class State:
        """What was changed."""

        seen: list[int] = field(default_factory=list)

    state: State

    @transition(start=True)
    def begin(self) -> None:
        """Fail, and succeed."""
        try:
            self.step("book", self.book, 1, atomic=True)
        except LookupError:
            self.step("book again", self.book, 2, atomic=True)

    def book(self, number: int) -> None:
        """Change the state, and fail once."""
        self.state.seen.append(number)
        if number == 1:
            raise LookupError


def wrong(body: dict[str, Any], **keywords: Any) -> str:
    """Make a class that must be refused, and return what is said of it."""
    namespace = {"__module__": __name__, "__qualname__": "Wrong", **body}
    with pytest.raises(InvalidWorkflow, match="Wrong") as refusal:
        type("Wrong", (Workflow,), namespace, **keywords)
    assert isinstance(refusal.value, TypeError)
    return refusal.value.problem


def marked(**options: Any) -> Callable[..., Any]:
    """Make a step anew."""

    def step(self: Workflow) -> None:
        """Do nothing."""

    return transition(**options)(step)


class Colour(Enum):
    """No text."""

    RED = object()


@pytest.mark.seed("TW-1")
def test_a_class_that_cannot_run_is_refused_when_it_is_made() -> None:
    assert "no start" in wrong({})
    assert "2 starts (a, b)" in wrong({"a": marked(start=True), "b": marked(start=True)})
    assert "'nowhere', which is none of its steps (a)" in wrong({"a": marked(to=["nowhere"], start=True)})
    assert "a() and b() are both the step 'x'" in wrong({"a": marked(name="x", start=True), "b": marked(name="x")})
    assert "no step can be named 'a/b'" in wrong({"a": marked(name="a/b", start=True)})
    assert "may not be called 'enqueue'" in wrong({"enqueue": marked(start=True)})
    for word in ("step", "action", "approval", "log", "state"):
        assert f"may not be called {word!r}" in wrong({"a": marked(start=True), word: command(lambda self: None)})
    asking = transition(start=True)(lambda self, who: None)
    assert "asks for who" in wrong({"a": asking})

    async def slow(self: Workflow) -> None:
        """Take time."""

    assert "slow() must be a plain function" in wrong({"a": marked(start=True), "slow": command(slow)})
    assert "Did you mean 'queue_name'?" in wrong({"a": marked(start=True)}, queue_nam="x")
    assert "top level" in wrong({"a": marked(start=True), "__qualname__": "f.<locals>.Wrong"})


def test_the_words_that_a_workflow_may_not_give_anew_are_those_of_the_context() -> None:
    assert {word for word in dir(DurableContext) if not word.startswith("_")} - {"run_id"} == OF_A_CONTEXT


def test_a_state_that_cannot_be_stored_is_refused_when_the_class_is_made() -> None:
    class Plain:
        """No dataclass."""

        a: int = 1

    def of(kind: Any, default: Any = None) -> type:
        return dataclass(type("State", (), {"__annotations__": {"a": kind}, "a": default}))

    assert "not a dataclass" in wrong({"a": marked(start=True), "State": Plain})
    for kind in (threading.Event, list[threading.Event], Callable[[], None], dict[int, str], Colour, Event | None):
        assert "State.a cannot be stored" in wrong({"a": marked(start=True), "State": of(kind)})
    assert "State.a cannot be stored" in wrong({"a": marked(start=True), "State": of(Any, object())})


Event = threading.Event


@pytest.mark.seed("TW-2", "TW-17", "TW-6")
def test_functions_and_coroutines_are_steps_of_one_machine(frozen: Any) -> None:
    store = MemoryStore()
    state = asyncio.run(Machine.ainvoke(run_id="m", store=store))
    assert state == Machine.State(done=["one", "two"])
    run = store.find("m")
    assert list(run.checkpoints) == ["1:first/step:one", "1:first/sleep:a moment", "2:second/step:two"]
    # Without audit the timeline holds neither transitions nor finished steps.
    assert {line.kind for line in run.lines} & {StepKind.TRANSITION, StepKind.STEP} == set()


@pytest.mark.seed("TW-27")
def test_an_instance_is_attached_once_and_a_run_that_is_given_no_id_gets_one() -> None:
    store = MemoryStore()
    with pytest.raises(Interrupted):
        Asking.invoke(run_id="a", store=store)
    standing = store.standing(store.find("a").id)
    workflow = Asking()
    workflow.attach(Outside("Asking", standing, ""))
    with pytest.raises(AlreadyAttached, match="Asking"):
        workflow.attach(Outside("Asking", standing, ""))
    Rolled.invoke(store=store)
    Rolled.invoke(store=store)
    assert len({run.name for run in store._runs.values()}) == 3


@pytest.mark.seed("TW-31")
def test_an_implementation_is_injected_anew_in_every_attempt_and_never_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Double):
        """A test's own."""

    assert type(Machine().tasks) is Double
    first, second = Machine(), Machine()
    assert first.tasks is first.tasks
    assert first.tasks is not second.tasks
    with monkeypatch.context() as patch:
        patch.setattr(Machine, "tasks_class", Other)
        assert type(Machine().tasks) is Other
        assert Rolled.tasks_class is None
    assert type(Machine().tasks) is Double
    with pytest.raises(NotAttached, match="tasks_class"):
        _ = Rolled().tasks
    with pytest.raises(TypeError):
        pickle.dumps(Machine())


@pytest.mark.seed("TW-31")
def test_an_implementation_is_given_by_a_decorator_and_stays_a_class_of_its_own() -> None:
    assert isinstance(Real(), Real)
    assert Bare.tasks_class is Real
    assert type(Bare().tasks) is Real
    assert Rolled.tasks_class is None


@pytest.mark.seed("TW-28")
def test_a_graph_tells_steps_moves_and_keys_and_marks_what_is_no_literal() -> None:
    graph = Machine.graph()
    assert (graph["name"], graph["start"], graph["commands"], graph["queries"]) == (
        "Machine", "first", ["spoil"], ["count"],
    )  # fmt: skip
    assert graph["steps"] == [
        {
            "name": "first",
            "method": "first",
            "to": ["second", None],
            "keys": [
                {"kind": "step", "key": "one", "literal": True},
                {"kind": "sleep", "key": "a moment", "literal": True},
            ],
        },
        {
            "name": "second",
            "method": "second",
            "to": ["first", None],
            "keys": [{"kind": "step", "key": "two", "literal": True}],
        },
    ]
    assert graph["state"]["properties"]["done"] == {"type": "array", "items": {"type": "string"}}
    assert Keys.graph()["steps"][0]["keys"] == [
        {"kind": "step", "key": "f'value_{number}'", "literal": False},
        {"kind": "wait", "key": "interrupt", "literal": True},
        {"kind": "sleep", "key": "sleep", "literal": True},
        {"kind": "step", "key": "print", "literal": True},
    ]


class Keys(Workflow):
    """Uses keys of every kind."""

    @transition(start=True)
    def begin(self) -> None:
        """Use them."""
        for number in range(2):
            self.step(f"value_{number}", int)
        self.interrupt("?")
        self.context.sleep(5)
        self.step(print, self)


def test_a_mermaid_diagram_holds_every_move() -> None:
    assert Machine.as_mermaid().splitlines() == [
        "stateDiagram-v2",
        '    state "first" as s1',
        '    state "second" as s2',
        "    [*] --> s1",
        "    s1 --> s2",
        "    s1 --> [*]",
        "    s2 --> s1",
        "    s2 --> [*]",
    ]


@pytest.mark.parametrize("kind", ["step", "wait", "move", "end"])
def test_a_state_that_cannot_be_stored_fails_the_run_with_its_place(kind: str) -> None:
    store = MemoryStore()
    with pytest.raises(NotSerializable, match="lock"):
        Spoiled.invoke({"kind": kind}, run_id="x", store=store)
    run = store.find("x")
    assert run.status is RunStatus.FAILED
    # What could be stored last is what is there.
    assert Spoiled.of("x", store=store).state == Spoiled.State(kind=kind)


def test_what_an_atomic_step_made_of_the_state_is_rolled_back_with_it() -> None:
    assert Rolled.invoke() == Rolled.State(seen=[2])


@pytest.mark.django_db
def test_it_is_rolled_back_inline_too() -> None:
    assert Rolled.task.call() == Rolled.State(seen=[2])


def test_a_state_is_checked_where_it_is_given() -> None:
    with pytest.raises(InvalidState, match="Did you mean 'done'"):
        Machine.enqueue({"don": []})
    with pytest.raises(InvalidState, match="neither a State nor a mapping"):
        Machine.enqueue([])
    with pytest.raises(InvalidState):
        Machine.using(queue_name="default").enqueue(state=3)


@pytest.mark.seed("TW-24")
def test_a_command_on_a_run_in_memory_changes_it_and_one_that_fails_does_not() -> None:
    store = MemoryStore()
    with pytest.raises(Interrupted):
        Asking.invoke(run_id="a", store=store)
    asking = Asking.of("a", store=store)
    assert asking.say("yes") == "yes"
    assert asyncio.run(asking.asay("no")) == "no"
    assert (asking.said(), asyncio.run(asking.asaid()), asking.step, asking.visit) == ("no", "no", "begin", 1)
    with pytest.raises(NotSerializable):
        asking.say(threading.Lock())
    with pytest.raises(AttributeError, match="say, said"):
        asking.shout()
    with pytest.raises(NotAttached), Asking.transaction("a", store=store) as workflow:
        workflow.say("lost")
        workflow.step("x", int)
    with pytest.raises(RunNotFound):
        Machine.of("a", store=store).count()
    assert asking.state.said == "no"
    assert Asking.resume("a", "end", store=store).result() == Asking.State(said="no")


class Asking(Workflow):
    """Asks, and is told something else."""

    @dataclass
    class State:
        """What was said."""

        said: Any = None

    state: State

    @transition(start=True)
    def begin(self) -> None:
        """Ask."""
        self.interrupt("?")

    @command
    def say(self, word: Any) -> Any:
        """Say a word."""
        self.state.said = word
        return word

    @query
    def said(self) -> Any:
        """Tell what was said."""
        return self.state.said


def test_a_stored_state_outlives_a_change_of_its_class() -> None:
    shape = Machine.plan.shape
    assert shape.decode('{"gone":1,"done":["x"]}') == Machine.State(done=["x"], lock=None)
    bench = Bench(Asking.task)
    bench.run.stage = Stage(state="{}", step="removed", visit=7)
    bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert bench.error()["exception_class_path"].endswith(UnknownStep.__name__)
    assert "'removed'" in bench.error()["message"]
    assert bench.run.stage.step == "removed"


@pytest.mark.seed("TW-16")
def test_the_first_answer_to_a_question_of_a_visit_wins() -> None:
    from django_tasks_durable.exceptions import AlreadyResolved, NotWaiting

    store = MemoryStore()
    with pytest.raises(Interrupted) as asked:
        Asking.invoke(run_id="a", store=store)
    run_id = store.find("a").id
    store.resume(run_id, 1, token=asked.value.token)
    store.resume(run_id, 1, token=asked.value.token)
    with pytest.raises(AlreadyResolved):
        store.resume(run_id, 2, token=asked.value.token)
    with pytest.raises(NotWaiting):
        store.resume(run_id, 2, token="unknown")


def test_a_key_that_is_used_twice_in_a_visit_is_numbered() -> None:
    store = MemoryStore()
    Twice.invoke(run_id="t", store=store)
    assert list(store.find("t").checkpoints) == ["1:begin/step:x", "1:begin/step:x#2"]


class Twice(Workflow):
    """Uses one key twice, in a loop."""

    @transition(start=True)
    def begin(self) -> None:
        """Use it."""
        for _ in range(2):
            self.step("x", int)


def test_keys_are_the_identity_and_their_order_may_change() -> None:
    bench = Bench(Ordered.task)
    bench.slice()
    assert bench.run.status is RunStatus.WAITING
    with bench.store.changing(bench.run_id) as change:
        change.keep('{"turned":true}', [], wakes=True)
    bench.slice()
    assert bench.run.status is RunStatus.WAITING, bench.run.errors
    assert [path for path in bench.run.checkpoints if "step" in path] == ["1:begin/step:a", "1:begin/step:b"]


class Ordered(Workflow):
    """Does two things in an order that its state decides."""

    @dataclass
    class State:
        """The order."""

        turned: bool = False

    state: State

    @transition(start=True)
    def begin(self) -> None:
        """Do them."""
        for key in "ba" if self.state.turned else "ab":
            self.step(key, int, 3 if self.state.turned else 4)
        self.wait("q")


def test_a_workflow_is_no_body_of_another_run() -> None:
    bench = Bench(calls_a_workflow)
    bench.slice()
    assert "needs a run of its own" in bench.error()["message"]


@task
def calls_a_workflow(context: Any) -> None:
    """Call a workflow as if it were a function."""
    _ = context.call(Rolled.task).value


def test_a_task_of_a_workflow_is_found_again_by_its_path() -> None:
    assert copy.copy(Machine.task).func is Machine.task.func
    assert Machine.task.module_path == f"{__name__}.Machine"


def test_a_compensation_is_refused_because_earlier_visits_are_not_remembered() -> None:
    bench = Bench(Compensating.task)
    bench.slice()
    assert "'x' has a compensate=" in bench.error()["message"]


class Compensating(Workflow):
    """Wants a step undone."""

    @transition(start=True)
    def begin(self) -> None:
        """Want it."""
        self.step("x", int, compensate=int)


def test_a_step_that_nothing_leads_to_is_told_by_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    body = {"begin": marked(start=True), "forgotten": marked(to=["begin"])}
    type("Detached", (Workflow,), {"__module__": __name__, "__qualname__": "Detached", **body})
    (found,) = (each for each in check_workflows() if "Detached" in each.msg)
    assert found.id == "durable_tasks.W028"
    assert "'forgotten'" in found.msg
