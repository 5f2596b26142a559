"""A family of runs is cancelled at any moment between two writes, and nothing that is left contradicts anything else."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable import get_context, task, testing
from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.engine import attempt
from django_tasks_durable.engine.attempt import AttemptControl
from django_tasks_durable.exceptions import RunCancelled
from django_tasks_durable.models import OpenKey, TaskRun, Wait
from django_tasks_durable.primitives.ids import new_worker_id
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, Verdict
from django_tasks_durable.store import children, claims, control, maintenance, vendors
from django_tasks_durable.store.inline import InlineStore
from tests.faults.harness import oracle
from tests.probe import effects
from tests.store import acts

pytestmark = pytest.mark.django_db
# The whole storm takes a minute; any run of it is the same, and another with DURABLE_SEED set.
MOMENTS = 40
FIRST_SEED = int(os.environ.get("DURABLE_SEED", "0"))


@task
def family(context: Any) -> Iterator[Any]:
    """Do a bit of everything that can be under way when a cancellation comes."""
    yield "begun"
    context.step("first", int, 1)
    asking, napping = context.spawn(asks, key="asking"), context.spawn(naps, key="napping")
    context.step("booked", _effect, atomic=True)
    context.progress(50)
    told = context.interrupt("go on?")
    context.sleep("pause", seconds=5)
    return [told, asking.join(), napping.join()]


@task
def asks(context: Any) -> Any:
    """Wait for an answer."""
    context.step("before", int, 2)
    return context.interrupt("child?")


@task
def naps(context: Any) -> int:
    """Sleep for a while."""
    context.sleep("nap", seconds=3)
    return 3


def _effect() -> int:
    context = get_context()
    assert context is not None
    effects.record("booked", context.run_id)
    return 1


class Storm:
    """Runs a family slice by slice, and cancels one of it at a moment of its own choosing."""

    def __init__(self, moment: int, choice: random.Random) -> None:
        self.moment = moment
        self.moments = 0
        self.answer: RunStatus | None = None
        self.victim: UUID | None = None
        self._choice = choice
        self._session = vendors.session("default")
        self.worker_id = new_worker_id("storm")
        acts.register(self._session, self.worker_id)
        self.root = acts.enqueue(family, dedupe_key=f"storm {moment}")

    def passes(self) -> None:
        """Let a moment pass; it may be the one."""
        self.moments += 1
        if self.moments == self.moment:
            self.victim = self._choice.choice(self.members())
            self.answer = control.cancel(self.victim, using="default", reason="storm")

    def members(self) -> list[UUID]:
        """Return the family as far as it has been born."""
        found = TaskRun.objects.filter(parent_id=self.root).order_by("id").values_list("id", flat=True)
        return [self.root, *found]

    def rage(self) -> None:
        """Go on until all have ended, answering every question and letting time pass."""
        for _ in range(20):
            while self._slice():
                pass
            if not TaskRun.objects.filter(pk__in=self.members()).exclude(status__in=FINISHED).exists():
                return
            for wait in Wait.objects.filter(answer=None, run_id__in=self.members(), run__status="WAITING"):
                self.passes()
                if TaskRun.objects.get(pk=wait.run_id).status == RunStatus.WAITING:
                    control.resume(wait.run_id, "yes", using="default", token=wait.token)
            testing.advance(10)
        raise AssertionError(f"it never ends: {list(TaskRun.objects.values_list('task_path', 'status', 'due_at'))}")

    def _slice(self) -> bool:
        self.passes()
        maintenance.wake_overdue(self._session)
        children.tend(self._session)
        wanted = claims.Wanted(worker_id=self.worker_id, task_paths=list(registered()), queues=None)
        with self._session.transaction():
            claimed = claims.claim(self._session, wanted, limit=1)
        self.passes()
        if claimed:
            halt = AttemptControl()
            ending = attempt.execute(claimed[0], _Watched(self, claimed[0], halt), halt)
            if ending is not None:
                ending[1].result()
        return bool(claimed)


class _Watched(InlineStore):
    """A store between whose writes moments pass; like a worker, it stops an attempt whose row says so."""

    def __init__(self, storm: Storm, claimed: ClaimedRun, halt: AttemptControl) -> None:
        super().__init__(claimed, using="default", worker_id=storm.worker_id)
        self._storm, self._halt = storm, halt

    def flush(self) -> Verdict:
        self._storm.passes()
        verdict = super().flush()
        if verdict.cancel_requested:
            self._halt.stop(RunCancelled())
        self._storm.passes()
        return verdict


def moments_of_a_calm_family() -> int:
    """Count the moments when nobody is cancelled."""
    with testing.frozen():
        storm = Storm(0, random.Random(0))
        storm.rage()
    assert TaskRun.objects.get(pk=storm.root).status == RunStatus.SUCCESSFUL
    return storm.moments


def weather(seed: int, moments: int) -> None:
    """Cancel at one random moment, and judge what is left."""
    choice = random.Random(seed)
    with testing.frozen():
        storm = Storm(choice.randrange(1, moments + 1), choice)
        storm.rage()
        storm.passes()
    rows = {row.id: row for row in TaskRun.objects.filter(pk__in=storm.members())}
    oracle(rows)
    said = f"DURABLE_SEED={seed}: {storm.victim} was {storm.answer} at moment {storm.moment}"
    assert storm.victim is not None, said
    cancelled = rows[storm.victim]
    if storm.answer == RunStatus.CANCELLED:
        assert cancelled.status == RunStatus.CANCELLED, said
    if storm.answer not in FINISHED:
        assert cancelled.status in {RunStatus.CANCELLED, RunStatus.SUCCESSFUL}, said
    if cancelled.status == RunStatus.CANCELLED:
        assert cancelled.cancel_reason == "storm", said
        assert cancelled.result is None, said
    # Who waits for a child that was cancelled fails, unless he is cancelled himself; his other child ends with him.
    root = rows[storm.root]
    if storm.victim != storm.root and cancelled.status == RunStatus.CANCELLED:
        assert root.status == RunStatus.FAILED, said
    booked = effects.times("booked", storm.root)
    assert booked == root.checkpoints.filter(path="step:booked").count(), said
    assert not OpenKey.objects.filter(run_id__in=rows, kind="dedupe").exists(), said


@pytest.mark.seed("TR-21")
def test_a_family_cancelled_at_random_moments_is_never_contradictory() -> None:
    moments = moments_of_a_calm_family()
    for seed in range(FIRST_SEED, FIRST_SEED + MOMENTS):
        weather(seed, moments)


# The first forty are on every database.
@pytest.mark.databases("sqlite")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.seed("TR-21")
def test_five_hundred_random_moments() -> None:
    moments = moments_of_a_calm_family()
    for seed in range(FIRST_SEED + MOMENTS, FIRST_SEED + 500):
        weather(seed, moments)
