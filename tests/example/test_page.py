"""The page of the imports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_tasks_durable import testing
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import read
from example_project.airports import report, tasks

pytestmark = pytest.mark.django_db


def test_nobody_sees_the_imports_without_signing_in(client: Client) -> None:
    assert client.get(reverse("airports:index")).status_code == 302


def test_an_import_is_started_and_shown(admin_client: Client) -> None:
    response = admin_client.post(reverse("airports:start"), follow=True)
    (run,) = read.summaries(read.runs(using="default"))
    assert run.task_path == tasks.import_airports.module_path
    assert run.queue_name == tasks.QUEUE
    assert run.short_id in response.content.decode()


def test_a_start_leads_to_the_import_s_own_page(admin_client: Client) -> None:
    response = admin_client.post(reverse("airports:start"))
    (run,) = read.summaries(read.runs(using="default"))
    assert response["Location"] == reverse("airports:import", args=[run.id])
    page = admin_client.get(response["Location"]).content.decode()
    assert f'<task-progress task="{run.id}"' in page
    assert f'data-task="{run.id}"' in page


def test_an_import_s_page_is_whole_without_a_script(admin_client: Client) -> None:
    run = UUID(tasks.import_airports.enqueue(chunk_rows=5000).id)
    testing.drain()
    page = admin_client.get(reverse("airports:import", args=[run])).content.decode()
    assert 'data-country="DE"' in page
    assert "find the doubtful rows" in page
    assert re.search(r'<noscript>\s*<form method="post"', page)
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token is not None
    admin_client.post(reverse("airports:answer", args=[run]), {"decision": "keep", "token": token[1]})
    assert read.one(run, using="default").state is State.QUEUED


def test_an_import_that_is_not_there_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(reverse("airports:import", args=[uuid4()])).status_code == 404


def test_somebody_who_may_not_see_payloads_sees_no_countries(client: Client) -> None:
    run = UUID(tasks.import_airports.enqueue(chunk_rows=5000).id)
    testing.drain()
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    assert client.get(reverse("airports:import", args=[run])).status_code == 404
    clerk.user_permissions.set(Permission.objects.filter(codename="view_taskrun"))
    page = client.get(reverse("airports:import", args=[run])).content.decode()
    assert "data-country=" not in page
    assert "csrf-token=" not in page


def test_every_answer_carries_the_strict_policy(admin_client: Client) -> None:
    policy = admin_client.get(reverse("airports:index"))["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_an_answer_to_a_run_that_does_not_wait_is_refused_in_words(admin_client: Client) -> None:
    result = tasks.import_airports.enqueue()
    page = admin_client.post(
        reverse("airports:answer", args=[result.id]), {"decision": "keep", "token": "x"}, follow=True
    )
    assert "queued" in page.content.decode().lower()


def test_a_report_is_served_with_its_style_sheet(admin_client: Client, settings: Any, tmp_path: Path) -> None:
    settings.AIRPORTS_REPORT_DIR = tmp_path
    run = uuid4()
    assert admin_client.get(reverse("airports:report", args=[run])).status_code == 404
    report.put(report.path_of(run), '<link rel="stylesheet" href="report.css">')
    page = reverse("airports:report", args=[run])
    assert b"report.css" in admin_client.get(page).content
    sheet = admin_client.get(page.rpartition("/")[0] + "/report.css")
    assert sheet["Content-Type"].startswith("text/css")
