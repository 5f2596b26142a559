"""SIGTERM and SIGINT: no new claim, grace, the rest given back uncounted, exit code 0."""

from __future__ import annotations

import signal
import time

import pytest
from django.db import connection

from django_tasks_durable.models import Worker
from django_tasks_durable.primitives.status import RunStatus
from tests.faults.harness import Yard, oracle, run_of, wait_end, wait_status, wait_until
from tests.probe import tasks
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F8")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_leaves_at_once(yard: Yard, number: signal.Signals) -> None:
    worker = yard.start()
    worker.wait_registered()
    worker.send(number)

    assert worker.wait(5) == 0, worker.output
    row = Worker.objects.get()
    assert row.stopped_at is not None
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)])
def test_what_runs_may_end_within_the_grace(yard: Yard, number: signal.Signals) -> None:
    gate = yard.path("gate")
    run_id = acts.enqueue(tasks.blocks_at_gate, str(gate))
    worker = yard.start()
    yard.wait_deed("at the gate")
    worker.send(number)
    worker.wait_said("no new tasks")
    late = acts.enqueue(tasks.echo, "too late")
    gate.touch()

    assert worker.wait() == 0, worker.output
    assert run_of(run_id).status == RunStatus.SUCCESSFUL
    assert run_of(late).status == RunStatus.READY


@pytest.mark.seed("TR-22")
def test_what_does_not_end_is_given_back_uncounted(yard: Yard) -> None:
    gate = yard.path("gate")
    heeds = acts.enqueue(tasks.waits_at_gate, str(gate))
    deaf = acts.enqueue(tasks.blocks_at_gate, str(gate))
    worker = yard.start("--shutdown-timeout", "1")
    yard.wait_deed("at the gate", 2)
    began = time.monotonic()
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0, worker.output
    assert time.monotonic() - began < 1 + 2 + 3  # grace, two seconds, and a machine that is shared
    for run_id in (heeds, deaf):
        row = run_of(run_id)
        assert (row.status, row.attempts, row.crashes, row.deliveries) == (RunStatus.READY, 0, 0, 0)
        assert acts.kinds(run_id)[-1] == "released"
    gate.touch()
    yard.start()
    wait_end(yard, heeds, deaf)
    oracle([heeds, deaf])


def test_a_second_signal_gives_back_at_once(yard: Yard) -> None:
    gate = yard.path("gate")
    run_id = acts.enqueue(tasks.blocks_at_gate, str(gate))
    worker = yard.start("--shutdown-timeout", "60")
    yard.wait_deed("at the gate")
    worker.send(signal.SIGTERM)
    worker.wait_said("no new tasks")  # two signals of a kind that come together are one
    worker.send(signal.SIGTERM)

    assert worker.wait(10) == 0, worker.output
    row = run_of(run_id)
    assert (row.status, row.attempts, row.deliveries) == (RunStatus.READY, 0, 0)


def test_prefetched_runs_are_given_back(yard: Yard) -> None:
    gate = yard.path("gate")
    running = acts.enqueue(tasks.blocks_at_gate, str(gate))
    waiting = [acts.enqueue(tasks.add, number, 1) for number in range(5)]
    worker = yard.start("--concurrency", "1", "--shutdown-timeout", "1")
    yard.wait_deed("at the gate")
    worker.send(signal.SIGTERM)

    assert worker.wait() == 0, worker.output
    for run_id in (running, *waiting):
        row = run_of(run_id)
        assert (row.status, row.attempts, row.crashes) == (RunStatus.READY, 0, 0)


def test_a_signal_while_it_waits_for_the_database_ends_it(yard: Yard) -> None:
    if connection.vendor == "sqlite":
        address = f"sqlite:///{yard.path('no-such-folder')}/db.sqlite3"
    else:
        address = "postgresql://postgres@127.0.0.1:1/nowhere"
    worker = yard.start(DATABASE_URL=address)
    worker.wait_said("does not answer")
    worker.send(signal.SIGTERM)

    assert worker.wait(10) == 0, worker.output
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("moment", range(3))
def test_a_signal_during_startup_is_not_lost(yard: Yard, moment: int) -> None:
    """From the first line that it says on, whatever it is about to do."""
    run_id = acts.enqueue(tasks.echo, moment)
    worker = yard.start(cold=moment == 0)
    worker.wait_said("serves")
    for _ in range(moment * 50_000):
        pass  # a different moment each time, without a clock
    worker.send(signal.SIGTERM)

    assert worker.wait(10) == 0, worker.output
    row = run_of(run_id)
    assert row.status in {RunStatus.READY, RunStatus.SUCCESSFUL}
    assert (row.attempts, row.crashes) == (0, 0)
    assert not Worker.objects.filter(dead_at=None).exists()


def test_an_async_task_is_told_to_stop(yard: Yard) -> None:
    run_id = acts.enqueue(tasks.asleep_on_the_loop)
    worker = yard.start("--shutdown-timeout", "0.5")
    wait_status(yard, run_id, RunStatus.RUNNING)
    worker.send(signal.SIGTERM)

    assert worker.wait(10) == 0, worker.output
    row = run_of(run_id)
    assert (row.status, row.attempts, row.deliveries) == (RunStatus.READY, 0, 0)


def test_a_supervisor_passes_the_signal_on_and_ends_with_its_workers(yard: Yard) -> None:
    supervisor = yard.start("--processes", "2")
    wait_until(lambda: Worker.objects.filter(dead_at=None).count() == 2, f"two workers register; {yard.story()}")
    supervisor.send(signal.SIGTERM)

    assert supervisor.wait(15) == 0, supervisor.output
    assert not Worker.objects.filter(dead_at=None).exists()


def test_a_supervisor_replaces_a_worker_that_dies(yard: Yard) -> None:
    import os

    supervisor = yard.start("--processes", "2")
    wait_until(lambda: Worker.objects.filter(dead_at=None).count() == 2, f"two workers register; {yard.story()}")
    victim = Worker.objects.filter(dead_at=None)[0]
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(
        lambda: Worker.objects.filter(dead_at=None).exclude(pid=victim.pid).count() == 2,
        f"another takes its place; {yard.story()}",
    )
    supervisor.send(signal.SIGTERM)
    supervisor.wait(15)
