"""The WebSocket: who is let in, what is told, in which order, and what strangers get for an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from django_tasks_durable.live import news
from django_tasks_durable.live.tracker import Tracker
from django_tasks_durable.primitives.status import RunStatus, StepKind
from tests.doors.rows import a_line, a_run, later

from .client import apart, assert_equals_the_database, change, write

Connect = Callable[..., Any]
awrite, achange, a_run_a, a_line_a = (sync_to_async(each) for each in (write, change, a_run, a_line))


@pytest.mark.seed("TR-30", "TR-32", "TR-P4")
async def test_the_first_that_is_told_is_a_bootstrap_with_the_subscriptions_id(
    clients: Connect, operator: User
) -> None:
    run = await a_run_a()
    client = await clients(operator)
    assert client.subprotocol == "dtd.v1"
    await client.say("subscribe", id="mine", query={"ids": [str(run.pk)]})
    assert await client.next() == {"type": "subscribed", "id": "mine"}
    told = await client.next()
    assert (told["type"], told["id"], told["v"]) == ("bootstrap", "mine", 1)
    assert [each["id"] for each in told["runs"]] == [str(run.pk)]
    assert [line["kind"] for line in told["runs"][0]["timeline"]] == ["enqueued"]
    assert told["aggregate"] is None


@pytest.mark.seed("TR-30", "TR-31", "TR-P3")
async def test_a_tracker_goes_on_from_the_bootstrap_and_ends_as_the_database(clients: Connect, operator: User) -> None:
    run = await a_run_a()
    client = await clients(operator)
    tracker = Tracker()
    tracker.apply(await client.subscribe())
    await awrite(run.pk, StepKind.CLAIMED, status=RunStatus.CLAIMED)
    await awrite(run.pk, StepKind.STARTED, status=RunStatus.RUNNING, started_at=later(1))
    await awrite(run.pk, StepKind.SUCCEEDED, status=RunStatus.SUCCESSFUL, finished_at=later(2))
    for told in await client.hear_until(
        lambda told: told["type"] == "changed" and told["task"]["state"] == "succeeded"
    ):
        tracker.apply(told)
    await sync_to_async(assert_equals_the_database)(tracker, run.pk)


@pytest.mark.seed("TR-32")
async def test_one_socket_carries_several_subscriptions_and_the_same_id_replaces(
    clients: Connect, operator: User
) -> None:
    first, second = await a_run_a(), await a_run_a()
    client = await clients(operator)
    await client.subscribe("one", query={"ids": [str(first.pk)]})
    await client.subscribe("two", query={"ids": [str(second.pk)]})
    await client.subscribe("one", query={"ids": [str(second.pk)]})
    await awrite(first.pk)
    await awrite(second.pk)
    heard = [await client.hear("step"), await client.hear("step")]
    assert sorted(told["id"] for told in heard) == ["one", "two"]
    assert {told["task_id"] for told in heard} == {str(second.pk)}

    await client.say("unsubscribe", id="one")
    await client.hear("unsubscribed")
    await awrite(second.pk)
    assert (await client.hear("step"))["id"] == "two"
    await client.say("ping")
    heard = await client.hear_until(lambda told: told["type"] == "pong")
    assert {told.get("id") for told in heard} <= {"two", None}


async def test_a_run_that_turns_up_is_told_to_who_asked_for_its_like(clients: Connect, operator: User) -> None:
    client = await clients(operator)
    await client.subscribe("pay", query={"task_paths": ["shop.tasks.pay"], "queue_names": ["money"]})
    for wrong in ({"task_path": "shop.tasks.ship", "queue_name": "money"}, {"queue_name": "default"}):
        await awrite((await a_run_a(**wrong)).pk)
    right = await a_run_a(queue_name="money", args="[7]")
    await awrite(right.pk)
    heard = await client.hear_until(lambda told: told["type"] == "changed" and told["task"]["version"] == 2)
    assert {told.get("task_id") or told["task"]["id"] for told in heard} == {str(right.pk)}
    assert [told["step"]["sequence"] for told in heard if told["type"] == "step"] == [1, 2]
    # Of a run that was not told yet, all is told.
    assert next(told for told in heard if told["type"] == "changed")["task"]["args"] == [7]
    await awrite(right.pk)
    assert "args" not in (await client.hear("changed"))["task"]


async def test_what_one_commit_brings_is_one_message(clients: Connect, operator: User) -> None:
    run = await a_run_a(status=RunStatus.RUNNING, due_at=None, started_at=later(1))
    client = await clients(operator)
    await client.subscribe(7, query={"ids": [str(run.pk)]})
    await awrite(run.pk, count=2)
    told = json.loads(await client.wire.receive_from(timeout=15))
    assert (told["type"], told["id"]) == ("batch", 7)
    assert [each["type"] for each in told["frames"]] == ["step", "step", "changed"]


async def test_a_message_is_no_larger_than_it_need_be(
    clients: Connect, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "BATCH_BYTES", 2_000)
    run = await a_run_a(status=RunStatus.RUNNING, due_at=None, started_at=later(1))
    client = await clients(operator)
    await client.subscribe(query={"ids": [str(run.pk)]})
    await awrite(run.pk, count=50)
    sequences, sizes = [], []
    while len(sequences) < 50:
        text = await client.wire.receive_from(timeout=15)
        sizes.append(len(text))
        sequences += [each["step"]["sequence"] for each in apart(json.loads(text)) if each["type"] == "step"]
    assert sequences == list(range(2, 52))
    assert len(sizes) > 3
    assert max(sizes) < 2_500


async def test_progress_without_a_line_is_told(clients: Connect, operator: User) -> None:
    run = await a_run_a(status=RunStatus.RUNNING, due_at=None, started_at=later(1))
    client = await clients(operator)
    await client.subscribe(query={"ids": [str(run.pk)]})
    await achange(run.pk, progress_percent=10.0, progress_label="reading", progress_at=later(3))
    told = await client.hear_until(lambda told: told["type"] in ("progress", "changed"))
    assert told[-1]["type"] in ("progress", "changed")
    await achange(run.pk, progress_percent=20.0, progress_at=later(4))
    heard = await client.hear("progress")
    if heard["progress"]["percent"] != 20.0:
        heard = await client.hear("progress")
    assert (heard["task_id"], heard["version"], heard["progress"]["percent"]) == (str(run.pk), 3, 20.0)


async def test_an_end_without_a_line_is_told(clients: Connect, operator: User) -> None:
    run = await a_run_a(options='{"history":"failures"}', last_sequence=0)
    client = await clients(operator)
    await client.subscribe(query={"ids": [str(run.pk)]})
    await achange(run.pk, status=RunStatus.RUNNING, started_at=later(1))
    await client.hear_until(lambda told: told["type"] == "changed" and told["task"]["state"] == "running")
    await achange(run.pk, status=RunStatus.SUCCESSFUL, finished_at=later(2), progress_percent=100.0)
    heard = await client.hear_until(lambda told: told["type"] == "changed" and told["task"]["state"] == "succeeded")
    assert {told["type"] for told in heard} <= {"changed", "progress"}


async def test_who_comes_back_is_told_what_is_behind_and_nothing_twice(clients: Connect, operator: User) -> None:
    run = await a_run_a()
    tracker = Tracker()
    client = await clients(operator)
    tracker.apply(await client.subscribe())
    await client.leave()
    await awrite(run.pk, count=700)
    client = await clients(operator)
    tracker.apply(told := await client.subscribe(after=tracker.positions))
    assert [line["sequence"] for line in told["runs"][0]["timeline"]] == list(range(2, 502))
    for told in await client.hear_until(lambda told: told["type"] == "step" and told["step"]["sequence"] == 701):
        assert tracker.apply(told), f"told again: {told}"
    await sync_to_async(assert_equals_the_database)(tracker, run.pk)
    await client.leave()

    client = await clients(operator)
    assert (await client.subscribe(after=tracker.positions))["runs"][0]["timeline"] == []
    # A position that the run has not reached counts as none.
    told = await client.subscribe(after={str(run.pk): 999_999}, steps=3)
    assert [line["sequence"] for line in told["runs"][0]["timeline"]] == [699, 700, 701]


async def test_what_was_trimmed_is_told_and_is_no_gap(clients: Connect, operator: User) -> None:
    run = await a_run_a(first_sequence=9, last_sequence=10)
    client = await clients(operator)
    await client.say("subscribe", after={str(run.pk): 2})
    assert await client.hear("trimmed_before") == {
        "type": "trimmed_before", "id": "default", "task_id": str(run.pk), "sequence": 9
    }  # fmt: skip


async def test_counts_are_told_again_when_they_change(clients: Connect, operator: User) -> None:
    run = await a_run_a()
    client = await clients(operator)
    told = await client.subscribe(aggregate=True)
    assert (told["aggregate"]["total"], told["aggregate"]["by_state"]["queued"]) == (1, 1)
    await awrite(run.pk, StepKind.STARTED, status=RunStatus.RUNNING)
    told = await client.hear("aggregate")
    assert told["aggregate"]["by_state"]["running"] == 1


# --- who may


async def test_nobody_is_let_in_without_a_login(clients: Connect) -> None:
    client = await clients(greeted=False)
    assert client.accepted
    assert await client.hear_close() == 4401
    assert client.heard[0]["code"] == "unauthenticated"


async def test_who_may_not_see_tasks_is_told_so(clients: Connect, user_with: Callable[..., User]) -> None:
    client = await clients(await sync_to_async(user_with)(), greeted=False)
    assert await client.hear_close() == 4403


async def test_payloads_are_for_those_who_may_see_them(clients: Connect, user_with: Callable[..., User]) -> None:
    await a_run_a(args='["sesame"]', kwargs='{"password": "sesame"}')
    clerk = await sync_to_async(user_with)("view_taskrun", name="clerk")
    chief = await sync_to_async(user_with)("view_taskrun", "view_payload", name="chief")
    told = [(await (await clients(user)).subscribe())["runs"][0] for user in (clerk, chief)]
    assert [each["args"] for each in told] == ["(hidden)", ["sesame"]]
    assert told[1]["kwargs"] == {"password": "••••••"}
    assert "sesame" not in json.dumps(told[0])


async def test_a_page_of_another_site_is_turned_away(clients: Connect, operator: User, settings: Any) -> None:
    def came(origin: str, host: str = "testserver") -> list[tuple[bytes, bytes]]:
        return [(b"origin", origin.encode()), (b"host", host.encode())]

    settings.ALLOWED_HOSTS = ["testserver"]
    for headers in (came("https://evil.example"), came("https://evil.example", "evil.example"), came("null")):
        client = await clients(operator, headers=headers, greeted=False)
        assert not client.accepted
    assert (await clients(operator, headers=came("https://testserver"))).accepted
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.partner.example"]
    assert (await clients(operator, headers=came("https://www.partner.example"))).accepted
    assert not (await clients(operator, headers=came("http://www.partner.example"), greeted=False)).accepted


async def test_a_user_has_so_many_sockets_and_no_more(clients: Connect, operator: User, settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": {"sockets_per_user": 2}}}
    first, _ = await clients(operator), await clients(operator)
    one_more = await clients(operator, greeted=False)
    assert await one_more.hear_close() == 4429
    await first.leave()
    await clients(operator)


# --- strangers


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("no JSON", "bad_frame"),
        ("[1, 2]", "bad_frame"),
        ("null", "bad_frame"),
        ("[" * 50_000, "bad_frame"),
        ('{"type": "subscribe", "id": {"a": 1}}', "bad_frame"),
        ('{"type": "enqueue"}', "bad_frame"),
        ('{"type": ["subscribe"]}', "bad_frame"),
        ('{"type": "pong", "n": 99}', "bad_frame"),
        ('{"type": "pong", "n": "1"}', "bad_frame"),
        ('{"type": "subscribe", "steps": -1}', "bad_frame"),
        ('{"type": "subscribe", "limit": 1e9}', "bad_frame"),
        ('{"type": "subscribe", "aggregate": "yes"}', "bad_frame"),
        ('{"type": "subscribe", "query": [1]}', "bad_query"),
        ('{"type": "subscribe", "query": {"id": ["x"]}}', "bad_query"),
        ('{"type": "subscribe", "query": {"ids": ["x"]}}', "bad_query"),
        ('{"type": "subscribe", "query": {"ids": [17]}}', "bad_query"),
        ('{"type": "subscribe", "query": {"ids": "0199"}}', "bad_query"),
        ('{"type": "subscribe", "query": {"task_paths": ["a\\u0000b"]}}', "bad_query"),
        ('{"type": "subscribe", "query": {"task_paths": [{"a": 1}]}}', "bad_query"),
        ('{"type": "subscribe", "query": {"keys": {"secret": "x"}}}', "bad_query"),
        ('{"type": "subscribe", "after": [1]}', "bad_after"),
        ('{"type": "subscribe", "after": {"x": 1}}', "bad_after"),
        ('{"type": "subscribe", "after": {"01990000-0000-7000-8000-00000000000a": -1}}', "bad_after"),
        ('{"type": "subscribe", "after": {"01990000-0000-7000-8000-00000000000a": true}}', "bad_after"),
        ('{"type": "subscribe", "after": {"01990000-0000-7000-8000-00000000000a": 1e400}}', "bad_after"),
        ('{"type": "ping", "filler": "' + "x" * 70_000 + '"}', "too_large"),
    ],
    ids=lambda value: value[:60],
)
async def test_what_cannot_be_understood_is_answered(clients: Connect, operator: User, said: str, code: str) -> None:
    client = await clients(operator)
    await client.wire.send_to(text_data=said)
    told = await client.next()
    assert (told["type"], told["code"]) == ("error", code)
    assert told["message"]
    await client.say("ping")
    assert await client.next() == {"type": "pong"}


async def test_bytes_are_no_frame(clients: Connect, operator: User) -> None:
    client = await clients(operator)
    await client.wire.send_to(bytes_data=b"\x00\xff")
    assert (await client.next())["code"] == "bad_frame"


async def test_what_is_not_there_and_what_is_not_yours_look_the_same(clients: Connect, operator: User) -> None:
    mine, nobodys = await a_run_a(), str(uuid4())
    client = await clients(operator)
    await client.say("subscribe", id=7, query={"ids": [str(mine.pk), nobodys]})
    told = await client.hear("error")
    assert (told["id"], told["code"], told["task_ids"]) == (7, "not_found", [nobodys])
    assert [each["id"] for each in (await client.hear("bootstrap"))["runs"]] == [str(mine.pk)]


async def test_who_says_nothing_but_nonsense_is_let_go(clients: Connect, operator: User) -> None:
    client = await clients(operator)
    for _ in range(21):
        await client.say("nonsense")
    assert await client.hear_close() == 4429


async def test_a_socket_holds_so_many_subscriptions(clients: Connect, operator: User) -> None:
    client = await clients(operator)
    for number in range(100):
        await client.say("subscribe", id=number, limit=1)
    await client.say("subscribe", id="one more")
    told = await client.hear("error")
    assert (told["id"], told["code"]) == ("one more", "too_many_subscriptions")
