"""A process that dies at any commit, before it is durable or just after, changes nothing that remains."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import pytest

from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.primitives.writes import CheckpointRecord

from .laboratory import Bench, Killed, MortalStore, local

deeds: Counter[str] = Counter()


def do(name: str, value: Any = None) -> Any:
    """Count a deed and return the value, or the name."""
    deeds[name] += 1
    return name if value is None else value


def flaky(name: str) -> str:
    """Fail the first time."""
    deeds[name] += 1
    if deeds[name] == 1:
        raise OSError(name)
    return name


def refuse() -> None:
    """Fail always."""
    raise LookupError("refused")


def at_once(error: BaseException, result: object) -> float:
    """Do not wait."""
    return 0


def later(error: BaseException, result: object) -> float:
    """Wait a minute."""
    return 60


@local
def child(context: Any, name: str) -> Iterator[Any]:
    """Use some of everything, one floor down."""
    yield f"{name} 1"
    context.step("work", do, f"{name} work")
    answer = context.interrupt(name)
    yield f"{name} {answer}"
    return [name, answer]


@local
def function(context: Any) -> Any:
    """Use every primitive of a function."""
    found = [context.step("a", do, "a")]
    context.progress(10, "a")
    found.append(context.step("book", do, "book", 1, atomic=True))
    context.log("booked")
    try:
        context.step("refused", refuse)
    except LookupError as error:
        found.append(str(error))
    found.append(context.step("flaky", flaky, "flaky", max_attempts=3, backoff=at_once))
    found.append(context.step("slow", flaky, "slow", max_attempts=3, backoff=later))
    context.sleep("nap", hours=1)
    found.append(context.interrupt("?"))
    found.append(context.interrupt("late?", timeout=60, default="default"))
    context.webhook_url("paid", valid_for=60)
    found.append(context.webhook("paid"))
    found.append(context.approval("approve", "may I?", permission="shop.refund"))
    found += [context.recv("early"), context.recv("news"), context.recv("news")]
    found.append(context.call(child, "child").value)
    found.append(
        context.gather(
            {
                "ask": lambda context: context.interrupt("left?"),
                "work": lambda context: context.step("w", do, "w"),
                "nap": lambda context: str(context.sleep(30)),
            }
        )
    )
    return found


@local
def generator(context: Any) -> Iterator[Any]:
    """Use every primitive of a generator."""
    yield 1
    context.step("a", do, "a")
    yield None
    answer = yield from context.call(child, "one")
    yield answer
    second = yield from context.call(child, "two")
    for n in range(3):
        yield context.step("n", do, f"n{n}")
    return [answer, second]


@local
async def agenerator(context: Any) -> AsyncIterator[Any]:
    """Use every primitive of an async generator."""
    yield 1
    await context.astep("a", do, "a")
    async for partial in (nested := context.acall(child, "one")):
        yield partial
    await context.asleep("nap", hours=1)
    both = await context.agather(
        {"x": lambda context: do("x"), "y": child.bind("y")},
    )
    yield await context.astep("book", do, "book", atomic=True)
    context.finish([nested.value, both])


@local(max_attempts=3, backoff=at_once)
def retried(context: Any) -> Any:
    """Fail twice, in a step and out of one, and handle some failures."""
    context.step("a", do, "a")
    try:
        context.step("first", refuse)
    except LookupError:
        context.step("apologise", do, "apologise")
    context.step("second", refuse if context.attempt == 1 else int)
    if context.attempt < 3:
        raise ValueError(context.attempt)
    return context.step("last", do, "last")


TASKS = {"function": function, "generator": generator, "agenerator": agenerator, "retried": retried}


def begun(name: str, store: MortalStore) -> Bench:
    """Make a run of a task, to which a message is sent before it begins."""
    bench = Bench(TASKS[name], store=store)
    store.send(bench.run_id, "early", "too soon")
    return bench


def drive(bench: Bench) -> None:
    """Play worker and person until the run has ended; whoever dies is taken over from."""
    store = bench.store
    assert isinstance(store, MortalStore)
    for _ in range(200):
        run = bench.run
        if run.status in FINISHED:
            return
        if run.status is RunStatus.WAITING and run.due_at is not None and "late?" in run.open_waits[0].request:
            clock.advance(60)
        elif run.status is RunStatus.WAITING:
            for wait in run.open_waits:
                if wait.kind == "message":
                    store.send(run.id, wait.path.rpartition("recv:")[2].partition("#")[0], "told")
                else:
                    bench.answer(f"answer to {wait.request}", token=wait.token)
        elif run.due_at is not None and run.due_at > store.now():
            clock.advance((run.due_at - store.now()).total_seconds())
        try:
            if run.status in (RunStatus.READY, RunStatus.WAITING) and (claimed := store.claim(bench.run_id)):
                bench.slice(claimed=claimed)
        except Killed:
            store.revive(bench.run_id)
    raise AssertionError(f"the run does not end: {bench.run}")


def remains(bench: Bench) -> dict[str, Any]:
    """Everything that must not depend on when somebody died. A failed try that was lost is tried again."""
    records = bench.run.checkpoints.values()
    return {
        "status": bench.run.status,
        "result": bench.run.result,
        "partials": bench.run.partials,
        "checkpoints": {
            record.path: (record.kind, record.failed, None if record.failed else _value(record), record.position)
            for record in records
            if record.kind not in {"sleep", "try"}
        },
        "slept": {record.path for record in records if record.kind == "sleep"},
        # A message that is there already needs no question.
        "waits": {wait.path for wait in bench.run.waits.values() if wait.kind != "message"},
        "messages": (bench.run.sent, len(bench.run.messages)),
    }


def _value(record: CheckpointRecord) -> str:
    """The value, but of a link, which is another for each run, only that there is one."""
    return "link" if record.path.startswith("link:") else record.value


def undisturbed(name: str) -> tuple[dict[str, Any], int]:
    """Run a task without any death; return what remains and how many commits it took."""
    deeds.clear()
    store = MortalStore()
    bench = begun(name, store)
    drive(bench)
    assert bench.run.status is RunStatus.SUCCESSFUL, bench.run.errors
    return remains(bench), store.commits


@pytest.mark.seed("AW-16", "TW-19")
@pytest.mark.parametrize("after", [False, True], ids=["before it is durable", "just after"])
@pytest.mark.parametrize("name", TASKS)
def test_a_death_at_any_commit_changes_nothing_that_remains(name: str, after: bool, frozen: datetime) -> None:
    clock.freeze(frozen)
    expected, commits = undisturbed(name)
    once = {deed for deed in deeds if deed in {"a", "w", "x"}}
    for die_at in range(1, commits + 1):
        clock.freeze(frozen)
        deeds.clear()
        bench = begun(name, MortalStore({die_at: after}))
        drive(bench)
        found = remains(bench)
        if name == "function":
            # The branch that naps says when it woke.
            assert found.pop("result")[:40] == expected["result"][:40]
            found["result"] = expected["result"]
            found["checkpoints"].pop("branch:nap")
            assert found == {
                **expected,
                "checkpoints": {k: v for k, v in expected["checkpoints"].items() if k != "branch:nap"},
            }
        else:
            assert found == expected, f"died at commit {die_at}"
        assert all(1 <= deeds[deed] <= 2 for deed in once)
