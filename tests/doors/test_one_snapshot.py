"""All doors show one snapshot: whoever looks at a run sees the same truth of it."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from django_tasks_durable.compat import task_backends
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.snapshots import read

from .rows import a_failed_run, a_full_run, a_run, a_running_run, a_waiting_run, later

pytestmark = pytest.mark.django_db
PATH = "tests.doors.tasks.greet"


def told_by_the_command(*arguments: str) -> Any:
    """Return what ``manage.py tasks`` tells machines."""
    out = StringIO()
    call_command("tasks", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    "make",
    [
        lambda: a_run(),
        lambda: a_run(wake_reason=WakeReason.RETRY, attempts=1, max_attempts=3),
        lambda: a_run(wake_reason=WakeReason.STALE),
        lambda: a_running_run(),
        lambda: a_waiting_run(),
        lambda: a_failed_run(),
        lambda: a_failed_run(status=RunStatus.CANCELLED, cancel_reason="no"),
        lambda: a_run(status=RunStatus.SUCCESSFUL, result='"hello"', finished_at=later(9), started_at=later(1)),
    ],
)
def test_every_door_tells_the_same_state(make: Any) -> None:
    run: TaskRun = make()
    TaskRun.objects.filter(pk=run.pk).update(task_path=PATH)
    snapshot = read.one(run.pk, using="default")
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    badge = f'data-state="{snapshot.state.value}" data-id="{run.pk}-state"'
    page = client.get(reverse("admin:durable_tasks_taskrun_change", args=[run.pk])).content.decode()
    rows = client.get(reverse("admin:durable_tasks_taskrun_changelist")).content.decode()
    assert badge in page
    assert badge in rows
    [listed] = told_by_the_command("list")
    shown = told_by_the_command("show", str(run.pk))
    assert listed["state"] == shown["state"] == snapshot.state.value
    result = task_backends["default"].get_result(str(run.pk))
    assert result.state == snapshot.state  # type: ignore[attr-defined]
    assert result.id == shown["id"]
    assert result.attempts == len(shown["worker_ids"])


def test_the_command_shows_the_whole_wire_format() -> None:
    run = a_full_run()
    TaskRun.objects.filter(pk=run.pk).update(task_path=PATH)
    wire = read.one(run.pk, using="default").as_dict()
    shown = told_by_the_command("show", str(run.pk))
    assert set(wire) <= set(shown)
    for key in set(wire) - {"kwargs", "progress", "workflow"}:
        assert shown[key] == wire[key], key
