"""Parents and children on several workers, one of which dies at the worst moments."""

from __future__ import annotations

import signal

import pytest

from django_tasks_durable.models import Checkpoint, Step, TaskRun
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.store import control
from tests.faults.harness import Yard, oracle, wait_end, wait_status, wait_until
from tests.probe import tasks
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F3")]


def family_of(run_id: object) -> list[TaskRun]:
    """The children of a run."""
    return list(TaskRun.objects.filter(parent_id=run_id).order_by("id"))


def test_children_run_on_another_worker_and_their_parent_is_woken_at_once(yard: Yard) -> None:
    yard.start("--queue-name", "default")
    yard.start("--queue-name", "other")
    run_id = acts.enqueue(tasks.listener, 3)
    (row,) = wait_end(yard, run_id)
    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, '"all heard"'), yard.story()
    (child,) = family_of(run_id)
    assert child.lease_worker != row.lease_worker
    oracle([run_id, child.id])
    partials = Step.objects.filter(run=row, kind=StepKind.PARTIAL).order_by("sequence")
    assert list(partials.values_list("data", flat=True)) == ["0", "1", "2"]
    assert [yard.times("heard", partial=number) for number in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    "fault",
    [
        "during_checkpoint:kill:2",
        pytest.param("after_checkpoint:kill:2", marks=pytest.mark.nightly),
        pytest.param("during_outcome:kill:1", marks=pytest.mark.nightly),
        "after_outcome:kill:2",
    ],
)
def test_a_death_between_a_child_and_its_parent_only_delays(yard: Yard, fault: str) -> None:
    run_id = acts.enqueue(tasks.parent, 3)
    victim = yard.start("--concurrency", "1", faults=fault)
    assert victim.wait() == -signal.SIGKILL, victim.output
    yard.bury(victim)
    yard.start("--concurrency", "2")
    yard.start("--concurrency", "2")
    (row,) = wait_end(yard, run_id)
    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, "[1,2,3]"), yard.story()
    children = family_of(run_id)
    assert len(children) == 3, "each child is started once"
    oracle([run_id, *(child.id for child in children)])
    assert Checkpoint.objects.filter(run=row, kind="spawn").count() == 3


def test_a_listener_that_is_killed_hears_each_partial_once(yard: Yard) -> None:
    run_id = acts.enqueue(tasks.listener, 4)
    victim = yard.start("--concurrency", "1", faults="after_checkpoint:kill:7")
    assert victim.wait() == -signal.SIGKILL, victim.output
    yard.bury(victim)
    yard.start("--concurrency", "2")
    (row,) = wait_end(yard, run_id)
    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, '"all heard"'), (row.errors, yard.story())
    partials = Step.objects.filter(run=row, kind=StepKind.PARTIAL).order_by("sequence")
    assert list(partials.values_list("data", flat=True)) == ["0", "1", "2", "3"]
    heard = Checkpoint.objects.filter(run=row, path__startswith="step:heard")
    assert heard.count() == 4


def test_a_parent_that_is_cancelled_while_it_waits_ends_what_it_started(yard: Yard) -> None:
    yard.start()
    run_id = acts.enqueue(tasks.parent_of_the_lost)
    wait_status(yard, run_id, RunStatus.WAITING)
    child = wait_until(lambda: TaskRun.objects.filter(parent_id=run_id, status=RunStatus.WAITING).first(), "it asks")
    control.cancel(run_id, using="default")
    rows = wait_end(yard, run_id, child.id)
    assert {row.status for row in rows} == {RunStatus.CANCELLED}
    oracle([run_id, child.id])


def test_a_cancelled_child_fails_its_parent(yard: Yard) -> None:
    yard.start()
    run_id = acts.enqueue(tasks.parent_of_the_lost)
    child = wait_until(lambda: TaskRun.objects.filter(parent_id=run_id, status=RunStatus.WAITING).first(), "it asks")
    wait_status(yard, run_id, RunStatus.WAITING)
    control.cancel(child.id, using="default")
    (row,) = wait_end(yard, run_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, "CHILD_CANCELLED")


def test_a_batch_worker_leaves_when_the_family_is_through(yard: Yard) -> None:
    run_id = acts.enqueue(tasks.parent, 3)
    worker = yard.start("--batch")
    assert worker.wait() == 0, worker.output
    assert acts.run(run_id).status == RunStatus.SUCCESSFUL, worker.output
