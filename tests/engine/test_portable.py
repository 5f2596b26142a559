"""A run goes from one store to another as plain JSON, and goes on there as if nothing had happened."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.engine.portable import (
    assert_valid_snapshot,
    export_snapshot,
    looks_like_snapshot,
    restore,
    resume_state_of,
    validate_snapshot,
)
from django_tasks_durable.exceptions import (
    Drift,
    PayloadTooLarge,
    RunExists,
    RunNotFound,
    SnapshotDecode,
    SnapshotFormat,
    SnapshotMismatch,
    StepFailed,
    UnknownTask,
)
from django_tasks_durable.primitives import clock
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.primitives.writes import Failed, Succeeded, Suspended
from django_tasks_durable.store.memory import MemoryStore
from tests.engine.laboratory import Bench, local

DEEP = {
    "a": [None, {"b": [[], {}, 0, False, "", None]}],
    "when": datetime(2030, 1, 1, 1, 2, 3, 4, UTC),
    "d": Decimal("1.10"),
}


class Journal:
    """Counts what tasks really did."""

    def __init__(self) -> None:
        self.deeds: list[Any] = []

    def do(self, name: str, value: Any = None) -> Any:
        self.deeds.append(name)
        return value

    def fail(self, name: str) -> None:
        self.deeds.append(name)
        try:
            raise KeyError("the key")
        except KeyError as cause:
            raise ValueError("no good", 7) from cause


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()


@pytest.fixture
def asks(journal: Journal) -> Any:
    """A generator that does two steps, handles a failure and asks a question."""

    @local
    def body(context: Any, start: int) -> Any:
        yield "begin"
        first = context.step("first", journal.do, "first", start)
        nothing = context.step("nothing", journal.do, "nothing")
        try:
            context.step("bad", journal.fail, "bad")
        except ValueError as error:
            yield repr(error)
            handled = (error.args, repr(error.__cause__))
        answer = context.interrupt({"question": 1})
        return [first, nothing, handled, answer]

    return body


def carried(bench: Bench, **options: Any) -> Bench:
    """Take the run of a bench through JSON text into another store."""
    text = json.dumps(export_snapshot(bench.run_id, store=bench.store, **options))
    other = MemoryStore()
    bench.run_id = restore(text).into_memory(other)
    bench.store = other
    return bench


@pytest.mark.seed("AW-7", "AW-8", "AW-P3")
def test_a_waiting_run_goes_on_elsewhere_and_repeats_no_step(asks: Any, journal: Journal) -> None:
    bench = Bench(asks, 3)
    assert isinstance(bench.slice(), Suspended)
    carried(bench)
    assert bench.run.status is RunStatus.WAITING
    assert isinstance(bench.answer("yes").slice(), Succeeded)
    assert bench.result == [3, None, (("no good", 7), "KeyError('the key')"), "yes"]
    assert journal.deeds == ["first", "nothing", "bad"]


def test_partials_that_were_seen_are_carried_and_not_told_again(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    carried(bench).answer(1).slice()
    assert bench.run.partials == ["begin", "ValueError('no good', 7)"]


def test_messages_that_nobody_took_are_carried_in_order() -> None:
    @local
    def body(context: Any) -> Any:
        return [context.recv("news"), context.interrupt(), context.recv("news"), context.recv("late", timeout=1)]

    bench = Bench(body)
    for name, payload in (("news", 1), ("late", (2, 3)), ("news", 4)):
        bench.store.send(bench.run_id, name, payload)
    bench.slice()
    carried(bench)
    assert [message.name for message in bench.run.messages.values()] == ["late", "news"]
    bench.store.send(bench.run_id, "late", "too late")
    bench.slice()
    bench.answer("yes").slice()
    assert bench.result == [1, "yes", 4, (2, 3)]


def test_what_a_question_asks_of_whoever_answers_is_carried() -> None:
    @local
    def body(context: Any) -> Any:
        return context.gather(
            {
                "ask": lambda context: context.approval("go", permission="shop.refund", timeout=60, default=False),
                "hear": lambda context: context.wait_event("rates"),
            }
        )

    bench = Bench(body)
    bench.slice()
    carried(bench, with_tokens=True)
    found = {wait.kind: wait for wait in bench.run.open_waits}
    assert (found["approval"].permission, found["approval"].has_default) == ("shop.refund", True)
    assert bench.store.broadcast("rates", 7) == 1
    bench.answer(True, token=found["approval"].token).slice()
    assert bench.result == {"ask": True, "hear": 7}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"name": "", "payload": 1}]}, "messages[0].name"),
        ({"messages": [{"name": "news"}]}, "messages[0].payload"),
        ({"messages": {}}, "messages"),
    ],
)
def test_a_message_that_is_none_is_named(asks: Any, change: dict[str, Any], place: str) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    document["durable"] |= change
    with pytest.raises(SnapshotFormat) as refused:
        restore(document).into_memory(MemoryStore())
    assert any(place in error for error in refused.value.errors)


def test_an_imported_run_reads_its_history_at_its_first_claim(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    claimed = carried(bench).answer(1).claim()
    assert claimed.lease == Lease(run_id=bench.run_id, token=2)
    assert not claimed.is_fresh


@pytest.mark.seed("AW-8")
def test_the_snapshot_has_the_form_that_awaitly_knows(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store, definition="abc", metadata={"by": "me"})
    assert document["formatVersion"] == 1
    assert document["workflowName"] == asks.module_path
    assert document["execution"]["status"] == "running"
    assert document["execution"]["currentStepId"] == "wait:interrupt"
    assert datetime.fromisoformat(document["execution"]["lastUpdated"]).tzinfo is not None
    assert document["metadata"] == {
        "workflowId": asks.module_path,
        "input": {"args": [3], "kwargs": {}},
        "definitionHash": "abc",
        "by": "me",
    }
    first, bad = document["steps"]["step:first"], document["steps"]["step:bad"]
    assert (first["ok"], first["value"]) == (True, 3)
    assert (bad["ok"], bad["meta"]) == (False, {"origin": "throw"})
    assert "warnings" not in document


@pytest.mark.seed("AW-8")
@pytest.mark.parametrize(("ends", "status"), [(True, "completed"), (False, "failed")])
def test_the_end_of_a_run_is_told_and_kept(journal: Journal, ends: bool, status: str) -> None:
    @local
    def body(context: Any) -> Any:
        context.step("only", journal.do, "only", 1)
        if not ends:
            raise ValueError("no")
        return {"decimal": Decimal("1.10")}

    bench = Bench(body)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    assert document["execution"]["status"] == status
    assert document["execution"]["completedAt"] == document["execution"]["lastUpdated"]
    before = bench.run
    after = carried(bench).run
    assert (after.status, after.result, json.loads(after.errors), after.error_code, after.attempts, after.finished_at) == (
        before.status, before.result, json.loads(before.errors), before.error_code, before.attempts, before.finished_at,
    )  # fmt: skip
    assert after.due_at is None
    assert bench.store.claim(bench.run_id) is None


@pytest.mark.seed("AW-6", "AW-P13")
def test_a_failure_is_told_with_its_causes_and_comes_back_as_the_same_exception(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    text = json.dumps(export_snapshot(bench.run_id, store=bench.store))
    bad = json.loads(text)["steps"]["step:bad"]
    assert bad["error"] == {"name": "ValueError", "message": "('no good', 7)"}
    assert bad["cause"] == {
        "type": "error",
        "name": "ValueError",
        "message": "('no good', 7)",
        "cause": {"type": "error", "name": "KeyError", "message": "'the key'"},
    }
    error = assert_valid_snapshot(text).steps.error("bad")
    assert isinstance(error, ValueError)
    assert error.args == ("no good", 7)
    assert isinstance(error.__cause__, KeyError)


@pytest.mark.seed("AW-P14")
@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, DEEP, (1, (2, None)), {"$tuple": [1]}, {"$unheard": 1}])
def test_null_and_deep_values_go_round(journal: Journal, value: Any) -> None:
    @local
    def body(context: Any) -> Any:
        kept = context.step("kept", journal.do, "kept", value)
        context.interrupt("?")
        return kept

    bench = Bench(body)
    bench.slice()
    text = json.dumps(export_snapshot(bench.run_id, store=bench.store))
    assert assert_valid_snapshot(text).steps["kept"] == value
    carried(bench).answer(None).slice()
    assert bench.result == value
    assert journal.deeds == ["kept"]


@pytest.mark.seed("AW-27")
def test_a_step_is_complete_also_when_it_gave_none(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    steps = assert_valid_snapshot(export_snapshot(bench.run_id, store=bench.store)).steps
    assert "nothing" in steps
    assert steps["nothing"] is None
    assert "step:nothing" in steps
    assert steps["step:nothing"] is None
    assert "never" not in steps
    assert 7 not in steps
    assert steps.get("never", "absent") == "absent"
    with pytest.raises(KeyError):
        steps["never"]
    assert "bad" in steps
    assert steps.has_failed("bad")
    with pytest.raises(ValueError, match="no good"):
        steps["bad"]
    assert list(steps) == ["step:first", "step:nothing", "step:bad"]
    assert len(steps) == 3


@pytest.mark.seed("AW-7")
def test_the_steps_stand_in_the_order_in_which_they_were_written(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    # A program between here and there may put the keys of an object into an order of its own.
    shuffled = json.loads(json.dumps(document, sort_keys=True))
    assert list(shuffled["steps"]) == ["step:bad", "step:first", "step:nothing"]
    assert [record.path for record in restore(shuffled).history.checkpoints] == list(document["steps"])
    assert [key for key, _ in resume_state_of(shuffled)["steps"]] == list(document["steps"])


def test_code_that_has_changed_drifts_on_the_imported_history_too(asks: Any, journal: Journal) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)

    @local
    def body(context: Any, start: int) -> Any:
        yield "begin"
        context.step("nothing", journal.do, "nothing")

    document["workflowName"] = document["metadata"]["workflowId"] = document["durable"]["task_path"] = body.module_path
    store = MemoryStore()
    bench.run_id, bench.store = restore(document).into_memory(store), store
    outcome = bench.answer(1).slice()
    assert isinstance(outcome, Failed)
    assert outcome.error.code == Drift.code


def test_a_run_in_somebodys_hands_is_due_at_once_elsewhere(asks: Any, frozen: datetime) -> None:
    bench = Bench(asks, 3)
    bench.claim()
    assert bench.run.status is RunStatus.CLAIMED
    run = carried(bench).run
    assert (run.status, run.wake_reason, run.due_at) == (RunStatus.READY, WakeReason.RELEASED, frozen)


def test_a_sleep_ends_when_it_was_to_end(frozen: datetime) -> None:
    @local
    def body(context: Any) -> str:
        context.sleep("nap", hours=1)
        return "awake"

    bench = Bench(body)
    bench.slice()
    carried(bench)
    assert (bench.run.due_at, bench.run.wake_reason) == (frozen + timedelta(hours=1), WakeReason.SLEEP)
    assert bench.store.claim(bench.run_id) is None
    clock.advance(3600)
    bench.slice()
    assert bench.result == "awake"


def test_a_run_whose_end_was_asked_for_is_cancelled_on_arrival(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.claim()
    bench.store.cancel(bench.run_id)
    assert carried(bench).run.status is RunStatus.CANCELLED


def test_an_answer_that_the_run_has_not_seen_yet_is_carried(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    bench.answer({"late": True})
    carried(bench)
    assert isinstance(bench.slice(), Succeeded)
    assert bench.result[-1] == {"late": True}


def test_tokens_stay_at_home_unless_they_are_asked_for(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    (wait,) = bench.run.open_waits
    without = export_snapshot(bench.run_id, store=bench.store)
    assert wait.token not in json.dumps(without)
    restored = restore(without)
    assert restored.remarks == ("the tokens of its questions are new",)
    assert restored.history.waits[0].token not in ("", wait.token)
    kept = restore(export_snapshot(bench.run_id, store=bench.store, with_tokens=True))
    assert kept.history.waits[0].token == wait.token
    assert kept.remarks == ()


def test_nested_calls_tries_and_branches_are_carried(journal: Journal) -> None:
    @local
    def child(context: Any, n: int) -> Any:
        yield n
        return context.step("inner", journal.do, "inner", n)

    @local
    def body(context: Any) -> Any:
        value = yield from context.call(child, 5)
        both = context.gather({"a": child.bind(1), "b": child.bind(2)})
        context.interrupt("?")
        return [value, both]

    bench = Bench(body)
    bench.slice()
    deeds = list(journal.deeds)
    document = export_snapshot(bench.run_id, store=bench.store)
    assert assert_valid_snapshot(document).steps[f"call:{child.name}"] == 5
    carried(bench).answer(1).slice()
    assert bench.result == [5, {"a": 1, "b": 2}]
    assert journal.deeds == deeds


def test_a_failed_try_is_no_answer_but_is_carried(frozen: datetime, journal: Journal) -> None:
    @local
    def body(context: Any) -> Any:
        context.step("tried", journal.fail, "tried", max_attempts=2, backoff=lambda error, result: 60)

    bench = Bench(body)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    assert "step:tried!try:1" in document["steps"]
    assert "tried" not in assert_valid_snapshot(document).steps
    carried(bench)
    assert bench.store.claim(bench.run_id) is None
    clock.advance(60)
    assert isinstance(bench.slice(), Failed)
    assert journal.deeds == ["tried", "tried"]


def test_a_name_that_is_taken_is_refused(asks: Any, store: MemoryStore) -> None:
    bench = Bench(asks, 3)
    restored = restore(export_snapshot(bench.run_id, store=bench.store))
    restored.into_memory(store, name="one")
    with pytest.raises(RunExists, match="one"):
        restored.into_memory(store, name="one")


def test_a_run_that_is_not_there_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(RunNotFound):
        export_snapshot("nobody", store=store)
    with pytest.raises(RunNotFound):
        export_snapshot("no id")
    with pytest.raises(RunNotFound):
        export_snapshot(uuid4(), store=store)


@pytest.mark.seed("AW-11")
def test_a_snapshot_of_another_task_is_refused(asks: Any) -> None:
    @local
    def other(context: Any) -> None: ...

    bench = Bench(asks, 3)
    document = export_snapshot(bench.run_id, store=bench.store)
    with pytest.raises(SnapshotMismatch) as caught:
        restore(document, other)
    assert (caught.value.what, caught.value.expected, caught.value.found) == (
        "task", other.module_path, asks.module_path,
    )  # fmt: skip
    assert restore(document, asks).run.task_path == asks.module_path


@pytest.mark.seed("AW-11")
def test_unknown_steps_and_another_definition_are_refused_where_they_are_asked_for(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store, definition="one")
    with pytest.raises(SnapshotMismatch, match="step:bad") as caught:
        restore(document, known_steps=["first", "nothing"])
    assert (caught.value.what, caught.value.found) == ("steps", ["step:bad"])
    with pytest.raises(SnapshotMismatch) as caught:
        restore(document, definition="two")
    assert (caught.value.what, caught.value.expected, caught.value.found) == ("definition", "two", "one")
    with pytest.raises(SnapshotMismatch) as caught:
        restore(document, workflow="checkout")
    assert caught.value.what == "workflow"
    assert restore(document, known_steps=["first", "nothing", "bad"], definition="one").history.checkpoints


@pytest.mark.seed("AW-11")
@pytest.mark.parametrize(
    "value",
    [
        {"$newer": 1},
        {"$datetime": "yesterday"},
        {"$dataclass": ["no.such:Class", []]},
        {"$tuple": 7},
        "\x00",
        {"a": {"$int": "x"}},
    ],
)
def test_a_value_that_cannot_be_made_here_is_refused_with_its_step(asks: Any, value: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    document["steps"]["step:first"]["value"] = value
    assert validate_snapshot(document).valid
    with pytest.raises(SnapshotDecode) as caught:
        restore(document)
    assert caught.value.step == "step:first"


@pytest.mark.seed("AW-14")
def test_a_value_that_is_too_large_here_is_refused(asks: Any, settings: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    document["steps"]["step:first"]["value"] = "x" * 1000
    settings.TASKS = {
        "default": {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": {"max_payload_bytes": 1000}}
    }
    with pytest.raises(PayloadTooLarge, match="step:first"):
        restore(document)


def test_a_task_that_is_not_registered_is_unknown(asks: Any) -> None:
    bench = Bench(asks, 3)
    document = export_snapshot(bench.run_id, store=bench.store)
    document["durable"]["task_path"] = "no.such.task"
    with pytest.raises(UnknownTask):
        restore(document)
    assert get_task(asks.module_path)


def test_options_that_enqueueing_would_refuse_are_refused(asks: Any) -> None:
    bench = Bench(asks, 3)
    document = export_snapshot(bench.run_id, store=bench.store)
    document["durable"]["options"] = {"timeout": -1}
    with pytest.raises(SnapshotDecode, match="timeout"):
        restore(document)


def test_a_backend_that_is_none_here_is_replaced_and_said(asks: Any) -> None:
    bench = Bench(asks, 3)
    document = export_snapshot(bench.run_id, store=bench.store)
    document["durable"]["backend"] = "elsewhere"
    restored = restore(document)
    assert restored.run.backend == "default"
    assert restored.remarks == ("its backend 'elsewhere' is none here: it goes to 'default'",)


def test_an_exception_whose_class_is_gone_is_told_as_a_failed_step(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    document = export_snapshot(bench.run_id, store=bench.store)
    document["steps"]["step:bad"]["failure"]["class"] = "no.such.module:Error"
    error = assert_valid_snapshot(document).steps.error("bad")
    assert isinstance(error, StepFailed)
    assert error.exception_class_path == "no.such.module.Error"


def test_exporting_changes_nothing_and_looks_like_a_snapshot(asks: Any) -> None:
    bench = Bench(asks, 3)
    bench.slice()
    before = bench.store.copy(bench.run_id)
    document = export_snapshot(bench.run_id, store=bench.store)
    document["steps"].clear()
    assert bench.store.copy(bench.run_id) == before
    assert looks_like_snapshot(document)
