"""``manage.py prunetasks``."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.store import vendors
from tests.store import acts

pytestmark = pytest.mark.django_db


def prune(*arguments: str) -> str:
    """Call the command and return what it wrote."""
    out = StringIO()
    call_command("prunetasks", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def old_run() -> None:
    acts.enqueue()
    ago = vendors.session().now_at() - timedelta(days=10)
    TaskRun.objects.update(status=RunStatus.SUCCESSFUL, finished_at=ago)


@pytest.mark.usefixtures("old_run")
def test_what_is_old_is_deleted_by_the_age_that_is_given() -> None:
    assert prune("--successful", "11").startswith("Deleted 0 task(s)")
    assert prune("--successful", "9", "--dry-run").startswith("Would delete 1 task(s) and 1 line(s)")
    assert TaskRun.objects.count() == 1
    told = json.loads(prune("--successful", "9", "--json"))
    assert told == {"deleted_tasks": 1, "deleted_steps": 1, "compacted_tasks": 0, "dry_run": False}
    assert not TaskRun.objects.exists()


@pytest.mark.usefixtures("old_run")
def test_what_is_not_given_comes_from_the_settings(settings: Any) -> None:
    entry = settings.TASKS["default"]
    retention = {"successful": timedelta(days=9)}
    settings.TASKS = {"default": {**entry, "OPTIONS": {**entry.get("OPTIONS", {}), "retention": retention}}}

    assert prune("--latest", "5").startswith("Deleted 1 task(s)")


@pytest.mark.usefixtures("old_run")
def test_the_newest_of_each_task_are_kept() -> None:
    acts.enqueue()
    TaskRun.objects.update(status=RunStatus.SUCCESSFUL)
    assert prune("--latest", "1").startswith("Deleted 1 task(s)")


@pytest.mark.parametrize("arguments", [("--successful", "-1"), ("--latest", "0"), ("--steps", "-3")])
def test_a_nonsensical_number_is_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match=rf"Retention: its '{arguments[0][2:]}'"):
        prune(*arguments)
