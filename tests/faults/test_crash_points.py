"""SIGKILL at every crash point, in a plain and in an atomic step: the run ends as if nothing had happened."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from django_tasks_durable.models import Checkpoint, Step
from django_tasks_durable.primitives.faults import POINTS
from django_tasks_durable.primitives.status import RunStatus, StepKind
from tests.faults.harness import LEASE_SECONDS, SWEEP_SECONDS, Yard, oracle, undisturbed_result, wait_end
from tests.probe import effects, tasks
from tests.probe.journal import deeds
from tests.store import acts

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mysql")

STEPS = ("first", "second", "third")
# Where an effect may have been done although its checkpoint was not kept.
DOUBTFUL = {"after_effect", "before_checkpoint", "during_checkpoint"}
# The points that each step passes are hit in the middle of the run, the others where they come.
PASSAGE = {point: 2 if "checkpoint" in point or point == "after_effect" else 1 for point in POINTS}
# The others repeat what these show.
EACH_PUSH = {("plain", point) for point in POINTS} | {
    ("atomic", point) for point in ("after_effect", "before_checkpoint", "during_checkpoint", "after_checkpoint")
}
FAULT = {
    "after_claim": "F1", "before_body": "F2", "after_effect": "F3", "before_checkpoint": "F3", "during_checkpoint": "F3",
    "after_checkpoint": "F4", "before_outcome": "F5", "during_outcome": "F6", "after_outcome": "F6",
}  # fmt: skip
CASES = [
    pytest.param(
        point,
        kind,
        marks=[pytest.mark.fault(FAULT[point]), *([] if (kind, point) in EACH_PUSH else [pytest.mark.nightly])],
    )
    for kind in ("plain", "atomic")
    for point in sorted(POINTS)
]
# Here the lease ends by itself; elsewhere it is cut short.
WAITED_FOR = "before_body"
# What a worker may take after the lease to start, look, claim and run, on a machine that many share.
SLACK_SECONDS = 20.0


@pytest.mark.parametrize(("point", "kind"), CASES)
def test_a_worker_killed_at_any_point_costs_nothing_but_time(yard: Yard, point: str, kind: str) -> None:
    task: Any = tasks.three_steps if kind == "plain" else tasks.atomic_steps
    expected = undisturbed_result(task, 7)
    run_id = acts.enqueue(task, 7)
    victim = yard.start("--concurrency", "1", faults=f"{point}:kill:{PASSAGE[point]}")
    assert victim.wait() == -signal.SIGKILL, victim.output
    if point != WAITED_FOR:
        yard.bury(victim)
    # Its own lease is long: one that a busy machine lets go would make another step be entered again.
    yard.start("--concurrency", "1", options={"lease_seconds": 30})
    (row,) = wait_end(yard, run_id)

    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, expected), yard.story()
    oracle([run_id])
    assert set(Checkpoint.objects.filter(run=row).values_list("failed", flat=True)) == {False}
    assert Checkpoint.objects.filter(run=row).count() == len(STEPS)
    _judge_effects(yard, row.id, point, kind)
    if point == WAITED_FOR:
        _judge_recovery(row.id)


def _judge_effects(yard: Yard, run_id: Any, point: str, kind: str) -> None:
    outside = [yard.times(name) for name in STEPS]
    assert min(outside) >= 1
    # One kill can make one step be entered again, and only where its checkpoint was not yet kept.
    assert sum(outside) <= len(STEPS) + (point in DOUBTFUL), f"the steps were entered {outside} times"
    if kind == "plain":
        # What a step gives to others to know it by is the same each time.
        known = {(deed["deed"], deed["key"]) for deed in deeds(yard.journal) if "key" in deed}
        assert len(known) == len(STEPS)
    if kind == "atomic":
        assert [effects.times(name, run_id) for name in STEPS] == [1, 1, 1]


def _judge_recovery(run_id: Any) -> None:
    """The rows tell how long it took: from the last sign of the dead worker to the sweep."""
    stale = Step.objects.get(run_id=run_id, kind=StepKind.STALE)
    before = Step.objects.filter(run_id=run_id, sequence__lt=stale.sequence).order_by("-sequence")[0]
    took = (stale.created_at - before.created_at).total_seconds()
    assert took <= LEASE_SECONDS + SWEEP_SECONDS + SLACK_SECONDS


def test_a_crash_point_that_is_not_asked_for_does_nothing(yard: Yard) -> None:
    run_id = acts.enqueue(tasks.three_steps, 1)
    worker = yard.start("--batch", cold=True)

    assert worker.wait() == 0, worker.output
    oracle([run_id])
    assert [yard.times(name) for name in STEPS] == [1, 1, 1]
