"""Middleware in a worker's process."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from django.utils import translation

from django_tasks_durable.primitives.status import RunStatus
from tests.engine.test_middleware import LANGUAGE, around
from tests.faults.harness import Yard, wait_end
from tests.probe import tasks

pytestmark = pytest.mark.databases("sqlite", "postgresql", "mysql")

CHOOSY = "tests.engine.wrappers.choosy"


def test_a_worker_works_in_the_language_of_each_run_and_outlives_a_middleware_that_raises(yard: Yard) -> None:
    with around(LANGUAGE, CHOOSY):
        refused = [task.using(metadata={"refuse": True}).enqueue() for task in (tasks.speaks, tasks.aspeaks)]
        with translation.override("fr"):
            french = [task.enqueue() for task in (tasks.speaks, tasks.aspeaks)]
        with translation.override("de"):
            german = [task.enqueue() for task in (tasks.speaks, tasks.aspeaks)]
    worker = yard.start("--concurrency", "1", options={"middleware": [LANGUAGE, CHOOSY]})
    ended = wait_end(yard, *(UUID(result.id) for result in (*refused, *french, *german)))
    assert [run.status for run in ended[:2]] == [RunStatus.FAILED] * 2
    assert [json.loads(str(run.result)) for run in ended[2:]] == ["fr", "fr", "de", "de"]
    assert worker.is_alive


@pytest.mark.parametrize("arguments", [(), ("--skip-checks",)])
def test_a_worker_does_not_start_with_a_middleware_that_cannot_be_imported(
    yard: Yard, arguments: tuple[str, ...]
) -> None:
    worker = yard.start(*arguments, options={"middleware": ["no.such.middleware"]})
    assert worker.wait() == 1
    assert "The middleware 'no.such.middleware' cannot be imported" in worker.output
