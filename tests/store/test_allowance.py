"""A run that has written as much as it may: what becomes of it in a database."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from django_tasks_durable import task, testing
from django_tasks_durable.models import Checkpoint
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import control
from tests.store import acts

BACKEND = "django_tasks_durable.DurableBackend"
called: list[int] = []
pytestmark = pytest.mark.django_db


def _deed(number: int) -> int:
    called.append(number)
    return number


@task(max_attempts=3, backoff=lambda *_: 0)
def loops(context: Any) -> int:
    """Do five steps."""
    return sum(context.step(f"deed {each}", _deed, each) for each in range(5))


def test_a_run_that_wrote_too_much_keeps_what_it_did_and_goes_on_once_it_may() -> None:
    called.clear()
    run_id = acts.enqueue(loops)
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": {"max_run_steps": 4}}}):
        testing.drain()
    row = acts.run(run_id)
    assert (row.status, row.error_code) == (RunStatus.FAILED, "RUN_TOO_LONG")
    assert Checkpoint.objects.filter(run=run_id).count() == 4
    assert called == [0, 1, 2, 3]

    control.retry(run_id, using="default")
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": {"max_run_steps": 5}}}):
        testing.drain()
    assert (acts.run(run_id).status, acts.run(run_id).result) == (RunStatus.SUCCESSFUL, "10")
    assert called == [0, 1, 2, 3, 4]
