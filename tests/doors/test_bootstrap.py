"""What somebody who begins to watch is given."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.primitives.status import RunStatus, State
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.bootstrap import TaskQuery, aggregate, bootstrap, page
from tests.probe import tasks

from .rows import a_failed_run, a_line, a_run, a_running_run, a_waiting_run

pytestmark = pytest.mark.django_db
USING = "default"


def failed(count: int) -> list[TaskRun]:
    """Make failed runs."""
    return [a_failed_run() for _ in range(count)]


@pytest.mark.seed("TR-24")
def test_a_list_is_full_of_what_was_asked_for_the_newest_first() -> None:
    wanted = failed(3)
    for _ in range(5):
        a_run()

    found = page(TaskQuery(states=[State.FAILED]), using=USING, limit=2)
    assert [run.id for run in found] == [wanted[2].pk, wanted[1].pk]
    for _ in range(100):
        a_run()
    assert len(page(using=USING)) == 100
    with pytest.raises(RunNotFound):
        read.one("no such run", using=USING)


@pytest.mark.seed("TR-24")
def test_the_lines_of_a_bootstrap_are_the_last_ones_in_order() -> None:
    runs = [a_run(), a_run()]
    for run in runs:
        for number in range(7):
            a_line(run, "log", message=f"line {number}")

    found = bootstrap(using=USING, steps=3)
    assert [run.id for run in found.runs] == [runs[1].pk, runs[0].pk]
    for run in found.runs:
        assert [line.message for line in found.lines[run.id]] == ["line 4", "line 5", "line 6"]
    told = found.as_dict()
    assert [line["message"] for line in told["runs"][0]["timeline"]] == ["line 4", "line 5", "line 6"]


@pytest.mark.seed("TR-25")
def test_an_aggregate_counts_all_that_is_meant_whatever_the_page_holds() -> None:
    failed(3)
    a_run(), a_running_run(), a_waiting_run()
    a_run(task_path="shop.tasks.ship")

    found = bootstrap(using=USING, limit=1)
    assert found.aggregate is not None
    assert (len(found.runs), found.aggregate.total) == (1, 7)
    assert {state: number for state, number in found.aggregate.by_state.items() if number} == {
        State.FAILED: 3, State.QUEUED: 2, State.RUNNING: 1, State.WAITING: 1
    }  # fmt: skip
    assert set(found.aggregate.by_state) == set(State)
    assert set(found.aggregate.by_status) == set(RunStatus)
    assert found.aggregate.by_status[RunStatus.FAILED] == 3
    assert found.aggregate.by_task["shop.tasks.ship"] == 1
    assert aggregate(TaskQuery(task_paths=["shop.tasks.ship"]), using=USING).total == 1
    assert bootstrap(using=USING, counts=False).as_dict()["aggregate"] is None


def test_the_states_of_an_aggregate_are_those_of_the_runs() -> None:
    for make in (a_run, a_running_run, a_waiting_run, a_failed_run):
        make()
    tasks.echo.enqueue(1)

    told = aggregate(using=USING).by_state
    for state in State:
        assert told[state] == len(page(TaskQuery(states=[state]), using=USING)), state


def test_every_part_of_a_query_counts_and_an_empty_one_asks_for_nothing() -> None:
    wanted = tasks.echo.using(dedupe_key="a").enqueue(1)
    tasks.echo.using(dedupe_key="b").enqueue(1)
    tasks.elsewhere.enqueue()

    def found(**parts: Any) -> int:
        return len(page(TaskQuery(**parts), using=USING))

    assert [run.id for run in page(TaskQuery(keys={KeyKind.DEDUPE: "a"}), using=USING)] == [wanted.run_id]
    assert found() == found(ids=[], states=[], queue_names=[]) == 3
    assert found(queue_names=["other"]) == 1
    assert found(queue_names=["other"], task_paths=[tasks.echo.module_path]) == 0
    assert found(queue_names=["other", "default"], states=[State.QUEUED, State.FAILED]) == 3


def test_a_bootstrap_costs_the_same_for_one_run_and_for_many() -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            bootstrap(using=USING, steps=5)
        return len(queries)

    a_line(a_run(), "log")
    first = cost()
    for _ in range(49):
        a_line(a_run(), "log")
    assert cost() == first == 3
