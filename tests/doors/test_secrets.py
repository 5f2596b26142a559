"""A secret in every place that a run has, looked for at every door by somebody who may see everything."""

from __future__ import annotations

import contextlib
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import NoReverseMatch, reverse

from django_tasks_durable.api import urls
from django_tasks_durable.models import Schedule, TaskRun
from django_tasks_durable.primitives.status import Level, RunStatus, StepKind

from . import rows
from .callers import Caller
from .clients import act_on, page_of, panel_of, somebody

pytestmark = pytest.mark.django_db

CANARY = "sesame-7f3a"
ADDRESS = f"postgres://joe:{CANARY}@db.internal/shop"
# A password alone has no user before it: redis://:secret@host
REDIS = f"redis://:{CANARY}@cache:6379/0"
SAID = f"could not connect to {ADDRESS}, nor to {REDIS}"
HELD = {"password": CANARY, "nested": [{"api_key": CANARY, "url": ADDRESS}], "seen": "in-the-open"}


def a_leaky_run(**columns: Any) -> TaskRun:
    """Make a run that holds the secret wherever a run holds anything."""
    text = json.dumps(HELD)
    error = {
        "exception_class_path": "builtins.ConnectionError",
        "message": SAID,
        "traceback": f"Traceback (most recent call last):\n  connect({ADDRESS!r})\nConnectionError: {SAID}\n",
        "code": "",
        "attempt": 1,
    }
    values: dict[str, Any] = {
        "args": json.dumps([HELD, ADDRESS]),
        "kwargs": text,
        "metadata": text,
        "result": text,
        "errors": json.dumps([error]),
        "progress_label": SAID,
        "progress_meta": text,
        "workflow_state": text,
        "workflow_step": "charge",
        **columns,
    }
    run = rows.a_waiting_run(f"token-{TaskRun.objects.count()}", request={"question": SAID, **HELD}, **values)
    for kind in (StepKind.LOG, StepKind.PARTIAL, StepKind.STEP, StepKind.AUDIT):
        rows.a_line(run, kind, message=SAID, data=text, level=Level.INFO)
    rows.a_line(run, StepKind.FAILED, message=f"builtins.ConnectionError: {SAID}", level=Level.ERROR)
    rows.a_checkpoint(run, "step:load", HELD)
    return TaskRun.objects.get(pk=run.pk)


def looked_for(door: str, text: str) -> None:
    """Hold that a door says something, and not the secret."""
    assert text, door
    place = text.find(CANARY)
    assert place < 0, f"{door} tells the secret: ...{text[max(0, place - 200) : place + 40]}"


@pytest.fixture
def runs() -> dict[str, TaskRun]:
    """Make one run that waits, and one that failed."""
    return {
        "waiting": a_leaky_run(),
        "failed": a_leaky_run(status=RunStatus.FAILED, finished_at=rows.later(9), error_code="EXCEPTION"),
        "done": a_leaky_run(status=RunStatus.SUCCESSFUL, finished_at=rows.later(9)),
    }


def test_the_admin(root: Client, runs: dict[str, TaskRun]) -> None:
    Schedule.objects.create(name="nightly", task_path="shop.tasks.pay", kwargs=json.dumps(HELD), cron="0 6 * * *")
    for name, run in runs.items():
        for door in (page_of(run), panel_of(run)):
            looked_for(f"{door} ({name})", root.get(door).content.decode())
        for act in ("cancel", "retry", "resume", "run_now", "copy", "fork"):
            response = root.get(act_on(run, act))
            looked_for(f"the page of {act} ({name})", response.content.decode() or str(response.status_code))
    # Whoever may change a schedule sees in the form what it holds; who only looks does not.
    address = reverse("admin:durable_tasks_schedule_change", args=[Schedule.objects.get().pk])
    reader = somebody("reader", "view_schedule", "view_payload")
    looked_for("the schedule", reader.get(address).content.decode())
    for name in (
        "schedule_changelist",
        "worker_changelist",
        "queue_changelist",
        "taskrun_changelist",
        "overview",
        "inbox",
        "rows",
    ):
        for prefix in ("durable_tasks_", "durable_tasks_taskrun_"):
            with contextlib.suppress(NoReverseMatch):
                address = reverse(f"admin:{prefix}{name}")
                looked_for(address, root.get(address).content.decode() or "empty")
    looked_for(
        "the search", root.get(reverse("admin:durable_tasks_taskrun_changelist"), {"q": CANARY[:3]}).content.decode()
    )


def test_rest(root: Client, runs: dict[str, TaskRun]) -> None:
    caller, seen = Caller(), 0
    caller.client = root
    for pattern in urls.urlpatterns:
        if not hasattr(pattern.callback.view_class, "get") or "<str:name>" in str(pattern.pattern):
            continue
        for run in runs.values():
            response = caller.get(str(pattern.pattern).replace("<str:run_id>", str(run.pk)))
            looked_for(str(pattern.name), response.content.decode())
            seen += b"in-the-open" in response.content
    assert seen > 10


def test_what_an_act_over_rest_answers(root: Client, runs: dict[str, TaskRun]) -> None:
    caller = Caller()
    caller.client = root
    for act, name, body in (("copy", "done", {}), ("retry", "failed", {}), ("resume", "waiting", {"value": HELD})):
        response = caller.post(f"{runs[name].pk}/{act}/", body)
        looked_for(act, response.content.decode())


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "{waiting}"),
        ("show", "{failed}"),
        ("show", "{done}"),
        ("show", "{failed}", "--json"),
        ("show", "{failed}", "--entries"),
        ("list",),
        ("list", "--json"),
        ("waits",),
        ("doctor",),
        ("stats", "--json"),
        ("watch", "--count", "1"),
        ("watch", "--count", "1", "--json"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_command(arguments: tuple[str, ...], runs: dict[str, TaskRun]) -> None:
    names = {name: str(run.pk) for name, run in runs.items()}
    out, err = StringIO(), StringIO()
    try:
        call_command("tasks", *(each.format(**names) for each in arguments), stdout=out, stderr=err)
    except SystemExit:
        pass
    looked_for(" ".join(arguments), f"{arguments} {out.getvalue()} {err.getvalue()}")


def test_the_page_of_a_link(root: Client) -> None:
    from .test_answers import mailed

    run, address = mailed()
    run.waits.update(request=json.dumps({"question": SAID, **HELD}))
    looked_for("the page of a link", Client().get(address).content.decode())
