"""Workers die with places that others wait for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import connections

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import FINISHED, LEASED, RunStatus
from tests.faults.harness import Yard, oracle, run_of, wait_end, wait_until
from tests.probe import tasks
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F29")]
LIMIT = 3


class Watch(threading.Thread):
    """Counts without a pause how many runs of a key are leased, by the rows."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self.looks = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self.over.wait(0.02):
            self.most = max(self.most, TaskRun.objects.filter(concurrency_key="k", status__in=LEASED).count())
            self.looks += 1
        connections.close_all()


@pytest.fixture
def watch(yard: Yard) -> Iterator[Watch]:
    """Watch the key from the beginning to the end."""
    watch = Watch()
    watch.start()
    yield watch
    watch.over.set()
    watch.join(10)
    assert watch.looks > 10
    assert watch.most <= LIMIT


def limited(task: object, *arguments: object, count: int) -> list[UUID]:
    """Enqueue runs of the key that is watched."""
    return [acts.enqueue(task, *arguments, concurrency_key="k", concurrency_limit=LIMIT) for _ in range(count)]


def held() -> int:
    """How many are running."""
    return TaskRun.objects.filter(concurrency_key="k", status=RunStatus.RUNNING).count()


@pytest.mark.seed("TR-8", "TR-10")
def test_the_places_of_a_killed_worker_are_taken_by_others_and_no_more(yard: Yard, watch: Watch) -> None:
    gate = yard.path("gate")
    runs = limited(tasks.blocks_at_gate, str(gate), count=2 * LIMIT)
    first = yard.start("--concurrency", "4")
    wait_until(lambda: held() == LIMIT, f"all places are taken; {yard.story()}")
    yard.start("--concurrency", "4")
    yard.workers[1].wait_registered()
    first.send(signal.SIGKILL)
    first.wait()
    gate_of_others = [run.id for run in TaskRun.objects.filter(concurrency_key="k", status=RunStatus.RUNNING)]
    assert len(gate_of_others) == LIMIT
    wait_until(
        lambda: (
            held() == LIMIT and not TaskRun.objects.filter(status__in=LEASED, lease_worker__startswith="w1").exists()
        ),
        f"the places are taken again; {yard.story()}",
    )
    gate.touch()
    wait_end(yard, *runs)
    oracle(runs)


def test_a_storm_of_kills_neither_exceeds_a_limit_nor_loses_a_place(yard: Yard, watch: Watch) -> None:
    runs = limited(tasks.naps, 0.01, count=60)
    for _ in range(3):
        yard.start("--concurrency", "3")
    for number in range(4):
        wait_until(lambda: held() or not open_runs(runs), f"something runs; {yard.story()}")
        victim = yard.workers[number]
        victim.send(signal.SIGKILL)
        yard.bury(victim)
        yard.start("--concurrency", "3")
    wait_end(yard, *runs)
    assert {run_of(run_id).status for run_id in runs} == {RunStatus.SUCCESSFUL}
    oracle(runs)


def open_runs(runs: list[UUID]) -> int:
    """How many are not over."""
    return TaskRun.objects.filter(pk__in=runs).exclude(status__in=FINISHED).count()


@pytest.mark.parametrize("point", ["after_claim", "during_outcome", "after_outcome"])
def test_a_worker_that_dies_between_a_claim_and_its_end_leaks_no_place(yard: Yard, watch: Watch, point: str) -> None:
    runs = limited(tasks.add, 1, 2, count=5)
    doomed = yard.start("--concurrency", "4", faults=f"{point}:kill")
    yard.bury(doomed)
    yard.start("--concurrency", "4")
    wait_end(yard, *runs)
    oracle(runs)
