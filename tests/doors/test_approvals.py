"""Who may answer an approval, in which form, and through which door."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.snapshots import read, waits
from django_tasks_durable.testing import advance, drain, frozen

from . import tasks
from .rows import a_wait, a_waiting_run

pytestmark = pytest.mark.django_db
STAFF = ("view_taskrun", "resume_task")


def member(name: str, *permissions: str) -> User:
    """Make a member of staff with some permissions."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def browser(user: User) -> Client:
    """Return the browser of a user."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def asking() -> TaskRun:
    """A run that asks for a refund."""
    result = tasks.refund.enqueue(7)
    drain()
    return TaskRun.objects.get(pk=result.id)


def page_of(run: TaskRun) -> str:
    return reverse("admin:durable_tasks_taskrun_change", args=[run.pk])


def answer(client: Client, run: TaskRun, **fields: str) -> Any:
    """Post the form of the page."""
    token = Wait.objects.get(run=run).token
    posted = {"token": token, **{f"answer-{name}": value for name, value in fields.items()}}
    return client.post(reverse("admin:durable_tasks_taskrun_act", args=[run.pk, "resume"]), posted)


def command(*arguments: str) -> str:
    """Run ``manage.py tasks``."""
    out = StringIO()
    call_command("tasks", *arguments, stdout=out, no_color=True)
    return out.getvalue()


# --- the admin


@pytest.mark.seed("AW-22")
def test_who_has_the_permission_gets_the_form_and_its_cleaned_data_is_the_answer(asking: TaskRun) -> None:
    client = browser(member("ann", *STAFF, "change_user"))
    shown = client.get(page_of(asking)).content.decode()
    assert 'name="answer-amount"' in shown
    assert "Refund order 7?" in shown
    assert answer(client, asking, amount="12.50", reason="broken").status_code == 302
    drain()
    result = tasks.refund.get_result(str(asking.pk))
    assert (str(result.return_value["amount"]), result.return_value["reason"]) == ("12.50", "broken")
    assert Wait.objects.get().answered_by == "ann"
    line = Step.objects.get(run=asking, kind=StepKind.RESUMED)
    assert (line.path, json.loads(line.data)) == ("approval:refund", {"act": "resume", "by": "ann"})


def test_who_lacks_the_permission_sees_the_question_without_a_form(asking: TaskRun) -> None:
    client = browser(member("bob", *STAFF))
    shown = client.get(page_of(asking)).content.decode()
    assert "Waiting for an answer" in shown
    assert "auth.change_user" in shown
    assert 'name="answer-amount"' not in shown
    assert Wait.objects.get().token not in shown
    assert answer(client, asking, amount="12.50", reason="broken").status_code == 403
    assert Wait.objects.get().answer is None


def test_the_permission_alone_opens_no_admin(asking: TaskRun) -> None:
    client = browser(member("eve", "view_taskrun", "change_user"))
    assert 'name="answer-amount"' not in client.get(page_of(asking)).content.decode()
    assert answer(client, asking, amount="1", reason="broken").status_code == 403
    assert Wait.objects.get().answer is None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"amount": "1000", "reason": "broken"}, "less than or equal to 100"),
        ({"amount": "", "reason": "broken"}, "This field is required."),
        ({"amount": "1", "reason": "because"}, "That is no reason."),
    ],
)
def test_what_the_form_refuses_comes_back_with_its_errors(
    asking: TaskRun, fields: dict[str, str], complaint: str
) -> None:
    response = answer(browser(member("ann", *STAFF, "change_user")), asking, **fields)
    assert response.status_code == 200
    assert complaint in response.content.decode()
    assert fields["reason"] in response.content.decode()
    assert Wait.objects.get().answer is None


def test_a_form_that_this_process_does_not_know_is_named_and_takes_nothing() -> None:
    run = a_waiting_run()
    Wait.objects.update(form="os.system")
    client = browser(member("ann", *STAFF))
    assert "The form os.system is not in this process" in client.get(page_of(run)).content.decode()
    assert answer(client, run, amount="1").status_code == 404
    assert Wait.objects.get().answer is None


@pytest.mark.parametrize(("choice", "outcome"), [("true", "out"), ("false", "kept")])
def test_an_approval_without_a_form_is_approved_or_rejected(choice: str, outcome: str) -> None:
    result = tasks.release.enqueue("2.0")
    drain()
    run = TaskRun.objects.get(pk=result.id)
    client = browser(member("ann", *STAFF))
    shown = client.get(page_of(run)).content.decode()
    assert ">Approve<" in shown.replace("<bdi>", "").replace("</bdi>", "")
    url = reverse("admin:durable_tasks_taskrun_act", args=[run.pk, "resume"])
    client.post(url, {"token": Wait.objects.get().token, "choice": choice})
    drain()
    result.refresh()
    assert result.return_value == outcome


def test_nobody_in_time_takes_the_default() -> None:
    with frozen():
        result = tasks.release.enqueue("2.0")
        drain()
        assert Wait.objects.get().has_default
        advance(3600)
        drain()
    result.refresh()
    assert result.return_value == "kept"


# --- the command


def test_with_user_the_permission_is_asked_for(asking: TaskRun) -> None:
    member("bob")
    member("ann", "change_user")
    said = '{"amount": "3", "reason": "broken"}'
    with pytest.raises(CommandError):
        command("resume", str(asking.pk), said, "--user", "bob")
    assert Wait.objects.get().answer is None
    command("resume", str(asking.pk), said, "--user", "ann")
    assert (Wait.objects.get().answered_by, TaskRun.objects.get().status) == ("ann", RunStatus.READY)


def test_a_user_who_was_locked_out_or_never_was_may_not_answer(asking: TaskRun) -> None:
    user = member("ann", "change_user")
    User.objects.filter(pk=user.pk).update(is_active=False)
    for name in ("ann", "nobody"):
        with pytest.raises(CommandError):
            command("resume", str(asking.pk), '{"amount": "3", "reason": "broken"}', "--user", name)
    assert Wait.objects.get().answer is None


@pytest.mark.parametrize("said", ["5", '{"amount": "3"}', '{"amount": "3", "reason": "because"}'])
def test_the_command_answers_in_the_form(asking: TaskRun, said: str) -> None:
    with pytest.raises(CommandError):
        command("resume", str(asking.pk), said)
    assert Wait.objects.get().answer is None


def test_a_message_is_sent_by_the_command(db: None) -> None:
    run = a_waiting_run()
    told = json.loads(command("send", str(run.pk), "news", '{"n": 1}', "--json"))
    assert told == [{"id": str(run.pk), "done": True, "state": "queued"}]
    message = run.messages.get()
    assert (message.name, message.payload) == ("news", '{"n":1}')
    assert "@" in message.sent_by
    command("send", str(run.pk), "ping")
    assert run.messages.last().payload == "null"
    for wrong in (["send", str(run.pk), "a/b"], ["send", str(run.pk), "news", "{"]):
        with pytest.raises(CommandError):
            command(*wrong)
    assert run.messages.count() == 2


@pytest.mark.seed("AW-22")
def test_pending_approvals_are_listed(asking: TaskRun) -> None:
    other = a_waiting_run("other")
    over = a_waiting_run("over", status=RunStatus.CANCELLED)
    a_wait(over, "late", path="approval:late")
    assert [each.run_id for each in waits.inbox(read.runs(using="default"), using="default")] == [asking.pk, other.pk]
    (asked,) = waits.inbox(read.runs(using="default"), kind="approval", using="default")
    assert (asked.task_path, asked.wait.permission, asked.wait.form) == (
        "tests.doors.tasks.refund", "auth.change_user", "refund",
    )  # fmt: skip
    (told,) = json.loads(command("waits", "--kind", "approval", "--json"))
    assert (told["path"], told["form"]) == ("approval:refund", "refund")
    assert "token" not in told
    assert "approval:refund" in command("waits")
    assert "There are none." in command("waits", "--kind", "webhook")
