"""A worker that was thought dead and comes back: it can compute, but never write, and it goes on serving others."""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from django_tasks_durable.models import Checkpoint, Step, TaskRun, Worker
from django_tasks_durable.primitives.status import RunStatus
from tests.faults.harness import (
    RunningWorker,
    Yard,
    holds_the_write_lock,
    oracle,
    run_of,
    wait_end,
    wait_status,
    wait_until,
)
from tests.probe import effects, tasks
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F15")]

POINTS = ["after_claim", "before_body", "after_effect", "after_checkpoint", "before_outcome"]
# The others repeat what these show.
EACH_PUSH = {
    ("after_claim", "plain"),
    ("after_effect", "plain"),
    ("after_checkpoint", "atomic"),
    ("before_outcome", "plain"),
}
CASES = [
    pytest.param(point, kind, marks=() if (point, kind) in EACH_PUSH else pytest.mark.nightly)
    for point in POINTS
    for kind in ("plain", "atomic")
]


@pytest.mark.seed("TR-12")
def test_nothing_that_a_zombie_writes_is_taken(yard: Yard) -> None:
    gate = yard.path("gate")
    run_id = acts.enqueue(tasks.writes_everything, str(gate))
    zombie = yard.start("--concurrency", "2")
    yard.wait_deed("at the gate")
    zombie.stop()
    heir = yard.start("--concurrency", "2")
    wait_until(lambda: yard.times("at the gate") == 2, "the heir takes over")
    taken = run_of(run_id)
    assert taken.lease_worker.startswith(heir.name)
    before = acts.everything()
    gate.touch()
    wait_end(yard, run_id)
    finished = acts.everything()
    assert before != finished

    zombie.send(signal.SIGCONT)
    # It has noticed when it is a new worker in the table, and it serves again.
    again = acts.enqueue(tasks.echo, "still there")
    heir.send(signal.SIGTERM)
    assert heir.wait() == 0
    wait_end(yard, again)
    more = [acts.enqueue(tasks.echo, number) for number in range(5)]
    wait_end(yard, *more)

    assert run_of(more[-1]).lease_worker.startswith(zombie.name)
    assert _history(run_id) == _rows(finished, run_id)
    assert effects.times("atomic", run_id) == 1
    assert Checkpoint.objects.get(run_id=run_id, path__contains="gate").value == str(heir.pid)
    wait_until(lambda: yard.times("through the gate", pid=zombie.pid), "the zombie's body went on")
    zombie.wait_said(f"run {run_id}: another worker has taken it over")
    oracle([run_id, again, *more])


def _rows(tables: dict[str, list[dict[str, object]]], run_id: object) -> list[object]:
    return [
        [row for row in tables["TaskRun"] if row["id"] == run_id],
        [row for row in tables["Step"] if row["run_id"] == run_id],
        [row for row in tables["Checkpoint"] if row["run_id"] == run_id],
    ]


def _history(run_id: object) -> list[object]:
    return _rows(acts.everything(), run_id)


def _stopped(yard: Yard, task: Any, faults: str) -> tuple[RunningWorker, UUID]:
    """Have a worker stop at a crash point of one run.

    Its other threads stop wherever they are. On SQLite that may be within a commit, with the one write lock: such a trial
    shows nothing, since nobody can take over before it goes on, and is made again.
    """
    while True:
        run_id = acts.enqueue(task, 7)
        zombie = yard.start("--concurrency", "1", faults=faults)
        zombie.wait_stopped()
        if not holds_the_write_lock():
            return zombie, run_id
        zombie.send(signal.SIGKILL)
        zombie.wait()
        for model in (Step, Checkpoint):
            model.objects.filter(run_id=run_id).delete()
        TaskRun.objects.filter(pk=run_id).delete()


@pytest.mark.slow
@pytest.mark.parametrize(("point", "kind"), CASES)
def test_a_worker_that_stands_still_at_any_point_writes_nothing_when_it_goes_on(
    yard: Yard, point: str, kind: str
) -> None:
    if connection.vendor == "sqlite" and (point, kind) == ("after_effect", "atomic"):
        pytest.skip("on SQLite it stands still with the one write lock in its hands, and nobody can take over")
    task = tasks.three_steps if kind == "plain" else tasks.atomic_steps
    zombie, run_id = _stopped(yard, task, f"{point}:stop:1")
    heir = yard.start("--concurrency", "1")
    (row,) = wait_end(yard, run_id)
    assert row.status == RunStatus.SUCCESSFUL
    settled = _history(run_id)
    heir.send(signal.SIGTERM)
    assert heir.wait() == 0

    zombie.send(signal.SIGCONT)
    after = acts.enqueue(tasks.echo, "next")
    wait_end(yard, after)

    assert run_of(after).lease_worker.startswith(zombie.name)
    assert _history(run_id) == settled
    if kind == "atomic":
        assert all(effects.times(name, run_id) == 1 for name in ("first", "second", "third"))
    oracle([run_id, after])
    names = Worker.objects.filter(pid=zombie.pid)
    assert names.filter(dead_at__isnull=False).count() >= 1
    assert names.filter(dead_at__isnull=True).count() == 1


def test_a_zombie_does_not_shrink(yard: Yard) -> None:
    """What it had prefetched and lost must not take up room for ever."""
    gate = yard.path("gate")
    blocked = [acts.enqueue(tasks.waits_at_gate, str(gate)) for _ in range(2)]
    behind = [acts.enqueue(tasks.echo, number) for number in range(8)]
    zombie = yard.start("--concurrency", "2", options={"prefetch": 6})
    yard.wait_deed("at the gate", 2)
    zombie.stop()
    heir = yard.start("--concurrency", "4")
    wait_until(lambda: yard.times("at the gate") >= 4, "the heir takes over")
    gate.touch()
    wait_end(yard, *blocked, *behind)
    heir.send(signal.SIGTERM)
    heir.wait()
    gate.unlink()
    zombie.send(signal.SIGCONT)
    wait_until(lambda: Worker.objects.filter(pid=zombie.pid, dead_at=None).exists(), "it enters itself anew")

    # Two slots, so two at the gate at once.
    final = [acts.enqueue(tasks.waits_at_gate, str(gate)) for _ in range(2)]
    for run_id in final:
        wait_status(yard, run_id, RunStatus.RUNNING)
    gate.touch()
    wait_end(yard, *final)
    oracle([*blocked, *behind, *final])


def test_no_event_of_a_zombie_is_told(yard: Yard) -> None:
    """Lines are events: after the takeover there is none of the old attempt."""
    zombie, run_id = _stopped(yard, tasks.three_steps, "after_effect:stop:2")
    yard.start()
    wait_end(yard, run_id)
    count = Step.objects.filter(run_id=run_id).count()
    version = TaskRun.objects.get(pk=run_id).version
    zombie.send(signal.SIGCONT)
    wait_until(lambda: "counts as dead" in zombie.output, "the zombie learns of its death")
    after = [acts.enqueue(tasks.echo, number) for number in range(3)]
    wait_end(yard, *after)

    assert Step.objects.filter(run_id=run_id).count() == count
    assert TaskRun.objects.get(pk=run_id).version == version
