"""Whoever acts on a task leaves a name in it, whichever door the act came by."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db.models import Q
from django.test import Client

from django_tasks_durable.models import Message, Step, TaskRun, Wait

from .callers import Caller, a_user
from .clients import act_on
from .rows import a_failed_run, a_run, later
from .tenants import furnished
from .test_rest_permissions import NAMES, ON

pytestmark = pytest.mark.django_db
ACTS = sorted(set(ON) - {"query", "list"})


def names_somebody(name: str, since: int) -> bool:
    """Tell whether anything that was written since names somebody as the one who acted."""
    lines = Step.objects.filter(pk__gt=since).filter(Q(message__contains=name) | Q(data__contains=name))
    return (
        lines.exists()
        or Wait.objects.filter(answered_by=name).exists()
        or Message.objects.filter(sent_by=name).exists()
    )


@pytest.mark.parametrize("act", ACTS)
def test_an_act_over_rest_names_who_did_it(act: str) -> None:
    from django_tasks_durable.api import urls

    runs = furnished("ann")
    which, body = ON[act]
    # What is due already is not hurried, and nothing is written.
    TaskRun.objects.filter(pk=runs["queued"].pk).update(due_at=later(10**9))
    boss = a_user("the-boss")
    boss.is_superuser = True
    boss.save()
    (route,) = [str(each.pattern) for each in urls.urlpatterns if each.name == act]
    path = route.replace("<str:run_id>", str(runs[which].pk)).replace("<str:name>", NAMES.get(act, ""))
    since = Step.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    response = Caller(boss).post(path, body)
    assert response.status_code in (200, 202), response.content
    assert names_somebody("the-boss", since), list(Step.objects.filter(pk__gt=since).values("kind", "message", "data"))


@pytest.mark.parametrize(
    ("act", "make"), [("cancel", a_run), ("retry", a_failed_run), ("run_now", a_run), ("copy", a_failed_run)]
)
def test_an_act_in_the_admin_is_in_the_task_and_in_the_log_of_the_admin(act: str, make: Any, root: Client) -> None:
    run = make(**({"due_at": later(10**9)} if act == "run_now" else {}))
    since = Step.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    response = root.post(act_on(run, act), {"confirmed": "1"})
    assert response.status_code == 302, response.content
    assert names_somebody("root", since)
    assert LogEntry.objects.filter(object_id=str(run.pk)).exists()


def test_an_act_by_a_command_names_the_user_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "joe-the-operator")
    failed, queued = a_failed_run(), a_run()
    for arguments in (("retry", str(failed.pk)), ("cancel", str(queued.pk))):
        since = Step.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        call_command("tasks", *arguments)
        assert names_somebody("joe-the-operator", since), arguments
    assert TaskRun.objects.get(pk=queued.pk).status == "CANCELLED"
