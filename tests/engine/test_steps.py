"""The step remembers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable import signals
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.primitives.writes import Failed, Suspended

from .laboratory import Bench, local


class Effects(Counter[str]):
    """Counts what was done."""

    def do(self, name: str, value: Any = None) -> Any:
        """Count a deed and return the value."""
        self[name] += 1
        return value


@pytest.fixture
def effects() -> Effects:
    """Nothing done yet."""
    return Effects()


def test_a_finished_step_is_not_run_again(effects: Effects) -> None:
    @local
    def body(context: Any) -> Any:
        a = context.step("a", effects.do, "a", 1)
        context.interrupt()
        return a + context.step("b", effects.do, "b", 2)

    bench = Bench(body)
    bench.slice()
    bench.answer(None).slice()
    assert bench.result == 3
    assert effects == {"a": 1, "b": 1}


@pytest.mark.seed("TW-7")
@pytest.mark.parametrize("value", [None, 0, "", False, [], {}])
def test_an_empty_value_is_remembered_as_any_other(effects: Effects, value: Any) -> None:
    @local
    def body(context: Any) -> Any:
        found = context.step("a", effects.do, "a", value)
        context.interrupt()
        return [found]

    bench = Bench(body)
    bench.slice()
    bench.answer(value).slice()
    assert bench.result == [value]
    assert effects == {"a": 1}


RICH = {
    "tuple": (1, 2),
    "set": {1},
    "when": datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
    "day": date(2026, 1, 1),
    "amount": Decimal("1.10"),
    "id": UUID(int=7),
    "bytes": b"\x00\xff",
}


def test_the_first_pass_sees_the_value_that_a_replay_will_see() -> None:
    seen = []

    @local
    def body(context: Any) -> None:
        seen.append(context.step("rich", lambda: RICH))
        context.interrupt()

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert seen == [RICH, RICH]
    assert seen[0] is not RICH


def test_a_step_never_hands_out_the_object_that_its_function_returned() -> None:
    original: list[int] = []

    @local
    def body(context: Any) -> Any:
        got = context.step("a", lambda: original)
        got.append(1)
        return original

    bench = Bench(body)
    bench.slice()
    assert bench.result == []


def test_a_value_that_cannot_be_stored_fails_the_step_naming_its_place() -> None:
    @local
    def body(context: Any) -> None:
        context.step("load", lambda: {"rows": [1, 2, 3, object()]})

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)
    assert 'value["rows"][3]' in bench.error()["message"]


def test_a_value_that_cannot_be_stored_is_an_error_the_body_may_handle() -> None:
    @local
    def body(context: Any) -> Any:
        try:
            return context.step("load", lambda: {1: 2})
        except TypeError:
            return "handled"

    bench = Bench(body)
    bench.slice()
    assert bench.result == "handled"


def test_the_same_key_used_again_is_numbered(effects: Effects) -> None:
    @local
    def body(context: Any) -> Any:
        values = [context.step("a", effects.do, "a", n) for n in range(3)]
        context.interrupt()
        return values

    bench = Bench(body)
    bench.slice()
    bench.answer(1).slice()
    assert bench.result == [0, 1, 2]
    assert list(bench.checkpoints)[:3] == ["step:a", "step:a#2", "step:a#3"]
    assert effects == {"a": 3}


def test_a_step_without_a_key_has_the_name_of_its_function(effects: Effects) -> None:
    @local
    def body(context: Any) -> Any:
        return context.step(effects.do, "x", 5)

    bench = Bench(body)
    bench.slice()
    assert list(bench.checkpoints) == ["step:Effects.do"]
    assert bench.result == 5


def test_arguments_by_name_reach_the_function() -> None:
    @local
    def body(context: Any) -> Any:
        return context.step("a", lambda *, key, value: [key, value], key=1, value=2)

    bench = Bench(body)
    bench.slice()
    assert bench.result == [1, 2]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a/b", "'/'"),
        ("", "empty"),
        ("x" * 400, "388"),
        ("a#2", "#"),
        ("a!try:1", "try"),
        ("a\x00", "printed"),
        (7, "str"),
    ],
)
def test_a_key_that_cannot_be_part_of_a_path_is_refused_before_anything_is_done(
    effects: Effects, key: Any, said: str
) -> None:
    @local
    def body(context: Any) -> None:
        context.step(key, effects.do, "a")

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)
    assert bench.error()["code"] == "INVALID_KEY"
    assert said in bench.error()["message"]
    assert not effects


def test_the_idempotency_key_of_a_step_is_the_same_at_each_try() -> None:
    keys = []

    @local
    def body(context: Any) -> None:
        def charge() -> None:
            keys.append(context.idempotency_key)
            if len(keys) < 3:
                raise OSError("gone")

        context.step("charge", charge, max_attempts=3, backoff=lambda error, result: 0)

    bench = Bench(body)
    bench.slice()
    assert keys == [f"{bench.run_id}:step:charge"] * 3


def test_each_step_is_a_line_of_the_timeline() -> None:
    @local
    def body(context: Any) -> None:
        context.step("load", int)
        context.log("Loaded", level="success", rows=3)

    bench = Bench(body)
    bench.slice()
    told = [(line.kind, line.message, line.path) for line in bench.run.lines]
    assert told[-3:] == [
        (StepKind.STEP, "load", "step:load"),
        (StepKind.LOG, "Loaded", ""),
        (StepKind.SUCCEEDED, "", ""),
    ]


# --- tries


def test_a_step_is_tried_again_at_once_when_the_delay_is_short(effects: Effects, frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        def flaky() -> str:
            effects.do("flaky")
            if effects["flaky"] < 3:
                raise OSError("not yet")
            return "done"

        return context.step("flaky", flaky, max_attempts=3, backoff=lambda error, result: 1.5)

    bench = Bench(body)
    bench.slice()
    assert bench.result == "done"
    assert list(bench.checkpoints) == ["step:flaky!try:1", "step:flaky!try:2", "step:flaky"]


@pytest.mark.seed("TW-8", "TW-P7")
def test_a_longer_delay_frees_the_slot_and_costs_no_attempt(effects: Effects, frozen: datetime) -> None:
    from django_tasks_durable.primitives import clock

    @local
    def body(context: Any) -> Any:
        def flaky() -> str:
            effects.do("flaky")
            if effects["flaky"] < 2:
                raise OSError("not yet")
            return "done"

        return context.step("flaky", flaky, max_attempts=2, backoff=lambda error, result: 60)

    bench = Bench(body)
    outcome = bench.slice()
    assert isinstance(outcome, Suspended)
    assert not outcome.parked
    assert outcome.wake_at is not None
    assert (outcome.wake_at - frozen).total_seconds() == 60
    assert bench.store.claim(bench.run_id) is None
    clock.advance(60)
    bench.slice()
    assert bench.result == "done"
    assert bench.run.attempts == 0
    assert effects == {"flaky": 2}


def test_a_run_that_is_woken_early_still_waits_for_its_next_try(effects: Effects, frozen: datetime) -> None:
    @local
    def body(context: Any) -> Any:
        return context.step("flaky", _fail, max_attempts=2, backoff=lambda error, result: 60)

    bench = Bench(body)
    first = bench.slice()
    bench.run.due_at = frozen
    second = bench.slice()
    assert isinstance(first, Suspended)
    assert isinstance(second, Suspended)
    assert second.wake_at == first.wake_at
    assert second.checkpoints == ()


def _fail() -> None:
    raise OSError("always")


@pytest.mark.seed("TW-8", "TW-P7")
def test_when_its_tries_are_used_up_the_last_error_reaches_the_body(effects: Effects) -> None:
    @local
    def body(context: Any) -> Any:
        def broken() -> None:
            effects.do("broken")
            raise ValueError(f"try {effects['broken']}")

        try:
            context.step("broken", broken, max_attempts=3, backoff=lambda error, result: 0)
        except ValueError as error:
            return str(error)

    bench = Bench(body)
    bench.slice()
    assert bench.result == "try 3"


def test_an_error_that_says_so_is_not_tried_again(effects: Effects) -> None:
    from django_tasks_durable.exceptions import NonRetryable

    @local
    def body(context: Any) -> None:
        def broken() -> None:
            effects.do("broken")
            raise NonRetryable("never")

        context.step("broken", broken, max_attempts=5)

    bench = Bench(body)
    bench.slice()
    assert effects == {"broken": 1}


def test_a_backoff_that_gives_up_ends_the_tries(effects: Effects) -> None:
    @local
    def body(context: Any) -> None:
        def broken() -> None:
            effects.do("broken")
            raise OSError

        context.step("broken", broken, max_attempts=5, backoff=lambda error, result: None)

    bench = Bench(body)
    bench.slice()
    assert effects == {"broken": 1}


@pytest.mark.parametrize("said", [float("nan"), -1, "soon"])
def test_a_backoff_that_talks_nonsense_does_not_end_the_run(effects: Effects, said: Any, frozen: datetime) -> None:
    @local
    def body(context: Any) -> None:
        context.step("broken", _fail, max_attempts=2, backoff=lambda error, result: said)

    bench = Bench(body)
    assert isinstance(bench.slice(), Failed)
    assert bench.error()["exception_class_path"] == "builtins.OSError"


# --- a coroutine's steps


def test_a_coroutine_may_await_steps_of_both_kinds(effects: Effects) -> None:
    async def later(value: int) -> int:
        effects.do("later")
        return value

    @local
    async def body(context: Any) -> Any:
        a = await context.astep("a", later, 1)
        b = await context.astep("b", effects.do, "b", 2)
        await context.ainterrupt()
        return a + b

    bench = Bench(body)
    bench.slice()
    bench.answer(None).slice()
    assert bench.result == 3
    assert effects == {"later": 1, "b": 1}


def test_a_function_may_have_a_coroutine_function_as_its_step() -> None:
    async def later() -> str:
        return "now"

    @local
    def body(context: Any) -> Any:
        return context.step("later", later)

    bench = Bench(body)
    bench.slice()
    assert bench.result == "now"


def test_a_step_that_would_block_the_event_loop_is_refused() -> None:
    @local
    async def body(context: Any) -> None:
        context.step("a", int)

    bench = Bench(body)
    bench.slice()
    assert bench.run.status is RunStatus.FAILED
    assert bench.error()["exception_class_path"] == "django.core.exceptions.SynchronousOnlyOperation"


def test_those_who_listen_hear_of_each_step_once_it_is_durable(effects: Effects) -> None:
    heard: list[tuple[Any, str, bool]] = []

    def listen(sender: Any, using: str, run_id: UUID, path: str, **kwargs: Any) -> None:
        heard.append((using, path, path in bench.run.checkpoints))
        raise RuntimeError("a listener that fails does not fail the run")

    @local
    def body(context: Any) -> None:
        context.step("a", effects.do, "a")
        context.step("b", effects.do, "b", atomic=True)

    signals.step_completed.connect(listen)
    try:
        bench = Bench(body)
        bench.slice()
    finally:
        signals.step_completed.disconnect(listen)
    assert heard == [("default", "step:a", True), ("default", "step:b", True)]
    assert bench.run.status is RunStatus.SUCCESSFUL
