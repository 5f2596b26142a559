"""Whatever is said over the WebSocket: an answer with a name, nothing of another tenant, and no harm to who listens beside."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from django_tasks_durable.live import consumers, hub
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import StepKind
from tests.doors.callers import a_user
from tests.doors.tenants import SECRET, furnished, queue_of, two_tenants
from tests.fuzz.frames import Frames
from tests.live import client as clients_of
from tests.live.conftest import clients as clients
from tests.live.conftest import quiet as quiet

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault("F36")]

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
EVERY = 100  # cases, then somebody who only listens is asked how it goes
SECONDS = 60.0
CODES = {"bad_frame", "too_large", "bad_query", "bad_after", "not_found", "too_many_subscriptions", "too_many_frames"}
TYPES = {
    "hello", "subscribed", "trimmed_before", "bootstrap", "step", "progress", "changed", "lease_lost", "aggregate", "resync",
    "unsubscribed", "error", "ping", "pong", "batch",
}  # fmt: skip
Connect = Callable[..., Any]


class Attacker:
    """Says what it is told to, on one socket after another, and looks at every answer."""

    def __init__(self, connect: Connect, user: User, hidden: set[str], most: int) -> None:
        self.connect = connect
        self.user = user
        self.hidden = hidden
        self.most = most
        self.heard = Counter[str]()
        self.client: Any = None
        self.said = 0

    async def say(self, frame: str | bytes) -> None:
        """Send a frame, and hear what comes until what is said behind it is answered, or the socket is closed."""
        if self.client is None:
            self.client = await self.connect(self.user)
        wire: WebsocketCommunicator = self.client.wire
        await wire.send_input({"type": "websocket.receive", "bytes" if isinstance(frame, bytes) else "text": frame})
        self.said += 1
        await wire.send_to(text_data=json.dumps({"type": "unsubscribe", "id": f"said {self.said}"}))
        while (message := await wire.receive_output(timeout=SECONDS))["type"] != "websocket.close":
            told = json.loads(message["text"])
            self._look_at(told, frame)
            if told.get("id") == f"said {self.said}":
                return
            if told["type"] == "ping":
                await wire.send_to(text_data=json.dumps({"type": "pong", "n": told["n"]}))
        self.heard[f"closed {message['code']}"] += 1
        assert message["code"] == 4429, f"{frame!r:.500}: closed with {message['code']}"
        await self.leave()

    async def leave(self) -> None:
        """Go."""
        if self.client is not None:
            await self.client.leave()
        self.client = None

    def _look_at(self, told: Any, frame: str | bytes) -> None:
        assert told["type"] in TYPES, told
        for each in clients_of.apart(told):
            self.heard[each["type"] if each["type"] != "error" else f"error {each['code']}"] += 1
            text = json.dumps(each | {"id": None})
            said = f"{frame!r:.500}: {text[:2000]}"
            if each["type"] == "error":
                assert each["code"] in CODES, said
                assert each["message"], said
            # A refusal may name what was said, and what was asked for by its id and is not found; that is all.
            own = str(each.get("task_ids", "")) + (str(frame) if each["type"] == "error" else "")
            assert not [one for one in self.hidden if one in text and one not in own], said
            if each.get("aggregate"):
                assert each["aggregate"]["total"] <= self.most, said


@pytest.mark.slow
@pytest.mark.timeout(0 if "FUZZ_CASES" in os.environ else 600)
async def test_nothing_that_is_said_breaks_it_or_hurts_who_listens_beside(
    clients: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with two_tenants(), caplog.at_level(logging.WARNING):
        await play(clients)
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]


async def play(connect: Connect) -> None:
    """Say all frames, while somebody listens and somebody does not read."""
    mine, others, ann, other = await sync_to_async(_furnish)()
    hidden = {str(run.pk) for run in others.values()} | {SECRET.format("bob"), "token-bob", "token-ann"}
    ids = [str(run.pk) for run in (*mine.values(), *others.values())]
    frames = Frames(SEED, [*ids, str(uuid4())])
    most = await TaskRun.objects.filter(queue_name=queue_of("ann")).acount()
    listener, deaf = await connect(other), await connect(ann)
    run = mine["running"]
    await listener.subscribe(query={"ids": [str(run.pk)]})
    for number in range(50):
        await deaf.say("subscribe", id=number, steps=200)
    attacker = Attacker(connect, ann, hidden, most)
    for number in range(CASES):
        await attacker.say(frames.next())
        if number % EVERY == 0:
            await sync_to_async(clients_of.write)(run.pk, StepKind.LOG)
            told = await listener.hear("step")
            assert told["task_id"] == str(run.pk)
    await attacker.leave()
    if CASES > 1000:
        print(*(f"{times:8} {what}" for what, times in sorted(attacker.heard.items())), sep="\n")
    assert {"error bad_frame", "error bad_query", "error bad_after", "bootstrap", "closed 4429"} <= set(attacker.heard)
    expect_bounds(deaf)
    await deaf.leave()
    here = hub.hub()
    assert (here.status.clients, here.status.subscriptions) == (1, 1), "something is left of who has gone"
    assert here.watch.now()[0] == {run.pk}


def expect_bounds(deaf: Any) -> None:
    """See that no more waits for a client that does not read than the window holds, and one message."""
    waiting = [message for message in deaf.wire.output_queue._queue if message["type"] == "websocket.send"]
    sizes = [len(message["text"]) for message in waiting]
    assert sum(sizes) <= consumers.WINDOW_BYTES + max(sizes, default=0) + consumers.PING_BYTES


def _furnish() -> tuple[dict[str, TaskRun], dict[str, TaskRun], User, User]:
    ann, other = a_user("ann", "view_taskrun", "view_payload"), a_user("ann-too", "view_taskrun")
    return furnished("ann"), furnished("bob"), ann, other
