"""Who enqueued a task is kept with it: a user, or a command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from django_tasks_durable.middleware import remember_request
from django_tasks_durable.models import TaskRun

from .tasks import greet

OPTIONS = {"middleware": ["django_tasks_durable.middleware.enqueued_by"]}
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """Keep who enqueues."""
    backend = {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": OPTIONS}
    with override_settings(TASKS={"default": backend}):
        yield


def enqueued_by(result: Any) -> str | None:
    """Return what the metadata of a run says."""
    told = json.loads(TaskRun.objects.get(pk=result.id).metadata).get("enqueued_by")
    return None if told is None else str(told)


def asked_by(user: User | AnonymousUser) -> HttpRequest:
    """Make the request of a user."""
    request = RequestFactory().get("/")
    request.user = user
    return request


def test_a_task_that_a_view_enqueues_is_the_users() -> None:
    results = []

    def view(request: HttpRequest) -> HttpResponse:
        results.append(greet.enqueue("you"))
        return HttpResponse()

    remember_request(view)(asked_by(User(username="anna")))
    assert enqueued_by(results[0]) == "anna"
    assert enqueued_by(greet.enqueue("you")) is None


async def test_the_request_of_an_asynchronous_view_is_known_as_well() -> None:
    seen = []

    async def view(request: HttpRequest) -> HttpResponse:
        from django_tasks_durable.middleware import _user

        seen.append(_user())
        return HttpResponse()

    asynchronous = remember_request(view)
    assert iscoroutinefunction(asynchronous)
    await asynchronous(asked_by(User(username="anna")))
    assert seen == ["anna"]


def test_a_task_that_a_command_enqueues_is_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/srv/shop/manage.py", "nightly", "--all"])
    assert enqueued_by(greet.enqueue("you")) == "manage.py nightly"
    assert enqueued_by(greet.using(metadata={"enqueued_by": "the till"}).enqueue("you")) == "the till"


def test_the_command_that_enqueues_says_who_sat_at_the_terminal() -> None:
    output = StringIO()
    call_command("tasks", "enqueue", greet.module_path, "--args", '["you"]', stdout=output)
    run = TaskRun.objects.get(pk=output.getvalue().strip())
    assert "@" in json.loads(run.metadata)["enqueued_by"]
