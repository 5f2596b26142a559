"""Children with runs of their own, chains that are polled, and tasks that take turns, as the seeds had them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_tasks_durable import MemoryStore
from django_tasks_durable.exceptions import NotWaiting
from django_tasks_durable.models import Checkpoint, TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.testing import advance, drain, frozen
from tests.engine.laboratory import local
from tests.seeds import tasks


@local
def inner(context: Any) -> Iterator[str]:
    """Yield, ask, yield."""
    yield "(inner) processing"
    context.interrupt("continue?")
    yield "(inner) done"


def told(items: Any) -> list[Any]:
    """The partials and questions of a stream."""
    return [item.interrupt if item.kind == "interrupt" else item.partial for item in items]


@pytest.mark.seed("TT-22")
def test_of_a_child_with_its_own_run_the_parent_hears_only_what_is_new_after_a_resume() -> None:
    @local
    def outer(context: Any) -> Iterator[Any]:
        heard = []
        for partial in context.spawn(inner).stream():
            heard.append(partial)
            yield partial
        heard.append("done")
        yield heard

    store = MemoryStore()
    assert told(outer.stream(run_id="own", store=store)) == ["(inner) processing", "continue?"]
    assert told(outer.resume("own", True, store=store)) == ["(inner) done", ["(inner) done", "done"]]


@pytest.mark.seed("TT-P7")
def test_deep_nested_with_own_runs() -> None:
    @local
    def middle(context: Any) -> Iterator[Any]:
        heard = []
        for partial in context.spawn(inner).stream():
            heard.append(partial)
            yield partial
        yield [*heard, "(middle) done"]

    @local
    def outer(context: Any) -> Iterator[Any]:
        heard = []
        for partial in context.spawn(middle).stream():
            heard.append(partial)
            yield partial
        return heard

    store = MemoryStore()
    assert told(outer.stream(run_id="deep", store=store)) == ["(inner) processing", "continue?"]
    resumed = outer.resume("deep", True, store=store)
    assert told(resumed) == ["(inner) done", ["(inner) done", "(middle) done"]]
    assert resumed.result() == ["(inner) done", ["(inner) done", "(middle) done"]]


@pytest.mark.seed("TT-7")
def test_a_partial_is_saved_before_it_is_handed_out_and_an_end_deletes_nothing() -> None:
    @local
    def asks(context: Any, breaks: bool) -> Iterator[str]:
        yield "first"
        yield "second"
        context.interrupt("?")
        if breaks:
            raise ValueError("broken")

    for breaks in (False, True):
        store = MemoryStore()
        seen = []
        for item in asks.stream(breaks, run_id="kept", store=store):
            if item.kind == "partial":
                seen.append(item.partial)
                assert store.find("kept").partials == seen
        assert store.find("kept").open_waits
        try:
            asks.resume("kept", 1, store=store).result()
        except ValueError:
            assert breaks
        run = store.find("kept")
        assert run.status is (RunStatus.FAILED if breaks else RunStatus.SUCCESSFUL)
        assert run.partials == ["first", "second"]
        assert store.snapshot(run.id)["answers"] == [1]
        with pytest.raises(NotWaiting):
            store.resume(run.id, 2)


@pytest.fixture
def parts() -> Iterator[dict[str, dict[str, Any]]]:
    """The parts of two chains, none of which has begun."""
    tasks.PARTS.update({name: {"started": 0, "asked": 0, "polls": number} for number, name in enumerate("abc", 1)})
    yield tasks.PARTS
    tasks.PARTS.clear()


PLAN = {"left": ["a", "b"], "right": ["c"]}


@pytest.mark.seed("TW-29", "TW-P10")
def test_chains_are_started_once_and_polled_until_they_end(db: None, parts: dict[str, dict[str, Any]]) -> None:
    with frozen():
        result = tasks.chains.enqueue(PLAN)
        drain()
        # In the middle there is nothing in this process: each slice reads all from the database.
        row = TaskRun.objects.get(pk=result.id)
        assert (row.status, row.lease_worker != "") == (RunStatus.READY, True)
        assert {name: part["asked"] for name, part in parts.items()} == {"a": 1, "b": 1, "c": 1}
        for _ in range(2):
            advance(30)
            drain()
    row.refresh_from_db()
    assert row.result == '{"left":["a ended","b ended"],"right":["c ended"]}', row.errors
    assert {name: part["started"] for name, part in parts.items()} == dict.fromkeys("abc", 1)
    assert {name: part["asked"] for name, part in parts.items()} == {"a": 1, "b": 2, "c": 3}


@pytest.mark.seed("TW-29")
def test_all_chains_end_before_their_errors_are_told_as_one(db: None, parts: dict[str, dict[str, Any]]) -> None:
    parts["a"]["breaks"] = parts["c"]["breaks"] = True
    with frozen():
        result = tasks.chains.enqueue(PLAN)
        for _ in range(3):
            drain()
            advance(30)
    row = TaskRun.objects.get(pk=result.id)
    assert row.status == RunStatus.FAILED
    assert "a broke" in row.errors
    assert "c broke" in row.errors
    assert parts["b"]["started"] == 0
    assert parts["c"]["asked"] == 3


@pytest.mark.seed("TW-17")
def test_a_task_that_cannot_go_on_is_asked_again_after_the_others(db: None) -> None:
    tasks.TURNS.clear()
    ids = [tasks.patient.enqueue(name, 3).id for name in "xy"]
    drain()
    assert tasks.TURNS == ["x", "y"] * 3
    assert [row.result for row in TaskRun.objects.filter(pk__in=ids).order_by("id")] == ['"x ended"', '"y ended"']
    assert Checkpoint.objects.filter(run_id=ids[0], path__startswith="pause:").count() == 3
