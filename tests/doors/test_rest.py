"""Tasks over REST: what is seen, what can be done, and what is answered to what cannot."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.snapshots import read
from django_tasks_durable.testing import drain

from . import tasks
from .callers import BASE, Caller, a_user, somebody
from .rows import a_failed_run, a_full_run, a_line, a_run, a_running_run, a_waiting_run
from .tenants import two_tenants

pytestmark = pytest.mark.django_db
MEASURE = tasks.measure.module_path


def told(response: Any, status: int = 200) -> Any:
    """Return the JSON of a response, which has this status."""
    assert response.status_code == status, response.content
    return response.json()


def refusal(response: Any, status: int) -> str:
    """Return the code of a refusal, which has its one shape."""
    body = told(response, status)
    assert set(body) >= {"code", "message"}
    assert body["message"]
    return str(body["code"])


# --- looking


def test_a_list_shows_the_newest_first_without_payloads() -> None:
    runs = [a_run(args='["sesame"]') for _ in range(3)]
    page = told(somebody().get())
    assert [run["id"] for run in page["results"]] == [str(run.pk) for run in reversed(runs)]
    assert page["next"] is page["previous"] is None
    assert "args" not in page["results"][0]


def test_pages_stay_as_they_are_while_runs_are_enqueued() -> None:
    ids = [str(a_run().pk) for _ in range(7)][::-1]
    ann = somebody()
    seen, page, pages = [], told(ann.get(limit=3)), []
    while True:
        pages.append(page["results"])
        seen += [run["id"] for run in page["results"]]
        a_run()
        if page["next"] is None:
            break
        page = told(ann.get(page["next"]))
    assert seen == ids
    back = told(ann.get(page["previous"]))
    assert back["results"] == pages[-2]
    first = told(ann.get(back["previous"]))
    assert first["results"] == pages[0]
    newer = told(ann.get(first["previous"]))
    assert len(newer["results"]) == 3
    assert newer["previous"] is None
    assert told(ann.get(newer["next"]))["results"] == pages[0]


def test_a_list_keeps_its_question_from_page_to_page() -> None:
    for number in range(6):
        a_failed_run() if number % 2 else a_run()
    ann = somebody()
    page = told(ann.get(limit=2, state=["failed", "stale"]))
    rest = told(ann.get(page["next"]))
    assert [run["state"] for run in page["results"] + rest["results"]] == ["failed"] * 3
    assert rest["next"] is None


def test_every_filter_counts() -> None:
    ann = somebody()
    wanted = tasks.greet.using(dedupe_key="report:42", queue_name="mail").enqueue("ann")
    child = a_run(parent_id=wanted.run_id)
    for _ in range(2):
        a_failed_run()

    def ids(**asked: Any) -> list[str]:
        return [run["id"] for run in told(ann.get(**asked))["results"]]

    assert (
        ids(key="dedupe:report:42") == ids(queue_name="mail") == ids(task_path=tasks.greet.module_path) == [wanted.id]
    )
    assert ids(channel="dedupe:report:42") == ids(channel=["scope:none", f"task:{wanted.id}"]) == [wanted.id]
    assert ids(parent_id=wanted.id) == [str(child.pk)]
    assert len(ids(state="failed")) == len(ids(status="FAILED")) == 2
    assert ids(id=[wanted.id, str(uuid4())]) == [wanted.id]
    assert ids(search=wanted.id[-8:]) == ids(search=wanted.id) == [wanted.id]
    assert ids(search="ffff" * 3) == []
    assert wanted.enqueued_at is not None
    assert wanted.id in ids(enqueued_from=wanted.enqueued_at.isoformat())
    assert wanted.id not in ids(enqueued_until=wanted.enqueued_at.isoformat())
    assert ids(queue_name="mail", state="failed") == []


def test_a_task_is_told_as_its_snapshot_is() -> None:
    run = a_full_run()
    ann, bob = somebody(), somebody("view_taskrun", name="bob")
    seen = told(ann.get(f"{run.pk}/"))
    assert seen["kwargs"] == {"amount": 12.5, "api_key": "••••••"}
    assert seen == json.loads(json.dumps(read.one(run.pk, using="default").as_dict())) | {
        name: seen[name] for name in ("kwargs", "workflow")
    }
    veiled = told(bob.get(f"{run.pk}/"))
    assert {veiled[name] for name in ("args", "kwargs", "metadata")} == {"(hidden)"}
    assert veiled["errors"][0]["traceback"] == "(hidden)"
    assert "sesame" not in str(seen) + str(veiled)
    assert told(bob.get(f"{run.pk}/checkpoints/"))["results"][0]["value"] == "(hidden)"
    assert told(ann.get(f"{run.pk}/checkpoints/"))["results"][0]["value"] == {"rows": 3}


def test_a_run_is_found_by_its_callers_own_id() -> None:
    result = tasks.greet.using(run_id="order-7").enqueue("ann")
    assert told(somebody().get("order-7/"))["id"] == result.id


def test_a_timeline_goes_on_behind_a_line() -> None:
    run = a_run()
    for number in range(5):
        a_line(run, message=f"line {number}")
    ann = somebody()
    assert [line["sequence"] for line in told(ann.get(f"{run.pk}/steps/", after=3))["results"]] == [4, 5, 6]
    assert [line["sequence"] for line in told(ann.get(f"{run.pk}/steps/", limit=2))["results"]] == [5, 6]
    found = told(ann.get(f"{run.pk}/steps/", kind="enqueued"))
    assert [line["sequence"] for line in found["results"]] == [1]
    assert (found["first_sequence"], found["last_sequence"]) == (1, 6)


def test_questions_are_shown_to_those_who_may_answer_and_tokens_to_nobody() -> None:
    run = a_waiting_run("the-token", request={"question": "Pay?", "password": "sesame"})
    ann, bob = somebody(), somebody("view_taskrun", "resume_task", name="bob")
    cat = somebody("view_taskrun", name="cat")
    for path in (f"{run.pk}/waits/", "waits/"):
        for caller in (ann, bob):
            assert told(caller.get(path))["results"][0]["request"] == {"question": "Pay?", "password": "••••••"}
        assert told(cat.get(path))["results"][0]["request"] == "(hidden)"
        assert b"the-token" not in ann.get(path).content
    Wait.objects.update(permission="auth.change_user")
    assert told(bob.get("waits/"))["results"][0]["request"] == "(hidden)"


def test_the_fields_of_a_form_are_told_to_those_who_may_answer_in_it() -> None:
    run = a_waiting_run("the-token", request={"question": "Refund?"})
    Wait.objects.update(form="refund")
    ann, cat = somebody(), somebody("view_taskrun", name="cat")
    fields = {each["name"]: each for each in told(ann.get(f"{run.pk}/waits/"))["results"][0]["form_fields"]}
    assert {name: each["kind"] for name, each in fields.items()} == {
        "amount": "number", "reason": "text", "token": "text"
    }  # fmt: skip
    assert fields["amount"] == {
        "name": "amount", "label": "Amount", "kind": "number", "is_required": True, "help_text": "", "choices": None,
        "initial": None, "least": "0", "most": "100", "longest": None,
    }  # fmt: skip
    assert (fields["reason"]["longest"], fields["token"]["is_required"]) == (40, False)
    assert told(cat.get(f"{run.pk}/waits/"))["results"][0]["form_fields"] is None
    for unknown in ("", "gone.from.the.code"):
        Wait.objects.update(form=unknown)
        assert told(ann.get(f"{run.pk}/waits/"))["results"][0]["form_fields"] is None


def test_every_kind_of_field_is_told_as_a_page_can_draw_it() -> None:
    run = a_waiting_run(request={"question": "All?"})
    Wait.objects.update(form="everything")
    fields = {each["name"]: each for each in told(somebody().get(f"{run.pk}/waits/"))["results"][0]["form_fields"]}
    assert {name: (each["kind"], each["initial"]) for name, each in fields.items()} == {
        "note": ("long_text", None),
        "count": ("integer", "3"),
        "is_urgent": ("boolean", True),
        "size": ("choice", "m"),
        "colours": ("choices", ["red"]),
        "day": ("date", "2026-09-01"),
        "paper": ("other", None),
        "secret": ("hidden", None),
    }
    assert fields["size"]["choices"] == [{"value": "s", "words": "Small"}, {"value": "m", "words": "Middle"}]
    assert fields["is_urgent"]["help_text"] == "Wakes somebody."


# --- what a caller holds already


def test_a_task_that_is_as_it_was_is_not_told_again() -> None:
    run, ann = a_run(args='["sesame"]'), somebody()
    first = ann.get(f"{run.pk}/")
    tag = first["ETag"]
    for known in (tag, f'W/{tag}, "another"', "*"):
        again = ann.get(f"{run.pk}/", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
    for known in ("nonsense", '"another"', tag[:-2], ""):
        assert told(ann.get(f"{run.pk}/", headers={"If-None-Match": known})) == first.json()
    TaskRun.objects.filter(pk=run.pk).update(version=F("version") + 1)
    changed = ann.get(f"{run.pk}/", headers={"If-None-Match": tag})
    assert told(changed)["version"] == run.version + 1
    assert changed["ETag"] != tag


def test_what_another_holds_is_not_what_you_hold() -> None:
    run = a_run(args='["sesame"]')
    ann, cat = somebody(), somebody("view_taskrun", name="cat")
    seen = ann.get(f"{run.pk}/")["ETag"]
    assert told(cat.get(f"{run.pk}/", headers={"If-None-Match": seen}))["args"] == "(hidden)"
    assert cat.get(f"{uuid4()}/", headers={"If-None-Match": "*"}).status_code == 404


def test_a_bootstrap_is_what_a_tracker_polls() -> None:
    runs = [a_run(), a_run(), a_failed_run()]
    for run in runs:
        for number in range(4):
            a_line(run, message=f"line {number}")
    ann = somebody()
    body = told(
        ann.get("bootstrap/", id=[str(run.pk) for run in runs[:2]], after=f"{runs[0].pk}:3", steps=1, aggregate="1")
    )
    lines = {run["id"]: [line["sequence"] for line in run["timeline"]] for run in body["runs"]}
    assert lines == {str(runs[0].pk): [4, 5], str(runs[1].pk): [5]}
    assert body["aggregate"]["total"] == 2
    assert told(ann.get("bootstrap/", limit=1))["aggregate"] is None
    unreached = told(ann.get("bootstrap/", id=str(runs[0].pk), after=f"{runs[0].pk}:9", steps=2))
    assert [line["sequence"] for line in unreached["runs"][0]["timeline"]] == [4, 5]


def test_an_aggregate_counts_what_is_meant() -> None:
    a_run(), a_failed_run(), a_failed_run()
    counts = told(somebody().get("aggregate/", state="failed"))
    assert (counts["total"], counts["by_state"]["failed"], counts["by_state"]["queued"]) == (2, 2, 0)


# --- enqueueing


def test_an_exposed_task_is_enqueued() -> None:
    ann = somebody()
    response = ann.post("", {"task": MEASURE, "args": [3], "kwargs": {"unit": "km"}})
    body = told(response, 202)
    assert (body["state"], body["disposition"], body["args"]) == ("queued", "created", [3])
    assert response["Location"] == f"http://testserver{BASE}{body['id']}/"
    assert body["enqueued_by"] == "ann"
    drain()
    assert told(ann.get(response["Location"]))["result"] == "3 km"


def test_the_same_key_finds_the_same_run_for_its_user_only() -> None:
    ann, bob = somebody(), somebody(name="bob")
    call = {"task": MEASURE, "args": [3]}
    first = told(ann.post("", call, **{"Idempotency-Key": "k1"}), 202)
    again = told(ann.post("", call, **{"Idempotency-Key": "k1"}), 200)
    assert (again["id"], again["disposition"]) == (first["id"], "reused")
    other = {"task": MEASURE, "args": [4]}
    assert refusal(ann.post("", other, **{"Idempotency-Key": "k1"}), 409) == "IDEMPOTENCY_CONFLICT"
    assert told(bob.post("", other, **{"Idempotency-Key": "k1"}), 202)["id"] != first["id"]
    assert TaskRun.objects.count() == 2


@pytest.mark.parametrize("path", [tasks.greet.module_path, tasks.promote.module_path, "os.system", "no such task"])
def test_what_is_not_exposed_to_you_looks_like_what_there_is_not(path: str) -> None:
    assert refusal(somebody().post("", {"task": path, "args": ["x"]}), 400) == "UNKNOWN_TASK"
    assert TaskRun.objects.count() == 0


def test_a_task_may_ask_for_a_permission_of_its_own() -> None:
    ann = somebody("view_taskrun", "enqueue_task", "change_user")
    assert told(ann.post("", {"task": tasks.promote.module_path, "args": ["bob"]}), 202)["state"] == "queued"
    bob = somebody("view_taskrun", "enqueue_task", name="bob")

    def exposed_to(caller: Caller) -> dict[str, str]:
        found = told(caller.get("exposed/"))["results"]
        return {each["task"]: each["signature"] for each in found if each["task"].startswith("tests.doors.")}

    assert list(exposed_to(ann)) == [MEASURE, tasks.promote.module_path]
    assert exposed_to(bob) == {MEASURE: "(length: 'int', unit: 'str' = 'm')"}


@pytest.mark.parametrize(
    "arguments", [{"args": []}, {"args": [1, "m", 2]}, {"kwargs": {"size": 1}}, {"args": [1], "kwargs": {"self": 1}}]
)
def test_arguments_that_do_not_fit_are_refused(arguments: Any) -> None:
    assert refusal(somebody().post("", {"task": MEASURE, **arguments}), 400) == "INVALID_CALL"
    assert TaskRun.objects.count() == 0


# --- acting


def test_a_waiting_task_is_cancelled_at_once_and_a_running_one_soon() -> None:
    ann = somebody()
    waiting, running, failed = a_waiting_run(), a_running_run(), a_failed_run()
    body = told(ann.post(f"{waiting.pk}/cancel/", {"reason": "wrong"}), 200)
    assert (body["state"], body["cancel_reason"]) == ("cancelled", "wrong")
    assert told(ann.post(f"{waiting.pk}/cancel/"), 200)["state"] == "cancelled"
    assert told(ann.post(f"{running.pk}/cancel/"), 202)["state"] == "running"
    assert refusal(ann.post(f"{failed.pk}/cancel/"), 409) == "INVALID_TRANSITION"
    line = Step.objects.get(run=waiting, kind=StepKind.CANCELLED)
    assert json.loads(line.data) == {"act": "cancel", "by": "ann"}


def test_a_failed_task_is_retried() -> None:
    ann = somebody()
    run = a_failed_run()
    assert told(ann.post(f"{run.pk}/retry/"), 202)["state"] == "queued"
    assert refusal(ann.post(f"{run.pk}/retry/"), 409) == "INVALID_TRANSITION"
    assert json.loads(Step.objects.get(run=run, kind=StepKind.AUDIT).data)["by"] == "ann"


def test_a_question_is_answered_once() -> None:
    ann = somebody()
    result = tasks.publish.enqueue("Tea")
    drain()
    assert told(ann.post(f"{result.id}/resume/", {"value": "yes"}), 202)["state"] == "queued"
    assert told(ann.post(f"{result.id}/resume/", {"value": "yes"}), 202)["state"] == "queued"
    assert refusal(ann.post(f"{result.id}/resume/", {"value": "no"}), 409) == "ALREADY_RESOLVED"
    drain()
    assert told(ann.get(f"{result.id}/"))["result"] == {"pages": 3, "published": True}
    assert Wait.objects.get().answered_by == "ann"


def test_one_of_several_questions_is_named_by_its_path() -> None:
    ann = somebody()
    run = a_waiting_run("first", "second")
    body = told(ann.post(f"{run.pk}/resume/", {"value": 1}), 409)
    assert (body["code"], body["paths"]) == ("AMBIGUOUS_RESUME", ["wait:0", "wait:1"])
    assert told(ann.post(f"{run.pk}/resume/", {"value": 1, "path": "wait:1"}), 202)
    answers = Wait.objects.order_by("path").values_list("answer", flat=True)
    assert list(answers) == [None, "1"]
    assert refusal(ann.post(f"{run.pk}/resume/", {"value": 1, "path": "wait:7"}), 400) == "UNKNOWN_PATH"
    taken = ann.post(f"{run.pk}/resume/", {"value": 2, "path": "wait:1"})
    assert (refusal(taken, 409), b"second" in taken.content) == ("ALREADY_RESOLVED", False)


def test_an_answer_takes_the_questions_permission_and_fits_its_form() -> None:
    ann = somebody()
    result = tasks.refund.enqueue(7)
    drain()
    answer = {"value": {"amount": "12.50", "reason": "broken"}}
    assert refusal(ann.post(f"{result.id}/resume/", answer), 403) == "NOT_PERMITTED"
    ann = somebody("view_taskrun", "resume_task", "change_user")
    wrong = told(ann.post(f"{result.id}/resume/", {"value": {"amount": "1000", "reason": "broken"}}), 400)
    assert (wrong["code"], list(wrong["fields"])) == ("INVALID_ANSWER", ["amount"])
    assert refusal(ann.post(f"{result.id}/resume/", {"value": 5}), 400) == "INVALID_ANSWER"
    assert told(ann.post(f"{result.id}/resume/", answer), 202)


def test_a_message_is_received_by_name() -> None:
    ann = somebody()
    run = a_run()
    assert told(ann.post(f"{run.pk}/signal/", {"name": "go", "payload": {"a": 1}}), 202)
    line = Step.objects.get(run=run, kind=StepKind.MESSAGE)
    assert (line.message, json.loads(line.data)["by"]) == ("go", "ann")
    TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.FAILED)
    assert refusal(ann.post(f"{run.pk}/signal/", {"name": "go"}), 409) == "TAKES_NO_MESSAGES"
    assert refusal(ann.post(f"{a_run().pk}/signal/", {"name": " "}), 400) == "INVALID"


def test_a_task_is_copied_and_forked() -> None:
    ann = somebody()
    result = tasks.publish.enqueue("Tea")
    drain()
    copy = ann.post(f"{result.id}/copy/")
    body = told(copy, 202)
    assert (body["args"], body["forked_from"], body["enqueued_by"]) == (["Tea"], result.id, "ann")
    assert told(ann.get(copy["Location"]))["id"] == body["id"]
    path = told(ann.get(f"{result.id}/checkpoints/"))["results"][0]["path"]
    fork = told(ann.post(f"{result.id}/fork/", {"path": path, "values": {path: 99}}), 202)
    assert fork["forked_from"] == result.id
    assert told(ann.get(f"{fork['id']}/checkpoints/"))["results"][0]["value"] == 99
    wrong = told(ann.post(f"{result.id}/fork/", {"path": "step:wrote"}), 400)
    assert (wrong["code"], wrong["near"]) == ("UNKNOWN_PATH", [path])
    assert refusal(ann.post(f"{a_running_run().pk}/fork/", {"path": "x"}), 409) == "INVALID_TRANSITION"


def test_a_delayed_task_is_made_due() -> None:
    result = tasks.greet.using(run_after=timedelta(hours=1)).enqueue("ann")
    ann = somebody()
    told(ann.post(f"{result.id}/run-now/"), 202)
    drain()
    assert told(ann.get(f"{result.id}/"))["state"] == "succeeded"


# --- who may


ACTS: dict[str, Any] = {
    "cancel": {}, "retry": {}, "resume": {"value": 1}, "run-now": {}, "signal": {"name": "go"}, "copy": {}, "fork": {"path": "x"},
}  # fmt: skip


@pytest.mark.parametrize("path", ["", "aggregate/", "bootstrap/", "waits/", f"{uuid4()}/", f"{uuid4()}/steps/"])
def test_nobody_sees_anything_without_a_login_and_the_permission(path: str) -> None:
    assert refusal(Caller().get(path), 403) == "NOT_AUTHENTICATED"
    assert refusal(somebody("enqueue_task").get(path), 403) == "PERMISSION_DENIED"


@pytest.mark.parametrize("run_id", [str(uuid4()), "nonsense", "%00", "x" * 3000, "ä", "0"])
def test_a_task_that_there_is_not_is_not_found_by_any_route(run_id: str) -> None:
    ann = somebody()
    for path in ("", "steps/", "checkpoints/", "waits/"):
        assert refusal(ann.get(f"{run_id}/{path}"), 404) == "NOT_FOUND"
    for act, body in ACTS.items():
        assert refusal(ann.post(f"{run_id}/{act}/", body), 404) == "NOT_FOUND"


def test_a_refusal_does_not_tell_whose_run_stands_in_the_way() -> None:
    with two_tenants():
        held = tasks.greet.using(dedupe_key="k", queue_name="tenant-bob").enqueue("bob")
        columns = {"task_path": tasks.greet.module_path, "dedupe_key": "k", "queue_name": "tenant-ann"}
        run = a_failed_run(**columns)
        response = somebody().post(f"{run.pk}/retry/")
        assert (refusal(response, 409), held.id in str(response.content)) == ("KEY_HELD", False)
        root = Caller(User.objects.create_superuser("root"))
        assert held.id in str(root.post(f"{run.pk}/retry/").content)


def test_what_a_projects_hook_hides_is_hidden_by_every_route() -> None:
    run = a_full_run()
    entry = {
        "BACKEND": "django_tasks_durable.DurableBackend",
        "QUEUES": [],
        "OPTIONS": {"redact": f"{__name__}.no_numbers"},
    }
    with override_settings(TASKS={"default": entry}):
        ann = somebody()
        assert told(ann.get(f"{run.pk}/"))["args"] == ["ann", "zwei", None]
        assert told(ann.get(f"{run.pk}/checkpoints/"))["results"][0]["value"] == {"rows": "ann"}
        assert told(ann.get("bootstrap/"))["runs"][0]["args"] == ["ann", "zwei", None]


def no_numbers(user: User, value: Any) -> Any:
    """Put the user's name in the place of numbers."""
    if isinstance(value, dict):
        return {key: no_numbers(user, item) for key, item in value.items()}
    if isinstance(value, list):
        return [no_numbers(user, item) for item in value]
    return user.get_username() if isinstance(value, (int, float)) else value


def test_a_session_changes_nothing_without_the_token_of_its_page() -> None:
    run = a_failed_run()
    user = a_user("ann", "view_taskrun", "retry_task")
    careful = Caller(user, enforce_csrf_checks=True)
    assert refusal(careful.post(f"{run.pk}/retry/"), 403) == "PERMISSION_DENIED"
    careful.client.cookies["csrftoken"] = token = "a" * 32
    assert told(careful.post(f"{run.pk}/retry/", **{"X-CSRFToken": token}), 202)["state"] == "queued"


def test_a_list_costs_the_same_for_one_run_and_for_many() -> None:
    user = a_user("ann", "view_taskrun", "view_payload")

    def cost(path: str, **asked: Any) -> int:
        caller = Caller(user)
        with CaptureQueriesContext(connection) as queries:
            assert told(caller.get(path, **asked))
        return len(queries)

    a_line(a_waiting_run("t0"))
    paths = ("", "aggregate/", "bootstrap/", "waits/")
    first = [cost(path) for path in paths]
    for number in range(49):
        a_line(a_waiting_run(f"u{number}"))
    assert [cost(path) for path in paths] == first
    # The session and the user, the permissions of the user and of their groups, then the runs.
    assert first[0] == 5
