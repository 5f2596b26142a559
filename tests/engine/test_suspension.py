"""Suspension cannot be swallowed, and is done once (execution rule 1)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from django_tasks_durable.exceptions import Suspend
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import Failed, Suspended
from django_tasks_durable.store import user_transactions

from .laboratory import Bench, local


@pytest.mark.seed("TT-8")
def test_except_exception_does_not_catch_it() -> None:
    @local
    def body(context: Any) -> Any:
        try:
            return context.interrupt()
        except Exception:
            return "caught"

    bench = Bench(body)
    assert isinstance(bench.slice(), Suspended)
    assert bench.run.status is RunStatus.WAITING


@pytest.mark.seed("TT-8")
def test_a_body_that_ends_although_it_waits_has_failed() -> None:
    @local
    def body(context: Any) -> Any:
        try:
            context.interrupt()
        except BaseException:
            return "swallowed"

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "SUSPENSION_SWALLOWED"
    assert bench.run.status is RunStatus.FAILED


def test_a_coroutine_whose_gather_swallows_it_has_failed() -> None:
    @local
    async def body(context: Any) -> Any:
        return len(await asyncio.gather(context.ainterrupt(), return_exceptions=True))

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "SUSPENSION_SWALLOWED"


def test_a_yield_while_suspending_has_failed() -> None:
    @local
    def body(context: Any) -> Iterator[str]:
        try:
            context.interrupt()
        finally:
            yield "too late"

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "SUSPENSION_SWALLOWED"
    assert bench.run.partials == []


def test_an_async_generator_that_yields_while_suspending_has_failed() -> None:
    @local
    async def body(context: Any) -> AsyncIterator[str]:
        try:
            await context.ainterrupt()
        finally:
            yield "too late"

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "SUSPENSION_SWALLOWED"


def test_while_suspending_every_primitive_raises_the_same_suspension_and_does_nothing() -> None:
    seen: list[object] = []

    @local
    def body(context: Any) -> None:
        try:
            context.interrupt()
        finally:
            seen.append(context.suspending)
            for act in (
                lambda: context.step("late", seen.append, "done"),
                lambda: context.sleep(5),
                lambda: context.interrupt(),
                lambda: context.progress(1),
                lambda: context.log("late"),
                lambda: context.call(other).value,
                lambda: context.gather(lambda: seen.append("branch")),
            ):
                try:
                    act()
                except Suspend as suspend:
                    seen.append(suspend)

    @local
    def other() -> None:
        seen.append("called")

    bench = Bench(body)
    assert isinstance(bench.slice(), Suspended)
    assert seen[0] is True
    assert len(set(map(id, seen[1:]))) == 1
    assert len(seen) == 8


def test_an_error_of_the_cleaning_up_is_what_the_run_fails_with() -> None:
    @local
    def body(context: Any) -> None:
        try:
            context.interrupt()
        finally:
            raise OSError("disk full")

    bench = Bench(body)
    bench.slice()
    assert bench.error()["message"] == "disk full"


def test_a_task_group_around_it_is_unwrapped() -> None:
    @local
    async def body(context: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(context.ainterrupt("?"))

    bench = Bench(body)
    assert isinstance(bench.slice(), Suspended)


def test_a_failure_beside_it_in_a_group_is_told() -> None:
    @local
    async def body(context: Any) -> None:
        try:
            await context.ainterrupt("?")
        except BaseException as suspend:
            raise BaseExceptionGroup("both", [suspend, ValueError("real")]) from None

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)


def test_waiting_inside_an_open_transaction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    depths = {"default": 1}
    monkeypatch.setattr(user_transactions, "depths", lambda: dict(depths))
    done = []

    @local
    def body(context: Any) -> None:
        depths["default"] += 1
        try:
            context.sleep(60)
        finally:
            depths["default"] -= 1
            done.append(context.suspending)

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "SUSPEND_IN_ATOMIC"
    assert done == [False]


def test_the_transaction_of_a_test_around_the_attempt_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_transactions, "depths", lambda: {"default": 2})

    @local
    def body(context: Any) -> None:
        context.sleep(60)

    assert isinstance(Bench(body).slice(), Suspended)


def test_two_primitives_at_once_in_one_scope_are_refused_before_any_effect() -> None:
    done: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0)
        done.append("slow")

    @local
    async def body(context: Any) -> None:
        await asyncio.gather(context.astep("a", slow), context.astep("b", done.append, "b"))

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "CONCURRENT_SCOPE"
    assert "'step:b'" in bench.error()["message"]
    assert "b" not in done


def test_another_thread_is_refused_as_well() -> None:
    found: list[BaseException] = []
    entered, leave = threading.Event(), threading.Event()

    @local
    def body(context: Any) -> None:
        def hold() -> None:
            entered.set()
            leave.wait(10)

        def intrude() -> None:
            entered.wait(10)
            try:
                context.step("b", int)
            except BaseException as error:
                found.append(error)
            leave.set()

        thread = threading.Thread(target=intrude)
        thread.start()
        context.step("a", hold)
        thread.join()

    bench = Bench(body)
    bench.slice()
    assert [type(error).__name__ for error in found] == ["ConcurrentScope"]
    assert list(bench.checkpoints) == ["step:a"]


def test_a_step_inside_a_step_is_refused() -> None:
    @local
    def body(context: Any) -> None:
        context.step("outer", lambda: context.step("inner", int))

    bench = Bench(body)
    bench.slice()
    assert bench.error()["code"] == "CONCURRENT_SCOPE"


def test_progress_and_log_are_allowed_inside_a_step() -> None:
    @local
    def body(context: Any) -> None:
        def load() -> None:
            context.progress(50, "half")
            context.log("half")

        context.step("load", load)

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.SUCCESSFUL
    assert bench.run.label == "half"


def test_every_asyncio_task_of_the_attempt_has_ended_before_its_outcome_is_written() -> None:
    told: list[str] = []

    @local
    async def body(context: Any) -> None:
        async def linger() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                told.append(f"cancelled while {bench.run.status}")

        lingering = asyncio.create_task(linger())
        await asyncio.sleep(0)
        assert not lingering.done()
        await context.ainterrupt()

    bench = Bench(body)
    bench.slice()
    assert told == ["cancelled while RUNNING"]


def test_a_subtask_that_exits_does_not_take_the_event_loop_with_it() -> None:
    @local
    async def body() -> None:
        async def leave() -> None:
            raise SystemExit(3)

        await asyncio.create_task(leave())

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert "SystemExit" in bench.error()["message"]


def test_finally_blocks_run_when_a_body_suspends() -> None:
    told = []

    @local
    def body(context: Any) -> Iterator[int]:
        try:
            yield 1
            context.sleep(60)
        finally:
            told.append(context.suspending)

    Bench(body).slice()
    assert told == [True]
