"""Links and webhooks as the engine sees them: an address is made once, an answer may come early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import override_settings

from django_tasks_durable import approval_url, webhook, webhook_url
from django_tasks_durable.exceptions import BadLink, Interrupted
from django_tasks_durable.primitives import links

from .laboratory import Bench, local


@local
def payer(context: Any) -> Any:
    """Hand out an address twice and wait twice."""
    found = []
    for _ in range(2):
        address = context.webhook_url("paid", valid_for=3600)
        found += [address, context.step("register", str, address), context.webhook("paid")]
    return found


def target(address: str, kind: str = links.WEBHOOK) -> links.Link:
    """Read the link of an address."""
    return links.read(kind, address.rstrip("/").rpartition("/")[2])


def test_an_address_leads_to_the_next_wait_of_its_key(frozen: datetime) -> None:
    bench = Bench(payer)
    bench.slice()
    bench.answer("one").slice()
    bench.answer("two").slice()
    first, registered, one, second, _, two = bench.result
    assert (one, two, registered) == ("one", "two", first)
    assert [target(each).path for each in (first, second)] == ["webhook:paid", "webhook:paid#2"]
    assert target(first).run_id == bench.run_id
    assert target(first).expires_at == frozen + timedelta(hours=1)
    assert list(bench.run.waits) == ["webhook:paid", "webhook:paid#2"]


def test_an_address_stays_when_the_key_of_the_site_changes() -> None:
    """It may have been handed out, and is an argument of a step whose fingerprint must not change."""
    bench = Bench(payer)
    bench.slice()
    made = bench.checkpoints["link:paid"]
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=["only-for-the-tests"]):
        bench.answer(1).slice()
        assert target(made).path == "webhook:paid"
    assert bench.checkpoints["link:paid"] == made


def test_an_address_in_a_nested_call_leads_into_it() -> None:
    @local
    def outer(context: Any) -> Any:
        return context.call(payer).value

    bench = Bench(outer)
    bench.slice()
    path = next(path for path in bench.checkpoints if path.endswith("link:paid"))
    assert target(bench.checkpoints[path]).path == bench.run.open_waits[0].path == path.replace("link:", "webhook:")


def test_an_address_begins_with_the_sites_own() -> None:
    with override_settings(
        TASKS={
            "default": {
                "BACKEND": "django_tasks_durable.DurableBackend",
                "OPTIONS": {"base_url": "https://shop.example/"},
            }
        }
    ):
        assert webhook_url("paid").startswith("https://shop.example/tasks/answers/webhook/")
    assert approval_url("refund").startswith("/tasks/answers/approval/")


@override_settings(ROOT_URLCONF="tests.probe.no_urls")
def test_a_site_without_addresses_says_what_is_missing() -> None:
    bench = Bench(payer)
    bench.slice()
    assert "django_tasks_durable.answers.urls" in bench.error()["message"]


def test_a_webhook_takes_what_came_before_it() -> None:
    bench = Bench(payer)
    bench.store.send(bench.run_id, "webhook:paid", {"n": 1})
    bench.slice()
    bench.answer("two").slice()
    assert bench.result[2::3] == [{"n": 1}, "two"]


def test_a_coroutine_hands_out_and_waits_too() -> None:
    @local
    async def body(context: Any) -> Any:
        made = [await context.awebhook_url("paid"), await context.aapproval_url("refund")]
        return [target(made[0]).path, target(made[1], links.APPROVAL).path, await context.awebhook("paid")]

    bench = Bench(body)
    bench.slice()
    bench.answer(7).slice()
    assert bench.result == ["webhook:paid", "approval:refund", 7]


def test_outside_of_a_task_nobody_calls() -> None:
    assert webhook("paid", timeout=1, default="none") == "none"
    with pytest.raises(Interrupted):
        webhook("paid")


def test_a_link_is_good_for_its_own_kind_and_whole() -> None:
    link = links.Link(kind=links.WEBHOOK, run_id=uuid4(), path="webhook:paid", backend="default")
    signed = link.sign()
    assert links.read(links.WEBHOOK, signed) == link
    dated = links.Link(
        kind=links.APPROVAL, run_id=uuid4(), path="a", backend="b", expires_at=datetime(2030, 1, 1, tzinfo=UTC)
    )
    assert links.read(links.APPROVAL, dated.sign()) == dated
    for kind, text in (
        (links.APPROVAL, signed),
        (links.WEBHOOK, signed[:-1]),
        (links.WEBHOOK, ""),
        (links.WEBHOOK, "x"),
    ):
        with pytest.raises(BadLink):
            links.read(kind, text)
