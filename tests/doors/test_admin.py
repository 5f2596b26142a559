"""The admin: what it shows, to whom, what it lets them do, and that hostile text stays text."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import django_tasks_durable
from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.store import vendors

from .clients import HOSTILE, act_on, lookups, page_of, panel_of, said, somebody, text_of
from .rows import (
    a_checkpoint,
    a_failed_run,
    a_full_run,
    a_line,
    a_run,
    a_running_run,
    a_wait,
    a_waiting_run,
    a_worker,
)

LIST = "admin:durable_tasks_taskrun_changelist"
pytestmark = pytest.mark.django_db


# --- the list


def test_the_list_shows_each_state_in_word_and_figure(root: Client) -> None:
    a_run()
    a_running_run()
    a_failed_run()
    a_waiting_run()
    shown = text_of(root.get(reverse(LIST)))
    for word in ("Queued", "Running", "Failed", "Waiting"):
        assert word in shown
    assert '<progress max="100" value="42.5"' in shown
    assert "reading" in shown
    assert ">1/1<" in shown


def test_an_empty_list_opens(root: Client) -> None:
    assert "Workers alive" in text_of(root.get(reverse(LIST)))


@pytest.mark.parametrize("number", [1, 50])
def test_the_list_takes_the_same_number_of_queries(root: Client, number: int) -> None:
    for _place in range(number):
        a_running_run()
    with CaptureQueriesContext(connection) as queries:
        root.get(reverse(LIST))
    assert len(lookups(queries)) == 16, "\n".join(lookups(queries))
    assert not any('"args"' in query["sql"] for query in queries)


def test_the_list_is_filtered_by_state_queue_and_task(root: Client) -> None:
    a_run(queue_name="slow", task_path="shop.tasks.ship")
    a_failed_run()

    def number(**query: str) -> int:
        return int(root.get(reverse(LIST), query).context["cl"].result_count)

    assert number() == 2
    assert number(state="failed") == number(queue_name="slow") == number(task_path="shop.tasks.ship") == 1
    assert number(state="failed", queue_name="slow") == number(state="running") == 0
    assert number(state="nonsense") == 2


def test_the_list_is_searched_by_id_and_by_the_beginning_of_a_path(root: Client) -> None:
    run = a_run(task_path="shop.tasks.ship")
    a_run()

    def found(term: str) -> list[TaskRun]:
        return list(root.get(reverse(LIST), {"q": term}).context["cl"].result_list)

    assert found(str(run.pk)) == found(run.pk.hex[-8:]) == found("shop.tasks.sh") == [run]
    assert len(found("shop.")) == 2
    assert found("nothing") == []


def test_a_long_list_is_counted_up_to_a_limit(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasks_durable.admin.pagination.LIMIT", 3)
    for _number in range(5):
        a_run()
    response = root.get(reverse(LIST))
    assert response.context["cl"].result_count == 3
    assert "Only the first 3 are counted" in text_of(response)


def test_rows_are_looked_at_again_by_id(root: Client) -> None:
    run, other = a_running_run(), a_running_run()
    address = reverse("admin:durable_tasks_taskrun_rows")
    shown = text_of(root.get(address, {"id": [str(run.pk), "nonsense"]}))
    assert f'data-id="{run.pk}-state"' in shown
    assert f'data-id="{run.pk}-progress"' in shown
    assert str(other.pk) not in shown


# --- the page


def test_the_page_tells_the_whole_story(root: Client) -> None:
    shown = text_of(root.get(page_of(a_full_run())))
    story = ["shop.tasks.pay", "Failed", "builtins.ValueError", "no money", "Traceback (most recent call last)", "66"]
    story += ["step:load", "call:child", "step:inner", "Partial result", "charging", "zwei", "customer", "Pay?", "anna"]
    for word in story:
        assert word in shown, word
    assert "sesame" not in shown
    assert "secret-token" not in shown


def test_the_page_tells_where_a_workflow_stands_and_what_its_audit_says(root: Client) -> None:
    run = a_full_run()
    a_line(run, StepKind.AUDIT, message="corrected", data=json.dumps({"amount": 4321}))
    a_line(
        run, StepKind.AUDIT, message="add_usage", data=json.dumps({"command": "add_usage", "args": [9], "by": "ada"})
    )
    shown = root.get(page_of(run)).content.decode()
    assert "charge (visit 2)" in shown
    assert "&quot;charged&quot;: false" in shown
    assert "4321" in shown
    assert "ada" in shown


def test_a_run_whose_code_is_gone_still_opens(root: Client) -> None:
    shown = text_of(root.get(page_of(a_run(task_path="gone.with.the_wind"))))
    assert "gone.with.the_wind" in shown
    assert "not in this process" in shown


def test_a_run_that_is_not_there_is_said_to_be_gone(root: Client) -> None:
    response = root.get(reverse("admin:durable_tasks_taskrun_change", args=[new_id()]))
    assert response.status_code == 302
    assert "Perhaps it was deleted" in said(response)[0]
    assert root.get(reverse("admin:durable_tasks_taskrun_change", args=["nonsense"])).status_code == 302


@pytest.mark.parametrize("number", [1, 50])
def test_the_page_takes_the_same_number_of_queries(root: Client, number: int) -> None:
    run = a_waiting_run(*(f"token-{place}" for place in range(number)))
    for place in range(number):
        a_line(run, message=str(place))
        a_checkpoint(run, f"call:{place}/step:inner", place)
    with CaptureQueriesContext(connection) as queries:
        root.get(page_of(run))
    assert len(lookups(queries)) == 8, "\n".join(lookups(queries))


def test_a_long_timeline_is_shown_from_its_end_with_the_way_back(root: Client) -> None:
    run = a_run()
    for number in range(150):
        a_line(run, message=f"line-{number:03}")
    shown = text_of(root.get(page_of(run)))
    assert "line-149" in shown
    assert "line-010" not in shown
    earlier = re.search(r'href="([^"]+\?before=\d+)"', shown)
    assert earlier is not None
    assert "line-010" in text_of(root.get(earlier[1]))
    assert root.get(page_of(run), {"before": "9" * 40}).status_code == 200


def test_the_panel_is_the_page_without_its_frame(root: Client) -> None:
    run = a_running_run()
    shown = text_of(root.get(panel_of(run)))
    assert 'data-id="panel"' in shown
    assert "<html" not in shown
    assert "data-dtd-finished" not in shown
    assert "data-dtd-finished" in text_of(root.get(panel_of(a_failed_run())))
    assert "no-store" in root.get(panel_of(run))["Cache-Control"]


def test_hostile_text_in_every_field_appears_as_text(root: Client) -> None:
    short = HOSTILE[:64]
    error = {"exception_class_path": HOSTILE, "message": HOSTILE, "traceback": HOSTILE, "code": HOSTILE}
    run = a_waiting_run(
        request={"question": HOSTILE, HOSTILE: HOSTILE, "choices": {HOSTILE: HOSTILE}},
        task_path=HOSTILE, queue_name=short, backend=short, lease_worker=HOSTILE, cancel_reason=HOSTILE,
        error_code=HOSTILE[:32], progress_label=HOSTILE, progress_percent=1.0, args=json.dumps([HOSTILE]),
        kwargs=json.dumps({HOSTILE: HOSTILE}), metadata=json.dumps({HOSTILE: HOSTILE}), result=json.dumps(HOSTILE),
        errors=json.dumps([error]),
    )  # fmt: skip
    a_line(run, message=HOSTILE, path=HOSTILE, data=json.dumps(HOSTILE))
    a_line(run, StepKind.AUDIT, message=HOSTILE, data=json.dumps({"by": HOSTILE}))
    a_checkpoint(run, HOSTILE, {HOSTILE: HOSTILE})
    a_worker(HOSTILE, host=HOSTILE, queues=json.dumps([HOSTILE]), package_version=HOSTILE[:32])
    told = {"answer": json.dumps(HOSTILE), "answered_at": run.enqueued_at, "answered_by": HOSTILE}
    a_wait(run, "two", path=HOSTILE + "2", request=HOSTILE, **told)
    ended = a_failed_run(task_path=HOSTILE, queue_name=short, errors=json.dumps([error]), progress_label=HOSTILE)
    rows = f"{reverse('admin:durable_tasks_taskrun_rows')}?id={run.pk}&id={ended.pk}"
    workers = reverse("admin:durable_tasks_worker_changelist")
    pages = [page_of(run), panel_of(run), page_of(ended), panel_of(ended), reverse(LIST), rows, workers]
    pages += [act_on(run, "cancel"), act_on(ended, "copy"), f"{act_on(ended, 'fork')}?path={quote(HOSTILE)}"]
    for address in pages:
        # What nobody sees carries a path as it is.
        shown = re.sub(r'<input type="hidden"[^>]*>', "", text_of(root.get(address)))
        assert "&lt;script&gt;" in shown, address
        for dangerous in ("<script>alert", "<img src=x", "\x1b", "\u202e", 'href="javascript', "='><img"):
            assert dangerous not in shown, (address, dangerous)


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(root: Client) -> None:
    run = a_waiting_run()
    a_failed_run()
    for address in (page_of(run), reverse(LIST), panel_of(run)):
        shown = text_of(root.get(address))
        ours = shown if "<html" not in shown else shown[shown.index('id="content"') :]
        assert not re.search(r"<script(?![^>]*src=)[^>]*>\s*\S", ours), address
        assert not re.search(r"\s(style|on[a-z]+)=", ours), address
        assert "<style" not in ours
        assert not re.search(r"""(src|href)=["'](https?:)?//""", shown), address
    assert '<script src="/static/django_tasks_durable/live.js" type="module"></script>' in text_of(
        root.get(page_of(run))
    )
    static = Path(django_tasks_durable.__file__).parent / "static" / "django_tasks_durable"
    for name in ("live.js", "admin.css"):
        assert not re.search(r"https?://|innerHTML|eval\(", (static / name).read_text()), name


# --- who may


def test_staff_without_the_right_to_view_tasks_see_none() -> None:
    run = a_run()
    client = somebody("nosy", "retry_task", "cancel_task", "resume_task", "view_payload")
    for address in (reverse(LIST), page_of(run), panel_of(run), reverse("admin:durable_tasks_taskrun_rows")):
        assert client.get(address).status_code == 403, address
    assert client.post(act_on(run, "cancel")).status_code == 403


def test_strangers_are_sent_to_log_in() -> None:
    run = a_run()
    for address in (reverse(LIST), page_of(run), panel_of(run)):
        assert Client().get(address).status_code == 302
    assert Client().post(act_on(run, "cancel")).status_code == 302
    assert TaskRun.objects.get(pk=run.pk).status == RunStatus.READY


def test_payloads_are_hidden_from_those_who_may_not_see_them() -> None:
    run = a_full_run()
    shown = text_of(somebody("viewer", "view_taskrun").get(page_of(run)))
    for secret in ("zwei", "customer", "half", "12.5", '"rows"', "Pay?"):
        assert secret not in shown, secret
    assert "(hidden)" in shown
    assert "zwei" in text_of(somebody("trusted", "view_taskrun", "view_payload").get(page_of(run)))


def test_the_question_is_shown_to_those_who_may_answer_it() -> None:
    run = a_waiting_run(request={"question": "Pay?", "api_key": "sesame"})
    shown = text_of(somebody("clerk", "view_taskrun", "resume_task").get(page_of(run)))
    assert "Pay?" in shown
    assert "sesame" not in shown


@pytest.mark.parametrize(
    ("act", "permission", "make"),
    [("cancel", "cancel_task", a_run), ("retry", "retry_task", a_failed_run), ("resume", "resume_task", a_waiting_run)],
)
def test_each_act_has_its_own_permission(act: str, permission: str, make: Any) -> None:
    run = make()
    viewer, actor = somebody("viewer", "view_taskrun"), somebody("actor", "view_taskrun", permission)
    details = {"token": "token", "answer": "1"}
    assert act_on(run, act) not in text_of(viewer.get(page_of(run)))
    assert viewer.post(act_on(run, act), details).status_code == 403
    assert TaskRun.objects.get(pk=run.pk).version == run.version
    assert act_on(run, act) in text_of(actor.get(page_of(run)))
    assert actor.post(act_on(run, act), details).status_code == 302
    assert TaskRun.objects.get(pk=run.pk).version > run.version


def test_nobody_adds_edits_or_deletes(root: Client) -> None:
    run = a_failed_run()
    assert root.get(reverse("admin:durable_tasks_taskrun_add")).status_code == 403
    assert root.post(page_of(run), {"status": "SUCCESSFUL"}).status_code == 405
    assert root.post(reverse("admin:durable_tasks_taskrun_delete", args=[run.pk]), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text_of(root.get(reverse(LIST)))


# --- acts


def test_an_act_is_written_to_the_timeline_and_to_the_admins_history(root: Client) -> None:
    run = a_failed_run()
    response = root.post(act_on(run, "retry"), follow=True)
    assert "run again" in said(response)[0]
    assert TaskRun.objects.get(pk=run.pk).status == RunStatus.READY
    line = Step.objects.filter(run=run).latest("sequence")
    assert json.loads(line.data) == {"act": "retry", "by": "root"}
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.username, entry.change_message) == (str(run.pk), "root", "Retried the task.")
    assert "by root" in text_of(root.get(page_of(run)))
    assert "Retried the task." in text_of(root.get(reverse("admin:durable_tasks_taskrun_history", args=[run.pk])))


def test_a_cancellation_keeps_its_reason(root: Client) -> None:
    run = a_running_run()
    root.post(act_on(run, "cancel"), {"reason": "wrong customer"})
    assert TaskRun.objects.get(pk=run.pk).cancel_reason == "wrong customer"
    assert "Cancelling" in text_of(root.get(page_of(run)))


def test_a_delayed_run_is_made_due(root: Client) -> None:
    run = a_run(due_at=vendors.session().now_at() + timedelta(hours=1))
    assert act_on(run, "run_now") in text_of(root.get(page_of(run)))
    root.post(act_on(run, "run_now"))
    assert act_on(run, "run_now") not in text_of(root.get(page_of(run)))


def test_acts_are_posted_with_a_token_against_forgery() -> None:
    user = User.objects.create_superuser("root")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    run = a_run()
    assert client.post(act_on(run, "cancel")).status_code == 403
    assert client.get(act_on(run, "cancel")).status_code == 200
    assert client.get(act_on(run, "retry")).status_code == 405
    assert TaskRun.objects.get(pk=run.pk).status == RunStatus.READY


def test_acting_on_a_task_that_has_moved_on_says_so_and_shows_its_new_state(root: Client) -> None:
    run = a_failed_run()
    TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)
    response = root.post(act_on(run, "retry"), follow=True)
    assert "is running" in said(response)[0]
    assert "Running" in text_of(response)
    assert not LogEntry.objects.exists()


def test_an_unknown_act_or_run_is_not_found(root: Client) -> None:
    assert root.post(act_on(a_run(), "explode")).status_code == 404
    assert root.post(reverse("admin:durable_tasks_taskrun_act", args=[new_id(), "cancel"])).status_code == 404


@pytest.mark.parametrize(
    ("posted", "stored"),
    [
        ({"answer": '{"ok": true}', "form": "json"}, '{"ok": true}'),
        ({"answer": "null", "form": "json"}, "null"),
        ({"answer": "false"}, "false"),
        ({"answer": " yes, please ", "form": "text"}, '" yes, please "'),
        ({"answer": "", "form": "text"}, '""'),
        ({"choice": '"drop"', "answer": "", "form": "json"}, '"drop"'),
    ],
)
def test_a_question_is_answered_in_json_in_text_or_by_a_choice(
    root: Client, posted: dict[str, str], stored: str
) -> None:
    run = a_waiting_run(request={"question": "What?", "choices": {"drop": "Leave them out", "keep": "Keep them"}})
    shown = text_of(root.get(page_of(run)))
    assert "Leave them out" in shown
    root.post(act_on(run, "resume"), {"token": "token", **posted})
    answer = Wait.objects.get(run=run).answer
    assert answer is not None
    assert json.loads(answer) == json.loads(stored)
    assert Wait.objects.get(run=run).answered_by == "root"


@pytest.mark.parametrize("answer", ["", "{", "NaN", "yes", "[" * 100_000])
def test_an_answer_that_cannot_be_read_comes_back_with_what_is_wrong(root: Client, answer: str) -> None:
    run = a_waiting_run()
    response = root.post(act_on(run, "resume"), {"token": "token", "answer": answer, "form": "json"})
    shown = text_of(response)
    assert "errorlist" in shown
    if 0 < len(answer) < 100:
        assert f">\n{answer}</textarea>" in shown
    assert Wait.objects.get(run=run).answer is None


def test_another_answer_to_the_same_question_is_refused(root: Client) -> None:
    run = a_waiting_run()
    root.post(act_on(run, "resume"), {"token": "token", "answer": "1"})
    response = root.post(act_on(run, "resume"), {"token": "token", "answer": "2"}, follow=True)
    assert "The first answer stands" in said(response)[-1]
    assert Wait.objects.get(run=run).answer == "1"


# --- acts on many


def test_an_act_on_many_says_what_became_of_each(root: Client) -> None:
    failed, running, gone = a_failed_run(), a_running_run(), a_failed_run(status=RunStatus.SUCCESSFUL)
    response = root.post(
        reverse(LIST),
        {"action": "retry_tasks", "_selected_action": [run.pk for run in (failed, running, gone)]},
        follow=True,
    )
    told = said(response)
    assert told[0] == "Retry: 1 task."
    assert any(running.pk.hex[-8:] in line and "running" in line for line in told)
    assert any(gone.pk.hex[-8:] in line and "succeeded" in line for line in told)
    assert TaskRun.objects.get(pk=failed.pk).status == RunStatus.READY
    assert LogEntry.objects.count() == 1


def test_an_act_on_all_that_match_takes_more_than_one_page(root: Client) -> None:
    for _number in range(60):
        a_run(queue_name="slow")
    other = a_run()
    root.post(
        reverse(LIST) + "?queue_name=slow",
        {"action": "cancel_tasks", "select_across": "1", "_selected_action": [other.pk], "confirmed": "yes"},
    )
    assert TaskRun.objects.filter(status=RunStatus.CANCELLED).count() == 60
    assert TaskRun.objects.get(pk=other.pk).status == RunStatus.READY


def test_actions_on_many_are_offered_to_those_who_may() -> None:
    a_run()
    viewer, retrier = somebody("viewer", "view_taskrun"), somebody("retrier", "view_taskrun", "retry_task")
    assert "retry_tasks" not in text_of(viewer.get(reverse(LIST)))
    shown = text_of(retrier.get(reverse(LIST)))
    assert "retry_tasks" in shown
    assert "cancel_tasks" not in shown
    run = a_run()
    retrier.post(reverse(LIST), {"action": "cancel_tasks", "_selected_action": [run.pk], "confirmed": "yes"})
    assert TaskRun.objects.get(pk=run.pk).status == RunStatus.READY


# --- workers


def test_workers_are_listed_with_what_they_hold(root: Client) -> None:
    now = vendors.session().now_at()
    a_worker("busy", heartbeat_at=now, started_at=now)
    a_worker("lost", heartbeat_at=now - timedelta(minutes=5))
    a_running_run(lease_worker="busy")
    shown = text_of(root.get(reverse("admin:durable_tasks_worker_changelist")))
    assert "Alive" in shown
    assert "Late" in shown
    assert "5 min" in shown
    assert page_of(TaskRun.objects.get()) in shown
    assert page_of(TaskRun.objects.get()) in text_of(
        root.get(reverse("admin:durable_tasks_worker_change", args=["busy"]))
    )
    assert root.get(reverse("admin:durable_tasks_worker_change", args=["busy"])).status_code == 200
