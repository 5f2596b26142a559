"""Browsers of people who look at the admin, the addresses that they open, and what they are shown."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from django_tasks_durable.models import TaskRun

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m\"'><img src=x onerror=alert(2)>javascript:alert(3)"


def page_of(run: TaskRun) -> str:
    """Return the address of a run's page."""
    return reverse("admin:durable_tasks_taskrun_change", args=[run.pk])


def panel_of(run: TaskRun) -> str:
    """Return the address of the part of a run's page that is looked at again."""
    return reverse("admin:durable_tasks_taskrun_panel", args=[run.pk])


def act_on(run: TaskRun, act: str) -> str:
    """Return the address that an act is posted to."""
    return reverse("admin:durable_tasks_taskrun_act", args=[run.pk, act])


def somebody(name: str = "anna", *permissions: str) -> Client:
    """Return a browser of a member of staff with some permissions."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=permissions, content_type__app_label="durable_tasks")
    )
    client = Client()
    client.force_login(user)
    return client


def said(response: Any) -> list[str]:
    """Return the messages that an answer carries."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def text_of(response: Any) -> str:
    """Return a page's markup."""
    assert response.status_code == 200
    return str(response.content.decode())


def lookups(queries: Any) -> list[str]:
    """Return the statements that looked at a table, of those that were captured: how they are bounded differs by brand."""
    return [query["sql"] for query in queries if " FROM " in query["sql"]]
