"""Links: a page that only acts when it is posted, and a webhook; what is wrong has its own status and changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse

from django_tasks_durable.models import Checkpoint, Message, Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import RunStatus, StepKind
from django_tasks_durable.store import control
from django_tasks_durable.testing import advance, drain, frozen
from tests.store import acts

from . import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def stopped() -> Any:
    """Stop the clocks, and forget how often links were followed."""
    cache.clear()
    with frozen() as at:
        yield at


def mailed(**options: Any) -> tuple[TaskRun, str]:
    """Let a run ask by mail; return it and the address that it sent."""
    result = tasks.by_mail.enqueue(**options)
    drain()
    return TaskRun.objects.get(pk=result.id), address_of(result.id)


def hooked(*, waiting: bool = True) -> tuple[TaskRun, str]:
    """Let a run hand out a webhook, and wait for it unless told otherwise."""
    result = tasks.by_hook.enqueue()
    drain()
    if waiting:
        advance(60)
        drain()
    return TaskRun.objects.get(pk=result.id), address_of(result.id)


def address_of(run_id: str) -> str:
    """Return the address that a run handed out."""
    return str(codec.decode(Checkpoint.objects.get(run_id=run_id, path__startswith="link:").value))


def post(address: str, body: Any, **options: Any) -> Any:
    """Call a webhook."""
    text = body if isinstance(body, bytes) else json.dumps(body)
    return Client(enforce_csrf_checks=True).post(address, text, content_type="application/json", **options)


def value_of(run: TaskRun) -> Any:
    """Return what a run returned."""
    text = TaskRun.objects.get(pk=run.pk).result
    assert text is not None
    return codec.decode(text)


# --- the page


def test_a_look_at_a_link_changes_nothing() -> None:
    _, address = mailed()
    before = acts.everything()
    for _ in range(3):
        response = Client().get(address)
        assert response.status_code == 200
    assert Client().head(address).status_code == 200
    assert acts.everything() == before
    shown = response.content.decode()
    assert "Go on?" in shown
    assert "Approve" in shown
    assert "sesame" not in shown
    assert response["Cache-Control"].startswith("max-age=0, no-cache, no-store")


def test_the_page_stands_under_a_strict_policy_of_content() -> None:
    _, address = mailed()
    shown = Client().get(address).content.decode()
    assert not re.search(r"<script|\son\w+=|\sstyle=|<style", shown)
    assert re.findall(r'(?:src|href)="([^"]*)"', shown) == ["/static/django_tasks_durable/answers.css"]


@pytest.mark.parametrize(("choice", "value"), [("true", True), ("false", False)])
def test_a_post_answers_once(choice: str, value: bool) -> None:
    run, address = mailed()
    response = Client().post(address, {"choice": choice})
    assert response.status_code == 200
    assert "Thank you" in response.content.decode()
    assert Wait.objects.get().answered_by == "link"
    for again in ({"choice": choice}, {"choice": "false"}):
        assert Client().post(address, again).status_code == 409
    assert Client().get(address).status_code == 409
    drain()
    assert value_of(run) is value
    assert Step.objects.filter(kind=StepKind.RESUMED).count() == 1


def test_a_post_without_the_pages_token_is_refused() -> None:
    _, address = mailed()
    careful = Client(enforce_csrf_checks=True)
    before = acts.everything()
    assert careful.post(address, {"choice": "true"}).status_code == 403
    assert acts.everything() == before
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', careful.get(address).content.decode())
    assert token
    assert careful.post(address, {"choice": "true", "csrfmiddlewaretoken": token[1]}).status_code == 200


@pytest.mark.parametrize("posted", [{}, {"choice": ""}, {"choice": "yes"}, {"choice": '"drop table"'}])
def test_an_answer_that_was_not_offered_is_refused(posted: dict[str, str]) -> None:
    _, address = mailed()
    before = acts.everything()
    response = Client().post(address, posted)
    assert response.status_code == 400
    assert "errorlist" in response.content.decode()
    assert acts.everything() == before


def test_a_form_of_the_projects_makes_the_answer() -> None:
    run, address = mailed(form="refund")
    assert 'name="amount"' in Client().get(address).content.decode()
    wrong = Client().post(address, {"amount": "1000", "reason": "broken"})
    assert (wrong.status_code, Wait.objects.get().answer) == (400, None)
    assert "less than or equal to 100" in wrong.content.decode()
    assert Client().post(address, {"amount": "1.50", "reason": "broken"}).status_code == 200
    drain()
    assert str(value_of(run)["amount"]) == "1.50"


def test_a_link_with_a_permission_asks_who_you_are() -> None:
    _, address = mailed(permission="auth.change_user")
    before = acts.everything()
    bob, ann = User.objects.create_user("bob"), User.objects.create_user("ann")
    ann.user_permissions.set(Permission.objects.filter(codename="change_user"))
    for client in (Client(), Client()):
        assert client.get(address).status_code == 403
        assert client.post(address, {"choice": "true"}).status_code == 403
        client.force_login(bob)
        assert client.post(address, {"choice": "true"}).status_code == 403
    assert acts.everything() == before
    client.force_login(ann)
    assert client.post(address, {"choice": "true"}).status_code == 200
    assert Wait.objects.get().answered_by == "ann"


def test_a_form_that_this_site_does_not_know_is_no_crash() -> None:
    _, address = mailed(form="refund")
    Wait.objects.update(form="os.system")
    assert Client().get(address).status_code == 503


def test_a_question_that_was_not_put_yet_is_asked_for_later() -> None:
    run, address = mailed()
    Wait.objects.all().delete()
    TaskRun.objects.filter(pk=run.pk).update(status=RunStatus.READY)
    response = Client().get(address)
    assert (response.status_code, response["Retry-After"]) == (404, "5")


@pytest.mark.parametrize(("seconds", "end"), [(3600, None), (0, "cancelled"), (0, "gone")])
def test_a_link_whose_time_has_come_is_gone(seconds: int, end: str | None, stopped: datetime) -> None:
    run, address = mailed()
    advance(seconds)
    if end == "cancelled":
        control.cancel(run.pk, using="default")
    elif end == "gone":
        TaskRun.objects.all().delete()
    before = acts.everything()
    assert Client().get(address).status_code == 410
    assert Client().post(address, {"choice": "true"}).status_code == 410
    assert acts.everything() == before


def test_an_answer_after_the_deadline_is_refused() -> None:
    _, address = mailed()
    Wait.objects.update(deadline=Wait.objects.get().created_at)
    assert Client().post(address, {"choice": "true"}).status_code == 410
    assert Wait.objects.get().answer is None


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
def test_other_methods_are_not_known(method: str) -> None:
    (_, page), (_, hook) = mailed(), hooked()
    assert getattr(Client(), method)(page).status_code == 405
    assert getattr(Client(), method)(hook).status_code == 405
    assert Client().get(hook).status_code == 405


def test_a_link_that_was_changed_leads_nowhere() -> None:
    (_, page), (_, hook) = mailed(), hooked()
    before = acts.everything()
    for address in (page[:-4] + "x/", hook[:-4] + "x/", page.replace("approval/", "webhook/")):
        assert Client().post(address, {"choice": "true"}).status_code == 404
    assert Client().get(hook.replace("webhook/", "approval/")).status_code == 404
    with override_settings(SECRET_KEY="another"):
        assert Client().get(page).status_code == 404
    assert acts.everything() == before


@contextmanager
def rated(**options: Any) -> Iterator[None]:
    """Set how often links may be followed, at the beginning of a period."""
    place = {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": options}
    now = datetime.now(UTC)
    with override_settings(TASKS={"default": place}), frozen(now.replace(minute=0, second=0, microsecond=0)):
        yield


def test_a_link_is_followed_so_often_and_then_told_to_wait() -> None:
    (_, page), (_, other) = mailed(), mailed()
    with rated(link_rate="3/minute"):
        assert [Client().get(page).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        refused = Client().get(page)
        assert refused["Retry-After"] == "60"
        assert "too often" in refused.content.decode()
        assert Client().post(page, {"choice": "true"}).status_code == 429
        assert Client().get(other).status_code == 200
    with rated(link_rate=None):
        assert Client().get(page).status_code == 200


def test_the_next_period_has_room_again_whatever_a_cache_makes_of_the_time_of_a_key(tmp_path: Path) -> None:
    _, page = mailed()
    file = {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(tmp_path),
        "TIMEOUT": None,
    }
    with override_settings(CACHES={"default": file}), rated(link_rate="2/minute"):
        assert [Client().get(page).status_code for _ in range(3)] == [200, 200, 429]
        advance(45)
        refused = Client().get(page)
        assert (refused.status_code, refused["Retry-After"]) == (429, "15")
        advance(15)
        assert Client().get(page).status_code == 200


def test_however_many_addresses_guess_they_take_so_much_of_the_cache_and_no_more(tmp_path: Path) -> None:
    _, page = mailed()
    file = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)}
    with override_settings(CACHES={"default": file}), rated(wrong_link_rate="3/minute"):
        for number in range(400):
            Client().get(page[:-9] + "x/", REMOTE_ADDR=f"10.0.{number // 250}.{number % 250}")
        assert len(list(tmp_path.iterdir())) <= 256


def test_a_webhook_is_called_so_often_and_then_told_to_wait() -> None:
    _, hook = hooked()
    with rated(link_rate="2/hour"):
        assert [post(hook, {"ok": True}).status_code for _ in range(3)] == [200, 200, 429]
        refused = post(hook, {"ok": True})
    assert (refused.json()["code"], refused["Retry-After"]) == ("TOO_OFTEN", "3600")


def test_wrong_links_are_refused_by_the_address_that_they_come_from(caplog: pytest.LogCaptureFixture) -> None:
    _, page = mailed()
    with rated(wrong_link_rate="3/minute"):
        wrong = [page[: -9 - number] + "x/" for number in range(5)]
        assert [Client().get(each).status_code for each in wrong] == [404, 404, 404, 429, 429]
        assert len([record for record in caplog.records if "refused with" in record.message]) == 3
        assert Client().get(wrong[0], REMOTE_ADDR="203.0.113.9").status_code == 404
        # Others may stand behind the same proxy, with good links.
        assert Client().get(page).status_code == 200


def test_a_cache_that_fails_holds_up_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    _, page = mailed()

    def broken(*args: Any, **options: Any) -> None:
        raise ConnectionError("the cache is away")

    monkeypatch.setattr("django_tasks_durable.answers.rates.cache.add", broken)
    with rated(link_rate="1/hour"):
        assert [Client().get(page).status_code for _ in range(3)] == [200] * 3


def test_a_link_outlives_a_new_key_for_as_long_as_the_old_one_is_a_fallback() -> None:
    _, page = mailed()
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=["only-for-the-tests"]):
        assert Client().get(page).status_code == 200


def test_the_address_is_a_key_and_stands_in_no_log_and_no_door(caplog: pytest.LogCaptureFixture, root: Client) -> None:
    (run, page), (_, hook) = mailed(permission="auth.change_user"), hooked()
    signed = [address.rstrip("/").rpartition("/")[2] for address in (page, hook)]
    for address in (page, hook, page[:-4] + "x/"):
        response = Client().get(address)
        assert response.status_code in (403, 404, 405)
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"].startswith("noindex")
    names = [record.name for record in caplog.records]
    assert (names.count("django_tasks_durable.answers"), names.count("django.request")) == (3, 0)
    for door in ("", "checkpoints/", "steps/", "waits/"):
        for row in TaskRun.objects.all():
            shown = root.get(f"/api/tasks/{row.pk}/{door}")
            assert shown.status_code == 200
            assert not any(each in shown.content.decode() for each in signed)
    shown = root.get(reverse("admin:durable_tasks_taskrun_change", args=[run.pk])).content.decode()
    assert not any(each in line for each in signed for line in (shown, caplog.text))


# --- the webhook


def test_a_webhook_takes_its_json_once() -> None:
    run, address = hooked()
    response = post(address, {"paid": True})
    assert (response.status_code, response.json()) == (200, {"accepted": True})
    assert post(address, {"paid": True}).status_code == 200
    other = post(address, {"paid": False})
    assert (other.status_code, other.json()["code"]) == (409, "ALREADY_RESOLVED")
    assert (Wait.objects.get().answered_by, Step.objects.filter(kind=StepKind.RESUMED).count()) == ("webhook", 1)
    drain()
    assert value_of(run) == {"paid": True}
    assert post(address, {"paid": True}).status_code == 200
    assert post(address, {"paid": False}).status_code == 409


@pytest.mark.parametrize("payload", [None, 0, "", False, [], {}])
def test_an_empty_payload_is_a_payload(payload: Any) -> None:
    run, address = hooked()
    assert post(address, payload).status_code == 200
    drain()
    assert value_of(run) == payload


def test_a_call_may_come_before_the_run_waits_for_it() -> None:
    run, address = hooked(waiting=False)
    assert post(address, {"paid": True}).status_code == 200
    assert post(address, {"paid": True}).status_code == 200
    assert post(address, {"paid": False}).status_code == 409
    assert Message.objects.count() == 1
    advance(60)
    drain()
    assert value_of(run) == {"paid": True}
    assert not Wait.objects.exists()


def test_an_early_call_is_the_first_answer_though_the_run_has_not_taken_it() -> None:
    from django_tasks_durable.exceptions import AlreadyResolved

    run, address = hooked()
    Message.objects.create(run=run, name="webhook:paid", payload="1", sent_at=run.enqueued_at)
    token = Wait.objects.get().token
    with pytest.raises(AlreadyResolved):
        control.resume(run.pk, 2, token=token, using="default")
    control.resume(run.pk, 1, token=token, using="default")
    assert (Wait.objects.get().answer, post(address, 1).status_code, post(address, 2).status_code) == (None, 200, 409)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"NaN", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'"\\u0000"', 400),
        (b"1e999", 400),
        (b'"' + b"x" * 300_000 + b'"', 413),
    ],
)
@pytest.mark.parametrize("waiting", [True, False])
def test_a_body_that_cannot_be_an_answer_is_refused(body: bytes, status: int, waiting: bool) -> None:
    _, address = hooked(waiting=waiting)
    before = acts.everything()
    assert post(address, body).status_code == status
    assert acts.everything() == before


def test_a_body_that_does_not_tell_its_length_is_not_read_past_the_limit() -> None:
    _, address = hooked()
    assert post(address, b'"' + b"x" * 300_000 + b'"', CONTENT_LENGTH="12").status_code in {400, 413}
    assert Wait.objects.get().answer is None


@pytest.mark.parametrize("end", ["late", "cancelled", "gone", "default", "expired"])
def test_a_webhook_that_is_not_waited_for_any_more_is_gone(end: str) -> None:
    run, address = hooked()
    match end:
        case "late":
            advance(600)
        case "cancelled":
            control.cancel(run.pk, using="default")
        case "gone":
            TaskRun.objects.all().delete()
        case "default":
            advance(600)
            drain()
            assert value_of(run) == "none"
        case "expired":
            advance(3600)
    before = acts.everything()
    assert post(address, 1).status_code == 410
    assert acts.everything() == before
