"""The overview, the inbox and the queues in the admin."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_tasks_durable.models import Queue, Rollup, Wait
from django_tasks_durable.primitives.spans import Grain
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import narrowing
from django_tasks_durable.store import vendors

from . import forms  # registers the forms of the tests
from .clients import HOSTILE, lookups, page_of, said, somebody, text_of
from .rows import a_failed_run, a_run, a_running_run, a_waiting_run, a_worker

OVERVIEW = "admin:durable_tasks_taskrun_overview"
INBOX = "admin:durable_tasks_taskrun_inbox"
QUEUES = "admin:durable_tasks_queue_changelist"
assert forms.RefundForm
pytestmark = pytest.mark.django_db


def a_rollup(**columns: object) -> Rollup:
    """Make the counts of this minute or hour."""
    now = vendors.session().now_at().replace(second=0, microsecond=0)
    grain = columns.pop("grain", Grain.MINUTE)
    begins_at = now if grain == Grain.MINUTE else now.replace(minute=0)
    values = {"task_path": "shop.tasks.pay", "queue_name": "default", **columns}
    return Rollup.objects.create(grain=grain, begins_at=begins_at, **values)


def answer_to(run: object) -> str:
    """Return the address that the inbox posts an answer to."""
    return reverse("admin:durable_tasks_taskrun_answer", args=[run.pk])  # type: ignore[attr-defined]


def pause(name: str, act: str = "pause") -> str:
    """Return the address that the switch of a queue posts to."""
    return f"{reverse(f'admin:durable_tasks_queue_{act}')}?{urlencode({'name': name})}"


# --- the overview


def test_the_overview_says_how_the_house_stands(root: Client) -> None:
    a_run()
    a_running_run()
    a_failed_run()
    a_waiting_run()
    a_worker("busy", heartbeat_at=vendors.session().now_at(), lease_seconds=30)
    shown = text_of(root.get(reverse(OVERVIEW)))
    for word in ("Running", "Queued", "Waiting for a person", "Failed", "Oldest due task", "Workers alive"):
        assert word in shown, word
    assert f'href="{reverse(INBOX)}"' in shown
    assert "?state=failed" in shown


def test_the_overview_draws_what_was_counted_and_leads_to_what_failed(root: Client) -> None:
    for grain in Grain:
        a_rollup(grain=grain, succeeded=7, failed=2, failures=json.dumps({"builtins.ValueError": 2}))
    shown = text_of(root.get(reverse(OVERVIEW)))
    assert "7 succeeded, 2 failed, 0 cancelled" in shown
    assert 'data-ended="failed"' in shown
    assert "state=failed&amp;ended=1h&amp;task_path=shop.tasks.pay" in shown
    assert "state=failed&amp;ended=24h&amp;exception=builtins.ValueError" in shown


def test_the_way_from_the_overview_to_what_failed_is_a_filtered_list(root: Client) -> None:
    now = vendors.session().now_at()
    old, new = a_failed_run(finished_at=now - timedelta(hours=5)), a_failed_run(finished_at=now)
    other = json.dumps([{"exception_class_path": "builtins.KeyError"}])
    a_failed_run(finished_at=now, errors=other)

    def found(**query: str) -> set[object]:
        response = root.get(reverse("admin:durable_tasks_taskrun_changelist"), {"state": "failed", **query})
        return {run.pk for run in response.context["cl"].result_list}

    assert found(exception="builtins.ValueError") == {old.pk, new.pk}
    assert found(exception="builtins.ValueError", ended="1h") == {new.pk}
    assert len(found(ended="1h")) == 2
    assert found(exception="builtins.Value") == set()


@pytest.mark.parametrize("number", [1, 50])
def test_the_overview_takes_the_same_number_of_queries(root: Client, number: int) -> None:
    for place in range(number):
        a_run(queue_name=f"queue-{place}")
        a_rollup(task_path=f"task.{place}", failed=1, failures=json.dumps({f"Error{place}": 1}))
    with CaptureQueriesContext(connection) as queries:
        root.get(reverse(OVERVIEW))
    assert len(lookups(queries)) == 33, "\n".join(lookups(queries))


def test_the_panel_of_the_overview_is_looked_at_again(root: Client) -> None:
    shown = text_of(root.get(reverse("admin:durable_tasks_taskrun_overview_panel")))
    assert 'data-id="tiles"' in shown
    assert "<html" not in shown


# --- the inbox


def test_the_inbox_shows_the_questions_that_somebody_may_answer() -> None:
    run = a_waiting_run(request={"question": "Pay 40?", "choices": ["yes", "no"]})
    theirs = a_waiting_run("other", request="Only for bosses")
    Wait.objects.filter(run=theirs).update(permission="auth.delete_user")
    shown = text_of(somebody("clerk", "view_taskrun", "resume_task").get(reverse(INBOX)))
    assert "Pay 40?" in shown
    assert page_of(run) in shown
    assert "Only for bosses" not in shown
    assert "may not answer" in text_of(somebody("viewer", "view_taskrun").get(reverse(INBOX)))


def test_an_answer_in_the_inbox_leads_back_to_it(root: Client) -> None:
    run = a_waiting_run()
    response = root.post(answer_to(run), {"token": "token", "answer": "42", "form": "json"}, follow=True)
    assert response.redirect_chain[-1][0] == reverse(INBOX)
    assert said(response) == ["The answer was given; the task goes on."]
    assert "No task waits" in text_of(response)
    wait = Wait.objects.get(run=run)
    assert (wait.answer, wait.answered_by) == ("42", "root")
    assert LogEntry.objects.get().object_id == str(run.pk)


def test_an_answer_that_its_form_rejects_is_shown_with_what_is_wrong(root: Client) -> None:
    run = a_waiting_run()
    Wait.objects.filter(run=run).update(form="refund")
    response = root.post(answer_to(run), {"token": "token", "answer-amount": "500", "answer-reason": "late"})
    shown = text_of(response)
    assert "less than or equal to 100" in shown
    assert 'value="late"' in shown
    assert Wait.objects.get(run=run).answer is None


def test_an_answer_that_comes_too_late_says_so(root: Client) -> None:
    run = a_waiting_run()
    root.post(answer_to(run), {"token": "token", "answer": "1"})
    response = root.post(answer_to(run), {"token": "token", "answer": "2"}, follow=True)
    assert "The first answer stands" in said(response)[-1]


def test_nobody_answers_in_the_inbox_without_the_right_to() -> None:
    run = a_waiting_run()
    client = somebody("viewer", "view_taskrun")
    assert client.post(answer_to(run), {"token": "token", "answer": "1"}).status_code == 403
    assert somebody("nosy", "resume_task").get(reverse(INBOX)).status_code == 403


@pytest.mark.parametrize("number", [1, 50])
def test_the_inbox_takes_the_same_number_of_queries(root: Client, number: int) -> None:
    for place in range(number):
        a_waiting_run(f"token-{place}")
    with CaptureQueriesContext(connection) as queries:
        root.get(reverse(INBOX))
    assert len(lookups(queries)) == 4, "\n".join(lookups(queries))


# --- queues


def test_a_queue_is_paused_and_goes_on(root: Client) -> None:
    a_run(queue_name="mail")
    shown = text_of(root.get(reverse(QUEUES)))
    assert "mail" in shown
    response = root.post(pause("mail"), follow=True)
    assert "The queue mail is paused" in said(response)[0]
    assert "Paused" in text_of(response)
    assert "by root" in text_of(response)
    assert Queue.objects.get(pk="mail").paused_by == "root"
    root.post(pause("mail", "unpause"), {"back": "overview"})
    assert Queue.objects.get(pk="mail").paused_at is None
    assert {entry.change_message for entry in LogEntry.objects.all()} == {"Paused the queue.", "Unpaused the queue."}


@pytest.mark.parametrize("act", ["pause", "unpause"])
def test_following_a_link_changes_no_queue(root: Client, act: str) -> None:
    assert root.get(pause("mail", act)).status_code == 405
    assert not Queue.objects.exists()


def test_an_unknown_queue_cannot_be_paused(root: Client) -> None:
    response = root.post(pause("\x1b[31m"), follow=True)
    assert len(said(response)) == 1
    assert "\x1b" not in said(response)[0]
    assert not Queue.objects.exists()


def test_who_may_only_look_at_queues_has_no_switch() -> None:
    a_run(queue_name="mail")
    client = somebody("viewer", "view_queue")
    assert reverse("admin:durable_tasks_queue_pause") not in text_of(client.get(reverse(QUEUES)))
    assert client.post(pause("mail")).status_code == 403
    assert somebody("nosy", "view_taskrun").get(reverse(QUEUES)).status_code == 403


@pytest.mark.parametrize("number", [1, 50])
def test_the_queues_take_the_same_number_of_queries(root: Client, number: int) -> None:
    for place in range(number):
        a_run(queue_name=f"queue-{place}")
    with CaptureQueriesContext(connection) as queries:
        root.get(reverse(QUEUES))
    assert len(lookups(queries)) == 12, "\n".join(lookups(queries))


def test_the_limits_of_a_queue_are_changed_and_given_back_to_the_settings(root: Client) -> None:
    a_run(queue_name="mail")
    address = pause("mail", "limit")
    assert address in text_of(root.get(reverse(QUEUES))).replace("&amp;", "&")
    response = root.post(address, {"concurrency": "2", "rate": "10/minute"}, follow=True)
    assert "limits of the queue mail are changed" in said(response)[0]
    assert "2 at a time, 10/minute" in text_of(response)
    assert "errorlist" in text_of(root.post(address, {"rate": "often"}))
    root.post(address, {"by_settings": "on"})
    assert "at a time" not in text_of(root.get(reverse(QUEUES)))
    assert somebody("viewer", "view_queue").get(address).status_code == 403


# --- all of them


def test_hostile_text_appears_as_text_everywhere(root: Client) -> None:
    short = HOSTILE[:64]
    a_run(queue_name=short, task_path=HOSTILE)
    a_waiting_run(request={"question": HOSTILE, "choices": {HOSTILE: HOSTILE}}, task_path=HOSTILE, queue_name=short)
    Queue.objects.create(
        name=short, paused_at=vendors.session().now_at(), paused_by=HOSTILE, changed_at=vendors.session().now_at()
    )
    a_rollup(task_path=HOSTILE, queue_name=short, failed=3, failures=json.dumps({HOSTILE: 3}))
    for name in (OVERVIEW, INBOX, QUEUES):
        shown = text_of(root.get(reverse(name)))
        assert "&lt;script&gt;" in shown, name
        for dangerous in ("<script>alert", "<img src=x", "\x1b", "\u202e", 'href="javascript', "='><img"):
            assert dangerous not in shown, (name, dangerous)


def test_every_page_leads_to_the_others_that_somebody_may_see(root: Client) -> None:
    pages = [
        "taskrun_overview",
        "taskrun_changelist",
        "taskrun_inbox",
        "queue_changelist",
        "worker_changelist",
        "schedule_changelist",
    ]
    for name in pages:
        shown = text_of(root.get(reverse(f"admin:durable_tasks_{name}")))
        assert shown.count('class="dtd dtd-nav"') == 1, name
        assert all(f'href="{reverse(f"admin:durable_tasks_{other}")}"' in shown for other in pages), name
    shown = text_of(somebody("viewer", "view_taskrun").get(reverse(OVERVIEW)))
    assert reverse("admin:durable_tasks_queue_changelist") not in shown


def test_a_queue_whose_tasks_nobody_runs_is_told(root: Client) -> None:
    a_run(status=RunStatus.READY)
    assert 'data-mood="bad">0' in text_of(root.get(reverse(QUEUES)))


@pytest.mark.databases("postgresql", "mysql")
def test_a_page_that_a_big_table_makes_slow_is_given_up(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(**options: object) -> None:
        function = "pg_sleep" if connection.vendor == "postgresql" else "sleep"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(30)")

    monkeypatch.setattr("django_tasks_durable.snapshots.house.overview", slow)
    monkeypatch.setattr("django_tasks_durable.admin.patience.SECONDS", 0.05)
    response = root.get(reverse(OVERVIEW))
    assert response.status_code == 503
    assert "This takes too long" in response.content.decode()
    monkeypatch.undo()
    assert root.get(reverse(OVERVIEW)).status_code == 200


def test_what_has_no_index_is_looked_for_among_the_newest(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [a_run(queue_name="mail") for _number in range(5)]
    failed = a_failed_run(queue_name="mail")
    monkeypatch.setattr(narrowing.among_newest, "__defaults__", (3,))
    address = reverse("admin:durable_tasks_taskrun_changelist")

    def found(**query: str) -> list[object]:
        return [run.pk for run in root.get(address, query).context["cl"].result_list]

    assert found(queue_name="mail") == [failed.pk, runs[4].pk, runs[3].pk]
    assert found(q="shop.tasks") == [failed.pk, runs[4].pk, runs[3].pk]
    assert len(found(queue_name="mail", state="queued")) == 5
    assert len(found()) == 6
    assert "Only the newest" in text_of(root.get(address, {"queue_name": "mail"}))
