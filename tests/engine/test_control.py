"""An attempt can be stopped from outside (execution rules 8, 9 and 11), and by its own timeout."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from django_tasks_durable.engine.attempt import AttemptControl, aexecute
from django_tasks_durable.exceptions import LeaseLost, RunCancelled, ShuttingDown
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Cancelled, Failed, Released

from .laboratory import Bench, local

REASONS = {"cancel": (RunCancelled, Cancelled), "shutdown": (ShuttingDown, Released)}


@pytest.mark.seed("AW-23")
@pytest.mark.parametrize("why", REASONS)
def test_the_next_primitive_stops_the_body(why: str) -> None:
    reason, expected = REASONS[why]
    done = []

    @local
    def body(context: Any) -> None:
        bench.control.stop(reason())
        try:
            context.step("a", done.append, 1)
        finally:
            done.append("cleaned up")

    bench = Bench(body)
    assert isinstance(bench.slice(), expected)
    assert done == ["cleaned up"]
    assert bench.run.attempts == 0


@pytest.mark.parametrize("why", REASONS)
def test_the_next_yield_stops_a_generator_where_it_stands(why: str) -> None:
    reason, expected = REASONS[why]
    done = []

    @local
    def body(context: Any) -> Iterator[int]:
        yield 1
        bench.control.stop(reason())
        try:
            yield 2
        finally:
            done.append("cleaned up")
        done.append("went on")

    bench = Bench(body)
    assert isinstance(bench.slice(), expected)
    assert done == ["cleaned up"]


def test_what_the_body_makes_of_it_does_not_matter() -> None:
    @local
    def body(context: Any) -> str:
        bench.control.stop(RunCancelled())
        try:
            context.log("?")
        except BaseException:
            pass
        return "went on"

    bench = Bench(body)
    assert isinstance(bench.slice(), Cancelled)
    assert bench.run.status is RunStatus.CANCELLED


def test_a_success_that_was_under_way_stays() -> None:
    @local
    def body() -> str:
        bench.control.stop(RunCancelled())
        return "done"

    bench = Bench(body)
    bench.slice()
    assert bench.result == "done"


def test_a_cancel_that_the_row_knows_of_turns_a_failure_into_a_cancellation() -> None:
    @local(max_attempts=3)
    def body() -> None:
        bench.store.cancel(bench.run_id)
        raise ValueError

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.CANCELLED


def test_the_first_reason_stands() -> None:
    control = AttemptControl()
    first = ShuttingDown()
    control.stop(first)
    control.stop(RunCancelled())
    assert control.reason is first


def test_callbacks_are_called_once_and_late_ones_at_once() -> None:
    control, heard = AttemptControl(), []
    control.add_callback(lambda: heard.append("early"))
    control.stop(ShuttingDown())
    control.stop(ShuttingDown())
    control.add_callback(lambda: heard.append("late"))
    assert heard == ["early", "late"]


def test_a_control_that_was_stopped_before_the_body_began_keeps_it_from_beginning() -> None:
    begun = []

    @local
    def body() -> None:
        begun.append(True)

    bench = Bench(body)
    claimed = bench.claim()
    control = AttemptControl()
    control.stop(ShuttingDown())
    from django_tasks_durable.engine.attempt import execute

    ending = execute(claimed, bench.store, control)
    assert ending is not None
    assert isinstance(ending[0], Released)
    assert not begun


def test_a_coroutine_is_stopped_while_it_awaits() -> None:
    told = []
    waiting = threading.Event()

    @local
    async def body(context: Any) -> None:
        try:
            waiting.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    bench = Bench(body)
    bench.claim()
    control = AttemptControl()

    def stop() -> None:
        waiting.wait(10)
        control.stop(RunCancelled())

    thread = threading.Thread(target=stop)
    thread.start()
    claimed = bench.run.claimed
    assert claimed is not None
    ending = asyncio.run(aexecute(claimed, bench.store, control))
    thread.join()
    assert ending is not None
    assert isinstance(ending[0], Cancelled)
    assert told == ["cancelled"]


def test_a_coroutine_that_eats_its_cancellation_goes_on_and_is_stopped_at_its_next_primitive() -> None:
    @local
    async def body(context: Any) -> None:
        bench.control.stop(ShuttingDown())
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
        await context.astep("a", int)

    bench = Bench(body)
    assert isinstance(bench.slice(), Released)
    assert bench.checkpoints == {}


@pytest.mark.seed("TR-15", "AW-20")
def test_a_lost_lease_writes_nothing_more() -> None:
    @local
    def body(context: Any) -> Iterator[int]:
        yield 1
        bench.control.stop(LeaseLost(bench.run_id, 1))
        yield 2

    bench = Bench(body)
    lines = []
    assert bench.slice() is None
    lines = [line.kind for line in bench.run.lines]
    assert lines[-1] == "partial"


async def test_somebody_who_cancels_the_asyncio_task_gets_the_run_given_back() -> None:
    begun = asyncio.Event()

    @local
    async def body() -> None:
        begun.set()
        await asyncio.sleep(3600)

    bench = Bench(body)
    carrying = asyncio.create_task(aexecute(bench.claim(), bench.store, AttemptControl()))
    await begun.wait()
    carrying.cancel()
    ending = await asyncio.wait_for(carrying, 10)
    assert ending is not None
    assert isinstance(ending[0], Released)


def test_a_coroutine_that_takes_too_long_has_failed() -> None:
    @local(timeout=0.05)
    async def body() -> None:
        await asyncio.sleep(3600)

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)
    assert bench.error()["code"] == "TIMEOUT"


def test_a_function_that_takes_too_long_fails_at_its_next_primitive(frozen: Any) -> None:
    done = []

    @local(timeout=60)
    def body(context: Any) -> None:
        clock.advance(61)
        context.step("a", done.append, 1)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "TIMEOUT"
    assert not done


def test_the_timeout_counts_each_slice_and_not_the_waiting(frozen: Any) -> None:
    @local(timeout=60)
    def body(context: Any) -> str:
        context.sleep(hours=1)
        return "done"

    bench = Bench(body)
    bench.slice()
    clock.advance(3600)
    bench.slice()
    assert bench.result == "done"


def test_primitives_of_an_attempt_that_has_ended_are_refused() -> None:
    kept = []

    @local
    def body(context: Any) -> None:
        kept.append(context)

    bench = Bench(body)
    bench.slice()
    with pytest.raises(LeaseLost):
        kept[0].step("late", int)
    with pytest.raises(LeaseLost):
        kept[0].log("late")


def test_after_a_crash_the_beginning_is_durable_before_the_body_begins() -> None:
    seen = []

    @local
    def body() -> None:
        seen.append(bench.run.status)

    from .laboratory import MortalStore

    bench = Bench(body, store=MortalStore())
    bench.run.crashes = 1
    bench.slice()
    assert seen == [RunStatus.RUNNING]


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), MemoryError()]
)
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_whatever_a_body_raises_is_an_outcome(error: BaseException, kind: str) -> None:
    def function() -> None:
        raise error

    def generator() -> Iterator[int]:
        yield 1
        raise error

    bench = Bench(local(function if kind == "function" else generator))
    claimed = bench.claim()
    endings: list[Any] = []

    def carry() -> None:
        endings.append(bench.slice(claimed=claimed))

    thread = threading.Thread(target=carry)  # as on a worker, not on the main thread
    thread.start()
    thread.join()
    assert isinstance(endings[0], Failed)
    assert bench.error()["exception_class_path"].endswith(type(error).__name__)


@pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit(), asyncio.CancelledError()])
def test_whatever_a_coroutine_raises_is_an_outcome(error: BaseException) -> None:
    @local
    async def body() -> None:
        raise error

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)


def test_ctrl_c_on_the_main_thread_gives_the_run_back_and_goes_on_up() -> None:
    @local
    def body() -> None:
        raise KeyboardInterrupt

    bench = Bench(body)
    with pytest.raises(KeyboardInterrupt):
        bench.slice()
    assert bench.run.status is RunStatus.READY


class Hostile(Exception):
    """An exception that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class HostileValue:
    """A value that resists."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __eq__ = __hash__ = __repr__  # type: ignore[assignment]


def test_an_exception_that_cannot_be_told_is_survived() -> None:
    @local(max_attempts=2, backoff=lambda error, result: 0)
    def body(context: Any) -> None:
        raise Hostile

    bench = Bench(body)
    bench.slice()
    assert isinstance(bench.slice(), Failed)


def test_a_step_whose_exception_cannot_be_told_is_survived() -> None:
    @local
    def body(context: Any) -> None:
        def fail() -> None:
            raise Hostile

        context.step("a", fail, HostileValue())

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)


def test_values_that_resist_are_survived_as_arguments_results_and_partials() -> None:
    @local
    def body(context: Any) -> Iterator[Any]:
        context.step("a", lambda value: 1, HostileValue())
        yield HostileValue()

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)


def test_endless_recursion_is_an_outcome() -> None:
    @local
    def body(context: Any) -> None:
        def deeper() -> None:
            deeper()

        context.step("a", deeper)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["exception_class_path"] == "builtins.RecursionError"


def test_arguments_that_cannot_be_read_any_more_fail_the_run() -> None:
    @local
    def body(value: Any) -> None: ...

    bench = Bench(body)
    bench.run.args = '[{"$nobody": 1}]'
    assert isinstance(bench.slice(), Failed)


def test_an_async_generator_left_at_a_yield_is_closed_before_the_outcome() -> None:
    told = []

    @local
    async def body(context: Any) -> AsyncIterator[int]:
        try:
            yield 1
            bench.control.stop(ShuttingDown())
            yield 2
        finally:
            told.append(bench.run.status)

    bench = Bench(body)
    assert isinstance(bench.slice(), Released)
    assert told == [RunStatus.RUNNING]


def test_a_subtask_that_is_cancelled_before_its_first_step_leaves_nothing_unawaited(
    recwarn: pytest.WarningsRecorder,
) -> None:
    @local
    async def body() -> None:
        asyncio.create_task(asyncio.sleep(1)).cancel()

    bench = Bench(body)
    bench.slice()
    gc.collect()
    assert bench.run.status is RunStatus.SUCCESSFUL
    assert [str(warning.message) for warning in recwarn.list] == []


def test_a_cancellation_that_comes_too_late_for_the_body_does_not_hit_its_outcome() -> None:
    @local
    async def body() -> str:
        carrying = asyncio.current_task()
        assert carrying is not None
        carrying.cancel()
        return "done"

    bench = Bench(body)
    bench.slice()
    assert bench.result == "done"


class BrokenHandler(logging.Handler):
    """A handler whose mail server is down."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("no mail")


def test_a_log_that_fails_does_not_decide_what_becomes_of_the_run() -> None:
    handler = BrokenHandler()
    logging.getLogger("django_tasks_durable.engine").addHandler(handler)
    try:

        @local
        def body() -> None:
            raise ValueError("ouch")

        bench = Bench(body)
        bench.slice()
        assert bench.error()["message"] == "ouch"
    finally:
        logging.getLogger("django_tasks_durable.engine").removeHandler(handler)
