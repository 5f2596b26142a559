"""A run as the engine leaves it, seen and answered through the doors."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from django_tasks_durable import testing
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import StepKind

from .tasks import publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def page_of(client: Client, run_id: str) -> str:
    """Return the markup of a run's page."""
    return client.get(reverse("admin:durable_tasks_taskrun_change", args=[run_id])).content.decode()


def test_a_run_is_watched_answered_and_seen_to_its_end_in_the_admin(root: Client) -> None:
    run_id = str(publish.enqueue("Moby Dick").id)
    assert "Queued" in page_of(root, run_id)
    testing.drain()
    shown = page_of(root, run_id)
    for word in ("Waiting", "Publish?", "written", "All pages are written.", "draft of Moby Dick", "step:write"):
        assert word in shown, word
    token = (
        root.get(reverse("admin:durable_tasks_taskrun_change", args=[run_id])).context["page"].waits[0].form["token"]
    )
    root.post(
        reverse("admin:durable_tasks_taskrun_act", args=[run_id, "resume"]),
        {"token": token.value(), "choice": '"yes"'},
    )
    testing.drain()
    shown = page_of(root, run_id)
    for word in ("Succeeded", "100&nbsp;%", "&quot;published&quot;: true", "by root"):
        assert word in shown, word
    assert "Waiting for an answer" not in shown


def test_a_run_is_answered_and_shown_by_the_command() -> None:
    run_id = str(publish.enqueue("Emma").id)
    testing.drain()
    out = StringIO()
    call_command("tasks", "resume", run_id, "no", "--text", stdout=out)
    testing.drain()
    out = StringIO()
    call_command("tasks", "show", run_id, "--json", stdout=out)
    shown = json.loads(out.getvalue())
    assert (shown["state"], shown["result"]) == ("succeeded", {"pages": 4, "published": False})
    assert [line["sequence"] for line in shown["timeline"]] == list(range(1, TaskRun.objects.get().last_sequence + 1))


@pytest.mark.seed("AW-23", "AW-P8")
def test_a_cancelled_run_is_retried_from_its_checkpoints(root: Client) -> None:
    run_id = str(publish.enqueue("Ulysses").id)
    testing.drain()
    act = "admin:durable_tasks_taskrun_act"
    root.post(reverse(act, args=[run_id, "cancel"]), {"reason": "too long"})
    assert "too long" in page_of(root, run_id)
    root.post(reverse(act, args=[run_id, "retry"]))
    testing.drain()
    shown = page_of(root, run_id)
    assert "Waiting for an answer" in shown
    assert "draft of Ulysses" in shown
    partials = Step.objects.filter(run_id=run_id, kind=StepKind.PARTIAL)
    assert partials.count() == 1, "what was told before the cancellation is not told again"
