"""A run whose history is of another version of the code is led to it, waits for a worker that has it, or is parked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from types import FunctionType
from typing import Any

import pytest

from django_tasks_durable import compose, remove_key, rename_key, transform_value
from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind
from django_tasks_durable.primitives.writes import Failed, Suspended

from .laboratory import Bench, Killed, MortalStore, local

called: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    called.clear()


def do(name: str) -> str:
    """Do something once."""
    called.append(name)
    return name


def old(context: Any) -> Any:
    """The first version."""
    found = [context.step("load", do, "rows"), context.step("audit", do, "noted")]
    return [*found, context.interrupt("?", key="ask")]


def new(context: Any) -> Any:
    """The third version: a step has another key, one is gone, the question has another key."""
    return [context.step("fetch", do, "rows"), context.interrupt("?", key="approve"), context.step("last", do, "last")]


FIRST = compose(rename_key("load", "fetch"), remove_key("audit"))
SECOND = compose(rename_key("wait:ask", "wait:approve"), transform_value("fetch", str.upper))


def deployed(bench: Bench, function: Callable[..., Any], *migrations: Any, **options: Any) -> Bench:
    """Let other code go on with a run."""
    # A copy under another name, because a task is known by its first options.
    copied = FunctionType(function.__code__, function.__globals__, closure=function.__closure__)
    copied.__module__, copied.__qualname__ = __name__, f"{function.__qualname__}_{len(registered())}"
    bench.task = local(copied, **options)
    for version, migration in enumerate(migrations, 1):
        bench.task.migrates(version)(migration)
    bench.run.task_path = bench.task.module_path
    return bench


@pytest.fixture
def bench() -> Bench:
    """A run of the first version that waits."""
    bench = Bench(local(old))
    bench.slice()
    called.clear()
    return bench


@pytest.mark.seed("AW-18", "AW-P5")
def test_a_run_of_older_code_is_led_up_version_by_version(bench: Bench) -> None:
    deployed(bench, new, FIRST, SECOND, version=3).answer("yes").slice()
    assert bench.result == ["ROWS", "yes", "last"]
    assert called == ["last"]
    assert bench.run.code_version == 3
    assert list(bench.checkpoints) == ["step:fetch", "wait:approve", "step:last"]
    told = [line.message for line in bench.run.lines if line.kind is StepKind.MIGRATED]
    assert told == ["From version 1 to 3"]


@pytest.mark.seed("AW-18")
def test_it_is_led_up_once(bench: Bench) -> None:
    def waits(context: Any) -> Any:
        new(context)
        return context.interrupt(key="more")

    deployed(bench, waits, FIRST, SECOND, version=3).answer("yes").slice()
    bench.answer("more").slice()
    assert bench.result == "more"
    assert sum(line.kind is StepKind.MIGRATED for line in bench.run.lines) == 1


@pytest.mark.seed("AW-18", "AW-P5")
def test_a_bump_without_a_migration_parks_the_run_with_its_history(bench: Bench) -> None:
    deployed(bench, new, version=2, max_attempts=5, backoff=lambda *_: 0).answer("yes")
    assert isinstance(bench.slice(), Failed)
    assert (bench.run.status, bench.run.error_code) == (RunStatus.FAILED, "VERSION_MISMATCH")
    assert "no migration from version 1 to 2" in bench.error()["message"]
    assert set(bench.checkpoints) == {"step:load", "step:audit"}
    assert not called


@pytest.mark.seed("AW-18")
def test_a_run_of_code_that_is_still_to_come_is_refused() -> None:
    bench = Bench(local(old), code_version=2)
    bench.slice()
    assert bench.run.error_code == "VERSION_MISMATCH"
    assert "newer code" in bench.error()["message"]
    assert not called


def test_a_run_that_had_not_begun_needs_no_migration() -> None:
    bench = deployed(Bench(local(old)), new, version=3)
    bench.slice()
    assert bench.run.status is RunStatus.WAITING
    assert bench.run.code_version == 3


def test_without_a_new_version_the_order_is_checked_as_ever(bench: Bench) -> None:
    deployed(bench, new).answer("yes").slice()
    assert bench.run.error_code == "DRIFT"


def test_a_pinned_run_waits_for_a_worker_that_has_its_version(bench: Bench, frozen: datetime) -> None:
    old_task = bench.task
    deployed(bench, new, version=2, pin_version=True).answer("yes")
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert bench.run.status is RunStatus.READY
    assert "version 1" in [line.message for line in bench.run.lines if line.kind is StepKind.LOG][-1]
    assert bench.store.claim(bench.run_id) is None
    clock.advance(600)
    bench.task, bench.run.task_path = old_task, old_task.module_path
    bench.slice()
    assert bench.result == ["rows", "noted", "yes"]


def test_a_pinned_run_that_can_be_led_up_is(bench: Bench) -> None:
    deployed(bench, new, FIRST, SECOND, version=3, pin_version=True).answer("yes").slice()
    assert bench.result == ["ROWS", "yes", "last"]


@pytest.mark.parametrize("broken", [lambda document: 1 / 0, lambda document: None, lambda document: {"steps": 7}])
def test_a_migration_that_fails_parks_the_run_with_its_history(bench: Bench, broken: Any) -> None:
    deployed(bench, new, broken, version=2).answer("yes").slice()
    assert bench.run.error_code == "VERSION_MISMATCH"
    assert set(bench.checkpoints) == {"step:load", "step:audit"}
    assert bench.run.code_version == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("die_at", range(1, 6))
def test_a_death_at_any_commit_leads_it_up_all_the_same(die_at: int, after: bool) -> None:
    store = MortalStore()
    bench = Bench(local(old), store=store)
    bench.slice()
    called.clear()
    store.commits, store.deaths = 0, {die_at: after}
    deployed(bench, new, FIRST, SECOND, version=3).answer("yes")
    while bench.run.status not in FINISHED:
        try:
            bench.slice()
        except Killed:
            store.revive(bench.run_id)
    assert bench.result == ["ROWS", "yes", "last"]
    assert set(called) == {"last"}


def test_partials_and_coroutines_go_on_where_they_were() -> None:
    def before(context: Any) -> Iterator[Any]:
        yield 1
        context.step("load", do, "rows")
        yield 2
        context.interrupt(key="ask")

    async def after(context: Any) -> Any:
        yield 1
        found = await context.astep("fetch", do, "rows")
        yield 2
        await context.ainterrupt(key="ask")
        yield 3
        context.finish(found)

    bench = Bench(local(before))
    bench.slice()
    deployed(bench, after, rename_key("load", "fetch"), version=2).answer(1).slice()
    assert bench.result == "rows"
    assert bench.run.partials == [1, 2, 3]


@pytest.mark.parametrize(
    ("version", "said"), [(0, "from 1"), (True, "from 1"), ("1", "from 1"), (2, "leads to version 3")]
)
def test_a_migration_that_leads_nowhere_is_refused(version: Any, said: str) -> None:
    task = local(new, version=2)
    with pytest.raises(ValueError, match=said):
        task.migrates(version)


@pytest.mark.parametrize("options", [{"version": 0}, {"version": "2"}, {"version": True}, {"pin_version": 1}])
def test_a_version_that_is_none_is_refused(options: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="version"):
        local(new, **options)
