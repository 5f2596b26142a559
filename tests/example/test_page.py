"""The page of the imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

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
