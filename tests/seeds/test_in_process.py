"""A run driven in process, whatever store holds it: its state handed out and taken in again, its slices one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from django_tasks_durable import (
    DatabaseStore,
    MemoryStore,
    collector,
    is_interrupt,
    is_partial,
    is_step_completed,
    restore,
    snapshot_of,
    testing,
    validate_snapshot,
)
from django_tasks_durable.engine.portable import resume_state_of
from django_tasks_durable.exceptions import (
    AmbiguousResume,
    IdempotencyConflict,
    Interrupted,
    NotSerializable,
    RunExists,
    RunNotFound,
    SnapshotFormat,
    SnapshotMismatch,
)
from django_tasks_durable.store import intake
from tests.engine import samples
from tests.engine.laboratory import local
from tests.pulses import settled  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest) -> Any:
    """An empty store of either kind."""
    return MemoryStore() if request.param == "memory" else DatabaseStore()


begun: list[str] = []


@local
def order(context: Any, item: str) -> Iterator[Any]:
    """Do two steps and ask in between."""
    first = context.step("reserve", lambda: begun.append("reserve") or f"{item} reserved")
    yield first
    answer = context.interrupt({"pay": item})
    second = context.step("ship", lambda: begun.append("ship") or f"{item} shipped")
    return [first, answer, second]


@local
async def aorder(context: Any, item: str) -> Any:
    """See order."""
    first = await context.astep("reserve", lambda: begun.append("reserve") or f"{item} reserved")
    yield first
    answer = await context.ainterrupt({"pay": item})
    context.finish([first, answer, await context.astep("ship", lambda: begun.append("ship") or f"{item} shipped")])


@pytest.fixture(autouse=True)
def _nothing_begun() -> None:
    begun.clear()


# --- how it went, with the state


@pytest.mark.seed("AW-2")
def test_the_state_comes_with_a_value_an_error_and_a_question_alike(store: Any) -> None:
    @local
    def failing(context: Any) -> None:
        context.step("done", lambda: 1)
        raise ValueError("ouch")

    value, of_value = samples.add.invoke_with_state(1, store=store)
    error, of_error = failing.invoke_with_state(store=store)
    asked, of_question = order.invoke_with_state("book", store=store)
    assert (value.status, value.value, value.error, value.is_successful) == ("SUCCESSFUL", 3, None, True)
    assert (error.status, str(error.error), error.is_successful) == ("FAILED", "ouch", False)
    assert (asked.status, asked.interrupt, asked.error) == ("WAITING", {"pay": "book"}, None)
    states = [validate_snapshot(state) for state in (of_value, of_error, of_question)]
    assert [state.errors for state in states] == [(), (), ()]
    assert [dict(state.snapshot.steps) for state in states if state.snapshot] == [
        {},
        {"step:done": 1},
        {"step:reserve": "book reserved"},
    ]


@pytest.mark.seed("AW-2")
def test_nothing_is_raised_when_there_is_no_run_at_all(store: Any) -> None:
    refused, state = samples.add.invoke_with_state(object(), store=store)
    assert (type(refused.error), refused.status, state) == (NotSerializable, "", None)
    order.invoke_with_state("book", run_id="demo", store=store)
    conflict, _ = order.invoke_with_state("pen", run_id="demo", store=store)
    wrong, _ = samples.add.invoke_with_state(1, store={})
    damaged, _ = samples.add.invoke_with_state(1, store=store, snapshot="{")
    assert [type(each.error) for each in (conflict, wrong, damaged)] == [IdempotencyConflict, TypeError, SnapshotFormat]


@pytest.mark.seed("AW-2")
async def test_the_asynchronous_twin_does_the_same(store: Any) -> None:
    value, state = await samples.aadd.ainvoke_with_state(1, store=store)
    asked, _ = await aorder.ainvoke_with_state("book", store=store)
    refused, nothing = await samples.aadd.ainvoke_with_state(object(), store=store)
    assert (value.value, asked.interrupt, type(refused.error), nothing) == (3, {"pay": "book"}, NotSerializable, None)
    assert validate_snapshot(state).valid


# --- begun from a snapshot


@pytest.mark.seed("AW-12", "AW-P3")
@pytest.mark.parametrize("task", [order, aorder], ids=lambda task: task.name)
def test_a_state_that_was_handed_out_is_gone_on_from_in_any_store(task: Any, store: Any) -> None:
    _, state = task.invoke_with_state("book", store=MemoryStore())
    with pytest.raises(Interrupted):
        task.invoke(run_id="again", store=store, snapshot=state)
    assert task.resume("again", "paid", store=store).result() == ["book reserved", "paid", "book shipped"]
    assert begun == ["reserve", "ship"]


@pytest.mark.seed("AW-12")
def test_both_shapes_of_awaitly_are_gone_on_from(store: Any) -> None:
    workflow = snapshot_of({"reserve": "book was reserved"})
    for place, snapshot in enumerate((workflow, resume_state_of(workflow), lambda: workflow)):
        items = list(order.stream("book", run_id=f"run-{place}", store=store, snapshot=snapshot))
        assert [item.partial for item in items if is_partial(item)] == ["book was reserved"]
    assert begun == []


def test_a_partial_that_was_told_before_the_snapshot_is_not_told_again(store: Any) -> None:
    _, state = order.invoke_with_state("book")
    (item,) = order.stream(store=store, snapshot=state)
    assert is_interrupt(item)


@pytest.mark.seed("AW-12")
def test_no_snapshot_begins_anew(store: Any) -> None:
    assert samples.add.invoke(1, store=store, snapshot=None) == 3


def test_a_snapshot_of_ours_has_its_arguments_which_the_call_may_repeat_and_not_change(store: Any) -> None:
    _, state = order.invoke_with_state("book")
    with pytest.raises(Interrupted):
        order.invoke("book", store=store, snapshot=state)
    with pytest.raises(SnapshotMismatch):
        order.invoke("pen", store=store, snapshot=state)
    with pytest.raises(SnapshotMismatch):
        samples.chat.invoke(store=store, snapshot=state)


def test_a_snapshot_does_not_replace_a_run_of_its_name(store: Any) -> None:
    _, state = order.invoke_with_state("book", run_id="demo", store=store)
    with pytest.raises(RunExists):
        order.invoke(run_id="demo", store=store, snapshot=state)


def test_a_finished_snapshot_gives_its_result(store: Any) -> None:
    _, state = samples.add.invoke_with_state(1)
    assert samples.add.invoke(store=store, snapshot=state) == 3


# --- answers


def test_an_answer_is_for_the_question_of_a_path_or_a_token(store: Any) -> None:
    @local
    def both(context: Any) -> Any:
        return context.gather({name: order.bind(name) for name in ("left", "right")})

    asked, _ = both.stream(run_id="demo", store=store)
    open_ones = {wait["request"]["pay"]: wait for wait in asked.snapshot["waits"]}
    with pytest.raises(AmbiguousResume):
        both.resume("demo", "which?", store=store)
    list(both.resume("demo", "r", path=open_ones["right"]["path"], store=store))
    result = both.resume("demo", "l", token=open_ones["left"]["token"], store=store).result()
    assert [result[name][1] for name in ("left", "right")] == ["l", "r"]


def test_a_question_whose_deadline_has_passed_is_gone_on_from_without_an_answer(store: Any) -> None:
    @local
    def patient(context: Any) -> Any:
        return context.interrupt("?", timeout=60, default="nobody")

    with testing.frozen(datetime(2030, 1, 1, tzinfo=UTC)):
        (item,) = patient.stream(run_id="demo", store=store)
        assert is_interrupt(item)
        testing.advance(61)
        assert patient.stream(run_id="demo", store=store).result() == "nobody"


# --- slice by slice


@pytest.mark.seed("TW-19")
def test_a_slice_tells_what_the_run_waits_for(store: Any) -> None:
    @local
    def body(context: Any) -> str:
        context.sleep("rest", minutes=1)
        return context.interrupt("go on?")

    with testing.frozen(datetime(2030, 1, 1, tzinfo=UTC)):
        run_id = _put(body, store)
        first = body.advance(run_id, store=store)
        asleep = store.glance(run_id)
        again = body.advance(run_id, store=store)
        assert (first, asleep.sequence) == (again, store.glance(run_id).sequence)
        assert (first.status, first.error) == ("READY", None)
        assert first.wait is not None
        assert first.wait["due_at"] is not None
        testing.advance(61)
        asked = body.advance(run_id, store=store)
        assert asked.wait is not None
        assert (asked.status, asked.wait["request"], asked.error) == ("WAITING", "go on?", None)


def test_a_slice_tells_the_error_that_ended_the_run(store: Any) -> None:
    run_id = _put(samples.failing, store)
    ended = samples.failing.advance(run_id, store=store)
    assert (ended.status, ended.wait, str(ended.error)) == ("FAILED", None, "ouch")
    with pytest.raises(RunNotFound):
        samples.add.advance(run_id, store=store)


async def test_a_slice_can_be_awaited(store: Any) -> None:
    with pytest.raises(RunNotFound):
        await samples.achat.aadvance("nobody", store=store)
    _ = [item async for item in samples.achat.astream("you", run_id="demo", store=store)]
    assert (await samples.achat.aadvance("demo", store=store)).status == "WAITING"


def _put(task: Any, store: Any) -> str:
    """Put a run into the store that nobody has begun."""
    if isinstance(store, MemoryStore):
        return store.find(store.create(task.module_path)).name
    return str(intake.enqueue(task, [], {}, using="default", backend_alias="default"))


# --- steps as they are done


@pytest.mark.seed("AW-26")
def test_a_collector_hears_of_each_step_once_it_is_durable_and_of_no_replay(store: Any) -> None:
    kept: list[Any] = []

    def listen(event: Any) -> None:
        assert is_step_completed(event)
        kept.append((event.key, list(store.glance(event.run_id).as_snapshot()["steps"])[-1]))
        raise RuntimeError("a listener that fails does not fail the run")

    with collector(listen) as gathered:
        list(order.stream("book", run_id="demo", store=store))
        assert gathered.steps == {"reserve": "book reserved"}
        assert order.resume("demo", "paid", store=store).result()[1] == "paid"
    assert [event.key for event in gathered.events] == ["reserve", "ship"]
    assert kept == [("reserve", "step:reserve"), ("ship", "step:ship")]
    assert not is_step_completed("step:reserve")


@pytest.mark.seed("AW-26", "AW-27")
def test_what_was_collected_is_a_snapshot_to_go_on_from(store: Any) -> None:
    with collector() as gathered, pytest.raises(Interrupted):
        order.invoke("book")
    snapshot = gathered.snapshot()
    assert "reserve" in restore(snapshot, order).snapshot.steps
    with pytest.raises(Interrupted):
        order.invoke("book", store=store, snapshot=snapshot)
    assert begun == ["reserve"]


@pytest.mark.seed("AW-26")
async def test_a_collector_hears_of_asynchronous_steps(store: Any) -> None:
    with collector() as gathered, pytest.raises(Interrupted):
        await aorder.ainvoke("book", store=store)
    assert gathered.steps == {"reserve": "book reserved"}


@pytest.mark.seed("AW-26")
def test_collectors_hear_only_of_what_is_driven_in_their_block() -> None:
    with collector() as outer:
        with collector() as inner, pytest.raises(Interrupted):
            order.invoke("book")
        with pytest.raises(Interrupted):
            order.invoke("pen")
    with pytest.raises(Interrupted):
        order.invoke("cup")
    assert [[event.value for event in each.events] for each in (outer, inner)] == [
        ["book reserved", "pen reserved"],
        ["book reserved"],
    ]
