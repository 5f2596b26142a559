"""Where the code was changed under a run, ``patched()`` says which way it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind

from .laboratory import Bench, Killed, MortalStore, local

deeds: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    deeds.clear()


def do(name: str) -> str:
    """Count a deed."""
    deeds[name] += 1
    return name


def deploy(bench: Bench, new: Callable[..., Any]) -> Bench:
    """Let other code go on with a run."""
    bench.task = local(new)
    bench.run.task_path = bench.task.module_path
    return bench


def new(context: Any) -> Any:
    """The code after the change: another step between the question and the end."""
    first = context.step("a", do, "a")
    second = context.step("new", do, "new") if context.patched("use new") else context.step("old", do, "old")
    answer = context.interrupt()
    return [first, second, answer, context.step("last", do, "last")]


def old(context: Any) -> Any:
    """The code before the change."""
    first, second = context.step("a", do, "a"), context.step("old", do, "old")
    return [first, second, context.interrupt(), context.step("last", do, "last")]


def test_a_new_run_takes_the_new_way_and_stays_on_it() -> None:
    bench = Bench(local(new))
    bench.slice()
    bench.answer("yes").slice()
    assert bench.result == ["a", "new", "yes", "last"]
    assert bench.checkpoints["patch:use new"] is True
    told = [line.message for line in bench.run.lines if line.kind is StepKind.PATCHED]
    assert told == ["use new: the new way"]


def test_a_run_that_had_gone_past_the_place_keeps_the_old_way_without_drift() -> None:
    bench = Bench(local(old))
    bench.slice()
    deploy(bench, new).answer("yes").slice()
    assert bench.result == ["a", "old", "yes", "last"]
    assert deeds == {"a": 1, "old": 1, "last": 1}
    assert bench.checkpoints["patch:use new"] is False


def test_a_run_that_had_not_come_so_far_takes_the_new_way() -> None:
    def before(context: Any) -> Any:
        context.step("a", do, "a")
        context.interrupt()

    def after(context: Any) -> Any:
        context.step("a", do, "a")
        context.interrupt()
        return context.patched("later")

    bench = Bench(local(before))
    bench.slice()
    deploy(bench, after).answer(1).slice()
    assert bench.result is True


def test_a_partial_beyond_the_place_shows_that_it_was_passed() -> None:
    def before(context: Any) -> Iterator[Any]:
        yield 1
        yield 2
        context.interrupt()

    def after(context: Any) -> Iterator[Any]:
        yield 1
        is_new = context.patched("between")
        yield 2
        context.interrupt()
        return is_new

    bench = Bench(local(before))
    bench.slice()
    # A question shows it as well: only the partials are left.
    bench.run.waits.clear()
    bench.run.status = RunStatus.READY
    deploy(bench, after).slice()
    bench.answer(1).slice()
    assert bench.result is False


def test_one_name_has_one_answer_in_a_scope_and_another_scope_has_its_own() -> None:
    @local
    def child(context: Any) -> Any:
        return context.patched("p")

    @local
    def body(context: Any) -> Any:
        found = [context.patched("p"), context.patched("p"), context.call(child).value]
        context.interrupt()
        return [*found, context.patched("p")]

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == [True] * 4
    assert [path for path in bench.checkpoints if "patch" in path] == ["patch:p", "call:child/patch:p"]


def test_a_patch_may_be_asked_in_a_coroutine_and_in_branches() -> None:
    @local
    async def body(context: Any) -> Any:
        is_new = context.patched("p")
        found = await context.agather({"x": lambda context: context.patched("q")})
        await context.ainterrupt()
        return [is_new, found["x"]]

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == [True, True]


def test_the_answer_is_durable_before_the_first_effect_that_follows_from_it() -> None:
    seen: list[bool] = []

    @local
    def body(context: Any) -> Any:
        if context.patched("p"):
            context.step("effect", lambda: seen.append("patch:p" in bench.run.checkpoints))

    bench = Bench(body, store=MortalStore())
    bench.slice()
    assert seen == [True]


@pytest.mark.parametrize("after", [True, False])
def test_a_death_at_any_commit_does_not_change_the_way(after: bool) -> None:
    for die_at in range(1, 12):
        deeds.clear()
        store = MortalStore({die_at: after})
        bench = Bench(local(new), store=store)
        while bench.run.status not in FINISHED:
            if bench.run.status is RunStatus.WAITING:
                bench.answer("yes")
            try:
                bench.slice()
            except Killed:
                store.revive(bench.run_id)
        assert codec.decode(bench.run.result or "") == ["a", "new", "yes", "last"]
        assert "old" not in deeds


@pytest.mark.parametrize("name", ["", "a/b", 7, "a#2"])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(name: Any) -> None:
    @local
    def body(context: Any) -> None:
        context.patched(name)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "INVALID_KEY"


def test_it_is_refused_inside_an_atomic_step() -> None:
    @local
    def body(context: Any) -> None:
        context.step("a", lambda: context.patched("p"), atomic=True)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "INSIDE_ATOMIC_STEP"


def test_outside_of_a_run_it_is_the_new_way() -> None:
    from django_tasks_durable import patched

    assert patched("anything")
