"""Any program of parents and children, in any order of slices, killed at any moments: the same is left of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from django_tasks_durable import get_context
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.store.memory_run import MemoryRun

from .laboratory import Bench, Killed, MortalStore, local

simple = st.one_of(
    st.tuples(st.just("step"), st.sampled_from("ab"), st.integers()),
    st.tuples(st.just("yield"), st.just(""), st.integers() | st.none()),
    st.tuples(st.just("ask"), st.sampled_from("ab"), st.none()),
    st.tuples(st.just("nap"), st.sampled_from("ab"), st.integers(0, 90)),
    st.tuples(st.just("poll"), st.sampled_from("ab"), st.sampled_from([1, 60])),
    st.tuples(st.just("pause"), st.just(""), st.none()),
    st.tuples(st.just("join"), st.just(""), st.none()),
    st.tuples(st.just("stream"), st.just(""), st.none()),
    st.tuples(st.just("fail"), st.just(""), st.none()),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A child with a run of its own, or a nested call."""
    programs = st.lists(inner, max_size=4)
    return st.one_of(
        st.tuples(st.just("spawn"), st.sampled_from("ab"), programs),
        st.tuples(st.just("spawn"), st.sampled_from("ab"), programs),
        st.tuples(st.just("call"), st.just(""), programs),
    )


programs = st.lists(st.recursive(simple, nested, max_leaves=10), max_size=7)
polls: Counter[Any] = Counter()


def one(value: Any) -> Any:
    """Return the value."""
    return value


def look() -> str | None:
    """Find something at the third look of each place."""
    where = get_context().idempotency_key
    polls[where] += 1
    return "there" if polls[where] >= 3 else None


@local
def relate(context: Any, program: list[Any]) -> Iterator[Any]:
    """Do what a program says and return what came of it."""
    found: list[Any] = []
    handles: list[Any] = []
    for what, key, value in program:
        match what:
            case "step":
                found.append(context.step(key, one, value))
            case "yield":
                yield value
            case "ask":
                found.append(context.interrupt(key, key=key))
            case "nap":
                context.sleep(key, value)
            case "poll":
                found.append(context.poll(key, look, every=value))
            case "pause":
                context.pause()
            case "spawn":
                handles.append(context.spawn(relate, value, key=key))
            case "join":
                ends = context.join(*handles, return_exceptions=True)
                found.append([type(end).__name__ if isinstance(end, Exception) else end for end in ends])
            case "stream":
                for partial in handles[-1].stream() if handles else ():
                    context.step("heard", one, partial)
                    yield partial
            case "call":
                found.append((yield from context.call(relate, value)))
            case "fail":
                raise LookupError(str(found))
    return found


def drive(store: MortalStore, order: list[int]) -> None:
    """Play all workers and people until nothing moves; whoever dies is taken over from."""
    for turn in range(600):
        runs = sorted(store._runs.values(), key=lambda run: run.id)
        moving = [run for run in runs if run.status not in FINISHED]
        due = [run for run in moving if run.status is RunStatus.READY and (not run.due_at or run.due_at <= store.now())]
        if due:
            _slice(store, due[(order[turn % len(order)] if order else 0) % len(due)])
        elif asking := [run for run in moving if run.open_waits]:
            store.resume(asking[0].id, "answer", token=asking[0].open_waits[0].token)
        elif sleeping := [run.due_at for run in moving if run.due_at is not None]:
            clock.advance((min(sleeping) - store.now()).total_seconds())
        else:
            assert not moving, f"nothing moves any more: {moving}"
            return
    raise AssertionError("it does not end")


def _slice(store: MortalStore, run: MemoryRun) -> None:
    bench = object.__new__(Bench)
    bench.task, bench.store, bench.run_id = relate, store, run.id
    try:
        bench.slice()
    except Killed:
        store.revive(run.id)


def remains(store: MortalStore, run_id: UUID) -> dict[str, Any]:
    """Everything of a run and of those below it that must not depend on who died when, or on whose turn it was."""
    run = store.find(run_id)
    children = sorted((each for each in store._runs.values() if each.parent_id == run_id), key=lambda each: each.id)
    return {
        "status": run.status,
        "result": run.result,
        "partials": run.partials,
        "checkpoints": {
            record.path: (record.kind, record.failed, None if record.failed else record.value, record.position)
            for record in run.checkpoints.values()
            if record.kind not in {"sleep", "try", "stream", "spawn"} and "!" not in record.path
        },
        "children": [remains(store, child.id) for child in children] if run.status is RunStatus.SUCCESSFUL else None,
    }


def played(program: list[Any], order: list[int], deaths: dict[int, bool]) -> dict[str, Any]:
    """Play a program to its end; return what remains."""
    clock.freeze()
    polls.clear()
    try:
        store = MortalStore(deaths)
        bench = Bench(relate, program, store=store)
        drive(store, order)
        return remains(store, bench.run_id)
    finally:
        clock.unfreeze()


NUMBERS = [("yield", "", number) for number in range(3)]
LISTENS = [("spawn", "a", [*NUMBERS, ("ask", "a", None), *NUMBERS]), ("stream", "", None), ("join", "", None)]


@settings(max_examples=120, deadline=None)
@given(
    program=programs,
    order=st.lists(st.integers(0, 5), max_size=8),
    deaths=st.dictionaries(st.integers(1, 40), st.booleans(), max_size=4),
)
@example(program=LISTENS, order=[1, 0], deaths={5: False})
@example(program=[("call", "", LISTENS), *LISTENS, *LISTENS], order=[1], deaths={7: True, 12: False})
@example(
    program=[("step", "a", 0), ("call", "", [("call", "", [("spawn", "a", []), ("fail", "", None)])])],
    order=[],
    deaths={4: True},
)
@example(
    program=[("step", "a", 0), ("call", "", []), ("call", "", [("call", "", [("fail", "", None)])])],
    order=[],
    deaths={7: False, 1: False},
)
def test_a_family_survives_any_deaths_in_any_order(
    program: list[Any], order: list[int], deaths: dict[int, bool]
) -> None:
    assert played(program, order, deaths) == played(program, [], {})
