"""What one run may write: n is written, the next is not begun, and nothing that was written is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from django_tasks_durable.exceptions import RunTooLong
from django_tasks_durable.primitives.status import RunStatus, StepKind
from tests.engine.laboratory import Bench, local

BACKEND = "django_tasks_durable.DurableBackend"
called: list[int] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    """Forget what earlier tests called."""
    called.clear()


def within(**options: Any) -> override_settings:
    """Set how much a run may write."""
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})


def deed(number: int) -> str:
    """Note that it was called; ten bytes as JSON."""
    called.append(number)
    return "x" * 8


def steps(number: int) -> Any:
    """Make a task of so many steps."""

    def body(context: Any) -> int:
        for each in range(number):
            try:
                context.step(f"deed {each}", deed, each)
            except RunTooLong:
                pass  # a body that swallows everything must not go on
        return number

    return local(body, max_attempts=5, backoff=lambda *_: 0)


def lines(number: int) -> Any:
    """Make a task that logs so many lines of ten bytes."""

    def body(context: Any) -> int:
        for _ in range(number):
            context.log("x" * 10)
        return number

    return local(body, max_attempts=5, backoff=lambda *_: 0)


def partials(number: int) -> Any:
    """Make a task that yields so often."""

    def body() -> Iterator[int]:
        yield from range(number)

    return local(body)


@pytest.mark.parametrize(
    ("make", "option", "most"),
    [
        (steps, "max_run_steps", 4),
        (steps, "max_run_bytes", 31),
        (lines, "max_run_lines", 5),  # the first line says that it was enqueued
        (lines, "max_run_bytes", 31),
        (partials, "max_run_lines", 5),
    ],
)
def test_n_is_written_and_the_next_is_not_begun(make: Any, option: str, most: int) -> None:
    with within(**{option: most}):
        at_most = Bench(make(4))
        at_most.slice()
        assert at_most.run.status is RunStatus.SUCCESSFUL, at_most.error()
        called.clear()

        more = Bench(make(5))
        more.slice()
    assert (more.run.status, more.run.error_code, more.run.attempts) == (RunStatus.FAILED, "RUN_TOO_LONG", 1)
    assert f"OPTIONS[{option!r}]" in more.error()["message"]
    assert f"may write {most}" in more.error()["message"]
    if make is steps:
        assert called == [0, 1, 2, 3]
        assert len(more.checkpoints) == 4
    else:
        kept = [line for line in more.run.lines if line.kind in (StepKind.LOG, StepKind.PARTIAL)]
        assert len(kept) == 4


def test_what_earlier_slices_wrote_counts() -> None:
    def body(context: Any) -> int:
        context.step("before", deed, 1)
        context.interrupt("go on?")
        context.step("after", deed, 2)
        return 2

    bench = Bench(local(body))
    with within(max_run_steps=2):
        bench.slice()
        bench.answer("yes").slice()
    assert bench.run.error_code == "RUN_TOO_LONG"
    assert "'step:after'" in bench.error()["message"]
    assert called == [1]


def test_none_is_no_limit() -> None:
    with within(max_run_steps=None, max_run_lines=None, max_run_bytes=None):
        bench = Bench(steps(300))
        bench.slice()
    assert bench.result == 300


def test_a_run_that_has_written_too_much_undoes_nothing() -> None:
    """It is to go on from where it is."""
    undone: list[object] = []

    def body(context: Any) -> None:
        context.step("book", deed, 1, compensate=undone.append)
        context.step("pay", deed, 2)

    bench = Bench(local(body))
    with within(max_run_steps=1):
        bench.slice()
    assert bench.run.error_code == "RUN_TOO_LONG"
    assert undone == []


def test_a_step_that_is_done_anew_in_each_slice_writes_lines_and_comes_to_the_bound() -> None:
    def body(context: Any) -> int:
        for each in range(20):
            context.step("look", deed, 0, cache=False)
            context.sleep(f"nap {each}", 0)
        return 1

    with within(max_run_lines=30):
        bench = Bench(local(body))
        for _ in range(20):
            if bench.run.status is not RunStatus.READY:
                break
            bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert bench.error()["code"] == "RUN_TOO_LONG"
