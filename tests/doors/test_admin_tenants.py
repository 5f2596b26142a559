"""What people see in the admin where a project lets each see only some tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_tasks_durable.models import Rollup, TaskRun
from django_tasks_durable.primitives.spans import Grain
from django_tasks_durable.store import vendors

from .clients import act_on, page_of, somebody, text_of
from .tenants import SECRET, furnished, queue_of, two_tenants

ACTS = {
    "cancel": "queued", "copy": "failed", "fork": "failed", "retry": "failed", "resume": "waiting", "run_now": "queued"
}  # fmt: skip
PERMISSIONS = (
    "view_taskrun", "view_payload", "view_queue", "view_worker", "view_schedule", "change_queue", "cancel_task", "copy_task",
    "fork_task", "retry_task", "resume_task", "run_task",
)  # fmt: skip
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def tenants() -> Iterator[None]:
    """Let there be two tenants."""
    with two_tenants():
        yield


@pytest.fixture
def ada() -> Client:
    """Somebody of the first tenant, with every permission."""
    return somebody("ada", *PERMISSIONS)


@pytest.fixture
def theirs() -> dict[str, Any]:
    """The tasks of the other tenant."""
    return furnished("bob")


def test_nothing_of_others_is_shown(ada: Client, theirs: dict[str, Any]) -> None:
    mine = furnished("ada")
    now = vendors.session().now_at()
    Rollup.objects.create(
        grain=Grain.MINUTE, begins_at=now.replace(second=0, microsecond=0), task_path=SECRET.format("bob"),
        queue_name=queue_of("bob"), failed=3, failures=json.dumps({SECRET.format("bob"): 3}),
    )  # fmt: skip
    pages = ["taskrun_overview", "taskrun_inbox", "taskrun_changelist", "queue_changelist", "worker_changelist"]
    for name in [*pages, "taskrun_overview_panel", "queue_panel"]:
        shown = text_of(ada.get(reverse(f"admin:durable_tasks_{name}")))
        assert queue_of("bob") not in shown, name
        assert SECRET.format("bob") not in shown, name
        assert not any(str(run.pk) in shown for run in theirs.values()), name
    assert SECRET.format("ada") in text_of(ada.get(page_of(mine["waiting"])))
    rows = reverse("admin:durable_tasks_taskrun_rows")
    assert str(theirs["running"].pk) not in text_of(ada.get(rows, {"id": str(theirs["running"].pk)}))


@pytest.mark.parametrize("act", sorted(ACTS))
def test_nothing_is_done_to_the_tasks_of_others(ada: Client, theirs: dict[str, Any], act: str) -> None:
    run = theirs[ACTS[act]]
    known = TaskRun.objects.count()
    details = {"token": "token-bob", "answer": "1", "path": "step:load"}
    assert ada.post(act_on(run, act), details).status_code == 404
    assert ada.get(act_on(run, act)).status_code in {404, 405}
    assert ada.get(page_of(run)).status_code == 302
    assert ada.post(reverse("admin:durable_tasks_taskrun_answer", args=[run.pk]), details).status_code == 404
    assert TaskRun.objects.get(pk=run.pk).version == run.version
    assert TaskRun.objects.count() == known


def test_an_act_on_many_passes_over_the_tasks_of_others(ada: Client, theirs: dict[str, Any]) -> None:
    chosen = {"action": "cancel_tasks", "_selected_action": [theirs["queued"].pk], "confirmed": "yes"}
    ada.post(reverse("admin:durable_tasks_taskrun_changelist"), chosen)
    assert TaskRun.objects.get(pk=theirs["queued"].pk).status == "READY"
