"""``history="failures"`` in a store of memory tells what the database's does."""

from __future__ import annotations

import pytest

from django_tasks_durable import MemoryStore
from django_tasks_durable.primitives.status import RunStatus
from tests.engine.laboratory import Bench, local


def kinds(bench: Bench) -> list[str]:
    return [line.kind.value for line in bench.run.lines]


def test_a_run_that_goes_well_leaves_no_line(store: MemoryStore) -> None:
    @local(history="failures")
    def adds(context, a):  # type: ignore[no-untyped-def]
        return context.step("add", lambda: a + 1)

    bench = Bench(adds, 1, store=store)
    bench.slice()
    assert bench.run.status is RunStatus.SUCCESSFUL
    assert kinds(bench) == []
    assert len(bench.run.checkpoints) == 1


def test_a_failure_is_told(store: MemoryStore) -> None:
    @local(history="failures")
    def fails(context):  # type: ignore[no-untyped-def]
        context.step("one", lambda: 1)
        raise ValueError("no")

    bench = Bench(fails, store=store)
    bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert kinds(bench) == ["failed"]


@pytest.mark.parametrize("history", ["full", "failures"])
def test_the_value_does_not_depend_on_it(store: MemoryStore, history: str) -> None:
    @local(history=history)
    def yields(context):  # type: ignore[no-untyped-def]
        yield 1
        yield 2
        return context.step("three", lambda: 3)

    bench = Bench(yields, store=store)
    bench.slice()
    assert (bench.run.result, bench.run.partials) == ("3", [1, 2])
