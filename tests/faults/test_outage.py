"""PostgreSQL goes away under load: the workers stay, nothing is lost, nothing is done twice."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import UUID

import pytest
from django.db import DatabaseError, connections

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from tests import embedded_postgres
from tests.faults.harness import Yard, oracle, wait_end, wait_until
from tests.probe import journal, tasks
from tests.probe.models import Effect
from tests.store import acts

pytestmark = pytest.mark.databases("postgresql")


@pytest.fixture
def yard(own_yard: Yard) -> Yard:
    """Start workers on a server that may be stopped."""
    return own_yard


class Producer(threading.Thread):
    """Enqueues as long as it may, and keeps the ids that the database has acknowledged."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.accepted: list[UUID] = []
        self.refused = 0
        self.enough = threading.Event()

    def run(self) -> None:
        """Enqueue until told that it is enough."""
        while not self.enough.wait(0.01):
            try:
                self.accepted.append(acts.enqueue(tasks.counts, 5))
            except DatabaseError:
                self.refused += 1
                connections["default"].close()
        connections.close_all()


@pytest.mark.fault("F10")
def test_nothing_is_lost_and_nothing_done_twice_when_the_server_crashes_under_load(
    yard: Yard, server: embedded_postgres.Server
) -> None:
    # The lease outlives the outage here: a worker that cannot renew in time stops its own work, which is another test.
    workers = [yard.start("--concurrency", "3", options={"lease_seconds": 30}) for _ in range(2)]
    for worker in workers:
        worker.wait_registered()
    producer = Producer()
    producer.start()
    for _ in range(3):
        so_far = len(producer.accepted)
        wait_until(lambda so_far=so_far: len(producer.accepted) >= so_far + 25, "the producer goes on")
        server.stop("immediate")
        server.start()
        connections["default"].close()
    so_far = len(producer.accepted)
    wait_until(lambda: len(producer.accepted) >= so_far + 10, "the producer goes on")
    producer.enough.set()
    producer.join()
    # A commit whose answer was lost with the server may have been made: there may be runs of which the producer cannot know.
    there = set(TaskRun.objects.values_list("id", flat=True))
    assert there >= set(producer.accepted), "an enqueue that was acknowledged is gone"
    assert len(there) <= len(producer.accepted) + producer.refused
    rows = wait_end(yard, *there)

    assert [worker.is_alive for worker in workers] == [True, True], yard.story()
    assert producer.refused > 0
    assert Counter(row.status for row in rows) == {RunStatus.SUCCESSFUL: len(rows)}, [
        row.errors for row in rows if row.status != RunStatus.SUCCESSFUL
    ][:2]
    kept = Counter(Effect.objects.values_list("run_id", "name"))
    assert set(kept.values()) == {1}
    assert len(kept) == 2 * len(rows)
    done = Counter((deed["run"], deed["number"]) for deed in journal.deeds(yard.journal) if deed["deed"] == "plain")
    assert set(done.values()) == {1}
    oracle(there)
    for worker in workers:
        assert "does not answer" in worker.output
        assert "Traceback" not in worker.output, worker.output


@pytest.mark.fault("F10")
def test_a_worker_that_could_not_renew_in_time_goes_on_as_a_new_one(
    yard: Yard, server: embedded_postgres.Server
) -> None:
    gate = yard.path("gate")
    run_id = acts.enqueue(tasks.blocks_at_gate, str(gate))
    worker = yard.start("--concurrency", "2")
    yard.wait_deed("at the gate")
    server.stop("immediate")
    worker.wait_said("stops its own work")
    server.start()
    connections["default"].close()
    gate.touch()
    other = acts.enqueue(tasks.echo, "after")
    rows = wait_end(yard, run_id, other)

    assert [row.status for row in rows] == [RunStatus.SUCCESSFUL] * 2
    assert worker.is_alive
    oracle([run_id, other])


@pytest.mark.fault("F10")
def test_a_worker_started_while_the_database_is_down_waits_and_says_so(
    yard: Yard, server: embedded_postgres.Server
) -> None:
    run_id = acts.enqueue(tasks.add, 1, 2)
    connections["default"].close()
    server.stop()
    worker = yard.start()
    worker.wait_said("does not answer")
    server.start()
    (row,) = wait_end(yard, run_id)

    assert row.status == RunStatus.SUCCESSFUL
    assert "Traceback" not in worker.output
    oracle([run_id])
