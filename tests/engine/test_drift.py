"""When the code has changed under a run, the run is parked before any new effect (execution rule 10)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Failed

from .laboratory import Bench, local

deeds: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Forget what other tests did."""
    deeds.clear()


def do(name: str, value: Any = None) -> Any:
    """Count a deed."""
    deeds[name] += 1
    return value


def run_old_then_new(old: Any, new: Any, **options: Any) -> Bench:
    """Run the old code up to its question, then the new code on the same history."""
    bench = Bench(local(old, **options))
    bench.slice()
    task = local(new, **options)
    bench.run.task_path = task.module_path
    bench.task = task
    bench.answer(1)
    deeds.clear()
    bench.slice()
    return bench


def old(context: Any) -> None:
    """Two steps, then a question."""
    context.step("a", do, "a")
    context.step("b", do, "b", 1)
    context.interrupt()


@pytest.mark.fault("F31")
@pytest.mark.seed("AW-19", "AW-P11")
def test_steps_in_another_order_park_the_run_before_any_effect() -> None:
    def new(context: Any) -> None:
        context.step("b", do, "b", 1)
        context.step("a", do, "a")

    bench = run_old_then_new(old, new, max_attempts=5, backoff=lambda error, result: 0)
    assert bench.run.status is RunStatus.FAILED
    assert bench.run.error_code == "DRIFT"
    assert "'step:a'" in bench.error()["message"]
    assert "'step:b'" in bench.error()["message"]
    assert not deeds
    assert set(bench.checkpoints) == {"step:a", "step:b"}


@pytest.mark.fault("F31")
def test_a_new_step_in_front_of_a_remembered_one_does_nothing() -> None:
    def new(context: Any) -> None:
        context.step("new", do, "new")

    bench = run_old_then_new(old, new)
    assert bench.run.error_code == "DRIFT"
    assert not deeds


@pytest.mark.fault("F31")
@pytest.mark.seed("AW-19", "AW-P11")
def test_other_arguments_of_a_remembered_step_park_the_run() -> None:
    def new(context: Any) -> None:
        context.step("a", do, "a")
        context.step("b", do, "b", 2)

    bench = run_old_then_new(old, new)
    assert bench.run.error_code == "DRIFT"


@pytest.mark.seed("AW-19", "AW-P11")
def test_new_steps_after_the_remembered_ones_are_fine() -> None:
    def new(context: Any) -> str:
        old(context)
        context.step("c", do, "c")
        return "done"

    bench = run_old_then_new(old, new)
    assert bench.result == "done"
    assert deeds == {"c": 1}


def test_a_body_that_catches_the_drift_is_parked_all_the_same() -> None:
    def new(context: Any) -> str:
        try:
            context.step("new", do, "new")
        except Exception:
            pass
        try:
            context.step("a", do, "a")
        except Exception:
            pass
        return "went on"

    bench = run_old_then_new(old, new)
    assert bench.run.error_code == "DRIFT"
    assert not deeds


def test_drift_inside_a_call_leaves_no_trace_of_a_failure() -> None:
    def child(context: Any) -> None:
        context.step("inner", do, "inner")
        context.interrupt()

    def new_child(context: Any) -> None:
        context.step("other", do, "other")

    old_child, changed = local(child), local(new_child)
    changed.func.__name__ = "child"

    def before(context: Any) -> None:
        context.call(old_child).value

    def after(context: Any) -> None:
        context.call(changed).value

    bench = run_old_then_new(before, after)
    assert bench.run.error_code == "DRIFT"
    assert set(bench.checkpoints) == {"call:child/step:inner"}


def test_a_question_may_be_worded_anew_and_a_sleep_be_longer() -> None:
    def before(context: Any) -> None:
        context.sleep("nap", 0)
        context.interrupt("old words")

    def after(context: Any) -> Any:
        context.sleep("nap", 5)
        return context.interrupt("new words")

    bench = run_old_then_new(before, after)
    assert bench.result == 1


def test_a_parked_run_goes_on_with_the_old_code_when_it_is_retried() -> None:
    def new(context: Any) -> None:
        context.step("new", do, "new")

    bench = run_old_then_new(old, new)
    bench.task = local(old)
    run = bench.run
    run.status, run.due_at, run.task_path = RunStatus.READY, bench.store.now(), bench.task.module_path
    outcome = bench.slice()
    assert not isinstance(outcome, Failed)
    assert run.status is RunStatus.SUCCESSFUL


def test_after_a_drift_that_was_caught_nothing_more_is_done() -> None:
    def new(context: Any) -> None:
        try:
            context.step("new", do, "new")
        except Exception:
            pass
        old(context)
        context.step("c", do, "c")

    bench = run_old_then_new(old, new)
    assert bench.run.error_code == "DRIFT"
    assert not deeds


@pytest.mark.fault("F31")
def test_code_that_ends_before_its_history_parks_the_run() -> None:
    def new(context: Any) -> str:
        context.step("a", do, "a")
        return "early"

    bench = run_old_then_new(old, new)
    assert bench.run.error_code == "DRIFT"
    assert "the end" in bench.error()["message"]


@pytest.mark.seed("AW-19")
def test_the_difference_is_told_with_what_stands_around_it() -> None:
    def before(context: Any) -> None:
        for key in "abcdefg":
            context.step(key, do, key)
        context.interrupt()

    def after(context: Any) -> None:
        for key in "abcdx":
            context.step(key, do, key)

    message = run_old_then_new(before, after).error()["message"]
    assert "Place 4 of the task: the history has 'step:e', the code now asks for 'step:x'." in message
    assert "…, step:c, step:d, [step:e], step:f, step:g, …" in message
    for remedy in ("context.patched()", "a version with a migration", "fork"):
        assert remedy in message
