"""What a task learns of its run and may do to it, whatever carries it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.store import control
from tests.executors.conftest import House, house  # noqa: F401  the fixture
from tests.faults.harness import run_of, wait_until
from tests.probe import hard
from tests.store import acts

KEYS = {"dedupe_key": "report:rpt_42", "supersede_key": "scan:7"}


@pytest.mark.seed("TR-36")
@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_task_knows_its_run_and_tells_of_it(house: House, executor: str) -> None:  # noqa: F811
    run_id = acts.enqueue(
        hard.introduces_itself, max_attempts=4, metadata={"tenant": "t1"}, channels=["workspace:42"], **KEYS
    )
    house.work_off(executor)

    found: dict[str, Any] = json.loads(run_of(run_id).result or "{}")
    assert found.pop("lease") == []
    assert set(KEYS.values()) <= set(found.pop("keys"))
    assert "workspace:42" in found.pop("channels")
    assert found == {
        "id": str(run_id),
        "kind": "tests.probe.hard.introduces_itself",
        "attempt": 1,
        "max_attempts": 4,
        "metadata": {"tenant": "t1"},
        "cancelled": False,
    }
    row = run_of(run_id)
    assert row.progress_label == "introduced"
    assert Step.objects.filter(run=row, kind="log", message="here I am").count() == 1


@pytest.mark.seed("TR-36", "TR-21")
def test_a_computation_sees_that_it_is_cancelled(house: House) -> None:  # noqa: F811
    house.start("thread", heartbeat_seconds=0.2)
    run_id = acts.enqueue(hard.computes_until_cancelled)
    wait_until(lambda: TaskRun.objects.filter(pk=run_id, status="RUNNING").exists(), "it runs")
    control.cancel(run_id, using="default")
    wait_until(lambda: run_of(run_id).status in FINISHED, "its end")
    # A success that was on its way stays one.
    assert (run_of(run_id).status, run_of(run_id).result) == (RunStatus.SUCCESSFUL, '"stopped by itself"')
