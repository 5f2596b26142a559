"""Schedulers that are killed between any two statements of a tick: one run for each tick all the same."""

from __future__ import annotations

import signal
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.primitives.faults import TICK_POINTS
from django_tasks_durable.primitives.policies import TickOutcome
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import vendors
from tests.faults.harness import Yard, wait_until
from tests.probe import tasks
from tests.probe.journal import deeds
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F30")]

# A schedule that a kill left in the middle of a tick must be free as soon as the connection is gone.
PATIENCE = 10
# Before, within and after the tick's transaction; the others repeat the one within.
EACH_PUSH = {"tick_locked", "tick_enqueued", "tick_committed"}


def every_second(**columns: Any) -> Schedule:
    """Write a schedule of a second whose first tick is due."""
    now = vendors.session("default").now_at().replace(microsecond=0)
    values = {"name": "second", "task_path": tasks.echo.module_path, "interval_seconds": 1, "next_at": now, **columns}
    return Schedule.objects.create(**values)


def judge() -> list[Tick]:
    """Say that each tick from the first to the last was decided once, and has one run that knows it."""
    entered = list(Tick.objects.order_by("tick"))
    assert all(later.tick - tick.tick == timedelta(seconds=1) for tick, later in pairwise(entered)), "a tick is missing"
    assert {tick.outcome for tick in entered} == {TickOutcome.ENQUEUED}
    run_ids = [tick.run_id for tick in entered]
    assert sorted(run_ids) == sorted(TaskRun.objects.values_list("pk", flat=True)), "a run without a tick, or twice"
    for tick in entered:
        assert read.one(tick.run_id, using="default").tick == tick.tick
    return entered


def stop(yard: Yard) -> None:
    """Ask all workers to leave, and wait for them."""
    for worker in yard.workers:
        if worker.is_alive:
            worker.send(signal.SIGTERM)
    for worker in yard.workers:
        worker.wait()


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point in EACH_PUSH else pytest.mark.nightly) for point in sorted(TICK_POINTS)],
)
def test_a_scheduler_killed_at_any_point_of_a_tick_loses_and_doubles_none(yard: Yard, point: str) -> None:
    every_second()
    victim = yard.start(faults=f"{point}:kill:2")
    assert victim.wait() == -signal.SIGKILL, victim.output
    left = Tick.objects.count()
    assert left == (2 if point == "tick_committed" else 1)

    yard.start()
    wait_until(lambda: Tick.objects.count() >= left + 2, f"the ticks go on; {yard.story()}", seconds=PATIENCE * 2)
    stop(yard)
    judge()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=[pytest.mark.nightly, pytest.mark.timeout(600)])])
def test_four_schedulers_that_are_killed_again_and_again_with_nothing_kept_of_the_runs(yard: Yard, kills: int) -> None:
    """Each tick is run once, by its own deed: the rows of the runs are deleted as they end."""
    row = every_second(task_path=tasks.tells_its_tick.module_path)
    for _ in range(4):
        yard.start("--worker-id", "same-name")
    for _ in range(kills):
        yard.wait_deed("ticked", yard.times("ticked") + 1)
        TaskRun.objects.filter(finished_at__isnull=False).delete()
        doomed = next(worker for worker in yard.workers if worker.is_alive)
        doomed.send(signal.SIGKILL)
        yard.start("--worker-id", "same-name")
    Schedule.objects.filter(pk=row.pk).update(paused=True)
    wait_until(lambda: not TaskRun.objects.filter(finished_at=None).exists(), f"all ends; {yard.story()}")
    stop(yard)

    ticks = [tick.tick.isoformat() for tick in Tick.objects.order_by("tick")]
    told = [done["tick"] for done in deeds(yard.journal) if done["deed"] == "ticked"]
    assert sorted(set(told)) == ticks
    enqueued = [done["run"] for done in deeds(yard.journal) if done["deed"] == "ticked"]
    assert len(set(enqueued)) == len(ticks), "two runs of one tick"


def test_a_schedule_of_the_code_is_kept_by_workers_that_have_it_and_left_by_the_others(yard: Yard) -> None:
    yard.start("--no-scheduler", cold=True, PROBE_SCHEDULE="1").wait_registered()
    yard.start(cold=True, PROBE_SCHEDULE="1")
    wait_until(lambda: TaskRun.objects.filter(status="SUCCESSFUL").count() >= 3, f"it ticks; {yard.story()}")
    row = Schedule.objects.get()
    assert (row.name, row.source, row.vanished_at) == ("ticking", "code", None)
    for run in TaskRun.objects.all():
        lag = run.enqueued_at - read.one(run.pk, using="default").tick
        assert lag < timedelta(seconds=5)
    stop(yard)
    judge()

    yard.start()
    wait_until(lambda: Schedule.objects.get().vanished_at, "the old code marks what it does not know")
    before = Tick.objects.count()
    stop(yard)
    assert Tick.objects.count() == before


def test_a_worker_without_a_scheduler_leaves_schedules_alone(yard: Yard) -> None:
    every_second()
    yard.start("--no-scheduler", "--batch").wait()
    worker = yard.start("--no-scheduler")
    run_id = acts.enqueue(tasks.echo, 1)
    wait_until(lambda: acts.run(run_id).finished_at, "it works all the same")
    worker.send(signal.SIGTERM)
    worker.wait()
    assert not Tick.objects.exists()
