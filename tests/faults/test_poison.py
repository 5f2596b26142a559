"""A run that kills its worker each time ends; its neighbours do not suffer."""

from __future__ import annotations

import json

import pytest

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from tests.faults.harness import Yard, oracle, run_of, wait_end, wait_until
from tests.probe import tasks
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F2")]


def keep_alive(yard: Yard, *arguments: str, until: object) -> None:
    """Start a worker again each time it dies, as a service manager would."""
    worker = yard.start(*arguments)

    def look() -> bool:
        nonlocal worker
        if not worker.is_alive:
            yard.bury(worker)
            worker = yard.start(*arguments)
        return until()  # type: ignore[operator]

    wait_until(look, f"the poison is spent; {yard.story()}", seconds=90)


def test_a_poison_run_fails_and_an_innocent_neighbour_does_not(yard: Yard) -> None:
    poison = acts.enqueue(tasks.poison, priority=5)
    innocent = [acts.enqueue(tasks.add, number, 1) for number in range(4)]
    keep_alive(
        yard, "--concurrency", "1",
        until=lambda: not TaskRun.objects.filter(status__in=["READY", "CLAIMED", "RUNNING"]).exists(),
    )  # fmt: skip

    row = run_of(poison)
    assert (row.status, row.error_code) == (RunStatus.FAILED, "CRASHED")
    assert row.deliveries == row.max_deliveries == 3
    # The first time its start may not have been committed yet, so that it counts as one that never began.
    assert 3 <= yard.times("poison") <= 4
    assert "died 3 time(s)" in json.loads(row.errors)[-1]["message"]
    for run_id in innocent:
        assert run_of(run_id).status == RunStatus.SUCCESSFUL
    oracle([poison, *innocent])


def test_a_neighbour_that_runs_beside_the_poison_survives_it(yard: Yard) -> None:
    """It is hit as often as the poison strikes, but each time it has got further."""
    poison = acts.enqueue(tasks.poison)
    beside = acts.enqueue(tasks.counts, 8)
    keep_alive(
        yard, "--concurrency", "2",
        until=lambda: not TaskRun.objects.filter(status__in=["READY", "CLAIMED", "RUNNING"]).exists(),
    )  # fmt: skip

    assert run_of(poison).status == RunStatus.FAILED
    row = run_of(beside)
    assert row.status in {RunStatus.SUCCESSFUL, RunStatus.FAILED}
    oracle([poison, beside])


def test_a_lost_run_is_marked_running_before_its_body_begins_again(yard: Yard) -> None:
    """Otherwise a run that kills at once would look like one that never began, and come back for ever."""
    run_id = acts.enqueue(tasks.poison)
    TaskRun.objects.filter(pk=run_id).update(crashes=1, deliveries=2)
    worker = yard.start("--concurrency", "1")
    yard.bury(worker)
    assert run_of(run_id).status == RunStatus.RUNNING
    yard.start()
    wait_end(yard, run_id)

    assert run_of(run_id).error_code == "CRASHED"
