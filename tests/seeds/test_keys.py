"""What a durable task host did with an enqueue, shown with runs in a database."""

from __future__ import annotations

from typing import Any

import pytest

from django_tasks_durable.compat import signals
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.keys import Disposition
from django_tasks_durable.primitives.status import State
from django_tasks_durable.store import vendors
from tests.probe import tasks as probe
from tests.store import acts

from . import tasks

pytestmark = pytest.mark.django_db


@pytest.mark.seed("TR-4")
def test_an_enqueue_is_told_also_when_it_found_a_run() -> None:
    told: list[Any] = []

    def listen(task_result: Any, **_: Any) -> None:
        told.append((task_result.id, task_result.disposition))

    signals().task_enqueued.connect(listen)
    try:
        run_id = probe.echo.using(dedupe_key="a").enqueue(1).id
        probe.echo.using(dedupe_key="a").enqueue(2)
    finally:
        signals().task_enqueued.disconnect(listen)

    assert told == [(run_id, Disposition.CREATED), (run_id, Disposition.REUSED)]


@pytest.mark.seed("TR-4")
def test_a_task_that_no_worker_here_knows_is_enqueued_and_waits_for_one_that_does() -> None:
    session = vendors.session("default")
    acts.register(session)
    result = tasks.has_own_limit.using(run_id="order-7", max_attempts=2).enqueue()

    assert acts.claim(session) == []
    result.refresh()
    assert result.state is State.QUEUED
    assert TaskRun.objects.get().max_attempts == 2
    assert tasks.has_own_limit.get_backend().get_result("order-7").id == result.id
    paths = [tasks.has_own_limit.module_path]
    assert [str(claimed.run_id) for claimed in acts.claim(session, task_paths=paths)] == [result.id]
