"""Workers die at random while they share the work: every run ends well, every atomic row is there once."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import intake
from tests.faults.harness import Yard, oracle, wait_end, wait_until
from tests.probe import journal, tasks
from tests.probe.models import Effect

pytestmark = [pytest.mark.slow, pytest.mark.databases("sqlite", "postgresql", "mysql")]
RUNS = 60
ROUNDS = 6
KILLS = 4


def ended() -> int:
    """Count the runs that are over."""
    return TaskRun.objects.filter(status__in=["SUCCESSFUL", "FAILED", "CANCELLED"]).count()


@pytest.mark.fault("F7")
def test_random_kills_cost_nothing_but_time(yard: Yard) -> None:
    chance = random.Random(20260921)
    calls = [((ROUNDS,), {}) for _ in range(RUNS)]
    accepted = intake.enqueue_many(tasks.counts, calls, using="default", backend_alias="default")
    alive = [yard.start("--concurrency", "2") for _ in range(3)]
    for kill in range(1, KILLS + 1):
        wait_until(lambda kill=kill: ended() >= kill * RUNS // (KILLS + 2), f"the work goes on; {yard.story()}")
        victim = alive.pop(chance.randrange(len(alive)))
        victim.send(signal.SIGKILL)
        yard.bury(victim)
        alive.append(yard.start("--concurrency", "2"))
    rows = wait_end(yard, *accepted)

    assert Counter(row.status for row in rows) == {RunStatus.SUCCESSFUL: RUNS}
    assert {row.result for row in rows} == {str(list(range(ROUNDS))).replace(" ", "")}
    kept = Counter(Effect.objects.values_list("run_id", "name"))
    assert set(kept.values()) == {1}
    assert len(kept) == RUNS * (ROUNDS // 2)
    done = Counter((deed["run"], deed["number"]) for deed in journal.deeds(yard.journal) if deed["deed"] == "plain")
    assert len(done) == RUNS * (ROUNDS // 2)
    # A kill can hit one step of each run that the worker had in its hands, of which there were at most two.
    assert sum(done.values()) - len(done) <= KILLS * 2
    oracle(accepted)


@pytest.mark.fault("F19")
def test_several_processes_on_one_database_do_each_run_once(yard: Yard) -> None:
    """No lock error surfaces, whatever the project's options are (fault F19)."""
    workers = [yard.start("--concurrency", "2") for _ in range(3)]
    for worker in workers:
        worker.wait_registered()
    calls = [((number, 1), {}) for number in range(300)]
    accepted = intake.enqueue_many(tasks.add, calls, using="default", backend_alias="default")
    wait_end(yard, *accepted)

    assert set(Counter(deed["a"] for deed in journal.deeds(yard.journal)).values()) == {1}
    assert set(TaskRun.objects.values_list("crashes", "attempts", "status")) == {(0, 0, RunStatus.SUCCESSFUL)}
    for worker in workers:
        assert "locked" not in worker.output
        assert "Traceback" not in worker.output
    oracle(accepted)
