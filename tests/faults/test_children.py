"""Workers that die while their children run."""

from __future__ import annotations

import signal

import pytest

from django_tasks_durable.primitives.status import RunStatus
from tests.executors.test_children import is_gone
from tests.faults.harness import Yard, oracle, run_of, wait_end, wait_until
from tests.probe import journal, tasks
from tests.store import acts

pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F9")]
CHILDREN = {"child_environment": ["DATABASE_URL", "PROBE_*", "TEST_OPTIONS"]}


@pytest.mark.seed("TR-35")
def test_children_and_what_they_started_end_with_a_killed_worker(yard: Yard) -> None:
    run_id = acts.enqueue(tasks.starts_a_process)
    worker = yard.start("--executor", "process", "--process-concurrency", "1", options=CHILDREN)
    yard.wait_deed("offspring")
    (found,) = [deed for deed in journal.deeds(yard.journal) if deed["deed"] == "offspring"]
    worker.send(signal.SIGKILL)

    wait_until(lambda: is_gone(found["pid"]), "the child is gone", seconds=10)
    wait_until(lambda: is_gone(found["child"]), "what it has started is gone", seconds=10)
    yard.path("gate").touch()
    yard.start("--executor", "process", "--process-concurrency", "1", options=CHILDREN)
    wait_end(yard, run_id)
    assert run_of(run_id).status == RunStatus.SUCCESSFUL
    oracle([run_id])
