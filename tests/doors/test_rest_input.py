"""What is wrong with a call is told by name, with a status of the caller's; nothing is stored and nothing breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, override_settings

from django_tasks_durable.models import Message, TaskRun, Wait

from . import tasks
from .callers import BASE, EVERYTHING, Caller, a_user, somebody
from .rows import a_run, a_waiting_run
from .test_rest import refusal, told

pytestmark = pytest.mark.django_db
MEASURE = tasks.measure.module_path
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"cursor": "nonsense"}, "nonsense"),
        ({"cursor": "o" * 200}, "ooo"),
        ({"cursor": "\x00"}, "cursor"),
        ({"id": "nonsense"}, "id"),
        ({"id": ["0" * 32] * 501}, "id"),
        ({"state": "faild"}, "faild"),
        ({"status": "failed"}, "failed"),
        ({"sate": "failed"}, "state"),
        ({"queue_name": "a\x00b"}, "queue_name"),
        ({"queue_name": "x" * 65}, "queue_name"),
        ({"key": "report"}, "key"),
        ({"key": "color:red"}, "key"),
        ({"enqueued_from": "yesterday"}, "enqueued_from"),
        ({"enqueued_from": "0001-01-01T00:00:00+14:00"}, "enqueued_from"),
        ({"enqueued_until": "9999-12-31T23:59:59-14:00"}, "enqueued_until"),
        ({"task_path__startswith": "a"}, "task_path__startswith"),
        ({"_connector": "OR 1=1"}, "_connector"),
        ({"search": "ab"}, "search"),
        ({"format": "xml"}, "format"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(asked: dict[str, Any], named: str) -> None:
    response = somebody().get(**asked)
    assert refusal(response, 400) in {"INVALID", "INVALID_CURSOR"}
    assert named in response.json()["message"]


@pytest.mark.parametrize(
    "asked",
    [
        {"after": "nonsense"},
        {"after": "0198-1:2"},
        {"after": f"{'0' * 32}:-1"},
        {"after": f"{'0' * 32}:{'9' * 40}"},
        {"after": f"{'0' * 32}:٣"},
        {"steps": "201"},
        {"limit": "501"},
        {"aggregate": "perhaps"},
    ],
    ids=str,
)
def test_a_wrong_position_is_refused(asked: dict[str, Any]) -> None:
    assert refusal(somebody().get("bootstrap/", **asked), 400) == "INVALID"


def test_a_cursor_that_was_changed_is_refused() -> None:
    for _ in range(3):
        a_run()
    ann = somebody()
    cursor = told(ann.get(limit=1))["next"].partition("cursor=")[2].partition("&")[0]
    for changed in (cursor[:-1], f"n{cursor[1:]}", f"{cursor}x", cursor.replace("0", "1", 1)):
        assert refusal(ann.client.get(f"{BASE}?cursor={changed}"), 400) == "INVALID_CURSOR"
    with override_settings(SECRET_KEY="another"):
        ann = somebody()
        assert refusal(ann.client.get(f"{BASE}?cursor={cursor}"), 400) == "INVALID_CURSOR"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID"),
        (b"nonsense", 400, "NOT_JSON"),
        (b"\xff\xfe", 400, "NOT_JSON"),
        (b'{"task": NaN}', 400, "NOT_JSON"),
        (DEEP, 400, "NOT_JSON"),
        (b'{"task": ' + b"9" * 5000 + b"}", 400, "NOT_JSON"),
        (b"[]", 400, "INVALID"),
        (b"null", 400, "INVALID"),
        (b'"text"', 400, "INVALID"),
        (b"7", 400, "INVALID"),
        (b"{" + b" " * 300_000 + b"}", 413, "PAYLOAD_TOO_LARGE"),
        ({"task": 7.5}, 400, "UNKNOWN_TASK"),
        ({"task": None}, 400, "INVALID"),
        ({"task": []}, 400, "INVALID"),
        ({"task": "a\x00b"}, 400, "INVALID"),
        (b'{"task": "\\ud800"}', 400, "INVALID"),
        ({"task": "x" * 256}, 400, "INVALID"),
        ({"task": MEASURE, "args": {}}, 400, "INVALID"),
        ({"task": MEASURE, "args": "1"}, 400, "INVALID"),
        ({"task": MEASURE, "args": None}, 400, "INVALID"),
        ({"task": MEASURE, "kwargs": []}, 400, "INVALID"),
        ({"task": MEASURE, "queue_name": "fast"}, 400, "INVALID"),
        ({"task": MEASURE, "priority": 100}, 400, "INVALID"),
        ({"task": MEASURE, "args": [1], "run_after": "soon"}, 400, "INVALID"),
        ({"task": MEASURE, "args": [1], "run_after": "9999-12-31T23:59:59Z"}, 400, "INVALID"),
        ({"task": MEASURE, "args": ["a\x00b"]}, 400, "NOT_SERIALIZABLE"),
        (b'{"task": "%s", "args": ["\\ud800"]}' % MEASURE.encode(), 400, "NOT_SERIALIZABLE"),
        (b'{"task": "%s", "kwargs": {"\\ud800": 1}}' % MEASURE.encode(), 400, "NOT_SERIALIZABLE"),
        (b'{"task": "%s", "args": [1e999]}' % MEASURE.encode(), 400, "NOT_SERIALIZABLE"),
        (b'{"task": "%s", "args": [%s]}' % (MEASURE.encode(), b"[" * 70 + b"]" * 70), 400, "NOT_SERIALIZABLE"),
        ({"task": MEASURE, "args": ["x" * 263_000]}, 413, "PAYLOAD_TOO_LARGE"),
    ],
    ids=lambda each: str(each)[:60],
)
def test_a_wrong_call_is_refused(body: Any, status: int, code: str) -> None:
    response = somebody().post("", body)
    assert refusal(response, status) == code
    assert len(response.content) < 5000
    assert TaskRun.objects.count() == 0


@pytest.mark.parametrize(
    "value", [2**70, -(2**70), 1e300, "😀", {"$datetime": "x"}, {"$model": ["auth.user", 1]}, [[]]]
)
def test_whatever_is_json_arrives_as_it_was_sent(value: Any) -> None:
    ann = somebody()
    run = told(ann.post("", {"task": MEASURE, "args": [value]}), 202)
    assert json.loads(json.dumps(run["args"])) in ([value], [hex(value)] if isinstance(value, int) else [value])
    assert TaskRun.objects.count() == 1


@pytest.mark.parametrize("key", ["", " ", "a" * 201, "a\tb", "ä" * 300])
def test_a_wrong_idempotency_key_is_refused(key: str) -> None:
    call = {"task": MEASURE, "args": [1]}
    assert refusal(somebody().post("", call, **{"Idempotency-Key": key}), 400) in {"INVALID", "INVALID_KEY"}
    assert TaskRun.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("cancel/", {"reason": "x" * 501}, "INVALID"),
        ("cancel/", {"reason": "a\x00b"}, "INVALID"),
        ("cancel/", {"why": "x"}, "INVALID"),
        ("cancel/", b'{"reason": "\\udfff"}', "INVALID"),
        ("cancel/", [], "INVALID"),
        ("retry/", {"really": True}, "INVALID"),
        ("resume/", {}, "INVALID"),
        ("resume/", {"value": "a\x00b"}, "NOT_SERIALIZABLE"),
        ("resume/", {"value": 1, "path": "a\x00b"}, "INVALID"),
        ("resume/", {"value": 1, "path": 7}, "UNKNOWN_PATH"),
        ("resume/", {"value": 1, "token": "token"}, "INVALID"),
        ("signal/", {"name": "a/b"}, "INVALID_KEY"),
        ("signal/", {"name": "x" * 201}, "INVALID"),
        ("signal/", {"name": "go", "payload": "\x00"}, "NOT_SERIALIZABLE"),
        ("fork/", {"path": "x", "values": 7}, "INVALID"),
        ("fork/", {"path": "x", "values": {"\x00": 1}}, "UNKNOWN_PATH"),
    ],
    ids=str,
)
def test_a_wrong_act_is_refused_and_changes_nothing(path: str, body: Any, code: str) -> None:
    run = a_waiting_run()
    before = TaskRun.objects.values().get()
    assert refusal(somebody().post(f"{run.pk}/{path}", body), 400) == code
    assert TaskRun.objects.values().get() == before
    assert Message.objects.count() == 0
    assert Wait.objects.get().answer is None


def test_an_answer_that_is_too_large_is_refused() -> None:
    run = a_waiting_run()
    assert refusal(somebody().post(f"{run.pk}/resume/", {"value": "x" * 263_000}), 413) == "PAYLOAD_TOO_LARGE"
    assert refusal(somebody().post(f"{run.pk}/signal/", {"name": "go", "payload": "x" * 263_000}), 413)


def test_what_is_no_json_by_its_type_is_refused() -> None:
    ann = somebody()
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/xml",
        "nonsense",
    ):
        response = ann.client.post(BASE, "a=b", content_type=kind)
        assert refusal(response, 415) == "UNSUPPORTED_MEDIA_TYPE", kind
    assert refusal(ann.client.get(BASE, headers={"Accept": "text/html"}), 406) == "NOT_ACCEPTABLE"


def test_a_body_that_a_form_sends_does_not_slip_past_the_token_of_its_page() -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(a_user("ann", *EVERYTHING))
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"):
        assert client.post(BASE, "nonsense", content_type=kind).status_code in {400, 403}
    assert TaskRun.objects.count() == 0


def test_a_verb_that_there_is_not_is_refused_in_the_same_shape() -> None:
    ann = somebody()
    for verb in ("PUT", "PATCH", "DELETE"):
        assert refusal(ann.client.generic(verb, BASE), 405) == "METHOD_NOT_ALLOWED"
    assert ann.client.head(BASE).status_code == ann.client.options(BASE).status_code == 200


def test_too_many_calls_are_told_to_wait() -> None:
    tasks_setting = {
        "default": {
            "BACKEND": "django_tasks_durable.DurableBackend",
            "QUEUES": [],
            "OPTIONS": {"rest": {"write_rate": "2/min", "read_rate": "3/min"}},
        }
    }
    with override_settings(TASKS=tasks_setting):
        ann, bob = somebody(name="often"), somebody(name="seldom")
        call = {"task": MEASURE, "args": [1]}
        for _ in range(2):
            told(ann.post("", call), 202)
        response = ann.post("", call)
        assert (refusal(response, 429), int(response["Retry-After"]) > 0) == ("THROTTLED", True)
        for _ in range(3):
            told(ann.get())
        assert refusal(ann.get(), 429) == "THROTTLED"
        assert told(bob.post("", call), 202)
    assert TaskRun.objects.count() == 3


class Nobody:
    """A permission that nobody has."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Refuse."""
        return False


class Anybody(Nobody):
    """A permission that everybody has."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Allow."""
        return True


@pytest.mark.parametrize(("permission", "status"), [("Nobody", 403), ("Anybody", 200)])
def test_the_settings_may_ask_for_more_and_never_for_less(permission: str, status: int) -> None:
    rest = {
        "permissions": [f"{__name__}.{permission}"],
        "authentication": ["rest_framework.authentication.SessionAuthentication"],
    }
    entry = {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": {"rest": rest}}
    with override_settings(TASKS={"default": entry}):
        assert somebody().get().status_code == status
        assert Caller().get().status_code == 403
        assert somebody("enqueue_task", name="bob").get().status_code == 403
