"""A client of the WebSocket that answers pings, as every client must."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from channels.testing import WebsocketCommunicator
from django.db import transaction
from django.db.models import F

from django_tasks_durable import signals
from django_tasks_durable.live.tracker import Tracker
from django_tasks_durable.models import Step, TaskRun
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.snapshots import read
from tests.doors import rows

SECONDS = 15.0
Json = dict[str, Any]


class Client:
    """Says frames and hears them, one by one or until something is so."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self.wire = communicator
        self.accepted: bool = False
        self.subprotocol: Any = None
        self.heard: list[Json] = []
        self._unheard: list[Json] = []
        self.answers_pings = True

    async def say(self, type: str, **fields: Any) -> None:
        """Send a frame."""
        await self.wire.send_to(text_data=json.dumps({"type": type, **fields}))

    async def subscribe(self, id: str | int = "default", **fields: Any) -> Json:
        """Subscribe and return the bootstrap."""
        await self.say("subscribe", id=id, **fields)
        await self.hear("subscribed")
        return await self.hear("bootstrap")

    async def next(self) -> Json:
        """Hear the next frame that is no ping."""
        while not self._unheard:
            told: Json = json.loads(await self.wire.receive_from(timeout=SECONDS))
            if told["type"] != "ping":
                self._unheard = apart(told)
            elif self.answers_pings:
                await self.say("pong", n=told["n"])
        self.heard.append(self._unheard.pop(0))
        return self.heard[-1]

    async def hear(self, type: str) -> Json:
        """Hear frames until one of a type, and return it."""
        while True:
            told = await self.next()
            if told["type"] == type:
                return told

    async def hear_until(self, is_so: Callable[[Json], Any]) -> list[Json]:
        """Hear frames until one is so, and return all of them."""
        found = []
        while True:
            found.append(await self.next())
            if is_so(found[-1]):
                return found

    async def hear_close(self) -> int:
        """Hear frames until the socket is closed, and return the code."""
        while True:
            message = await self.wire.receive_output(timeout=SECONDS)
            if message["type"] == "websocket.close":
                return int(message["code"])
            self.heard += apart(json.loads(message["text"]))

    async def leave(self) -> None:
        """Go, whatever the other side does."""
        await self.wire.disconnect(timeout=SECONDS)


def apart(told: Json) -> list[Json]:
    """Take a batch apart; any other frame is one."""
    return [each | {"id": told["id"]} for each in told["frames"]] if told["type"] == "batch" else [told]


def write(run_id: UUID, kind: StepKind = StepKind.LOG, *, count: int = 1, **columns: Any) -> None:
    """Do as the store does: some lines and a version, in one commit, then the news of it."""
    with transaction.atomic():
        TaskRun.objects.filter(pk=run_id).update(
            last_sequence=F("last_sequence") + count, version=F("version") + 1, **columns
        )
        last = TaskRun.objects.get(pk=run_id).last_sequence
        Step.objects.bulk_create(
            Step(run_id=run_id, sequence=number, kind=kind, message=f"line {number}", created_at=rows.AT)
            for number in range(last - count + 1, last + 1)
        )
        transaction.on_commit(lambda: signals.run_changed.send(None, using="default", run_ids=[run_id]))


def change(run_id: UUID, **columns: Any) -> None:
    """Change a run without a line, as progress does."""
    TaskRun.objects.filter(pk=run_id).update(version=F("version") + 1, **columns)
    signals.run_changed.send(None, using="default", run_ids=[run_id])


def assert_equals_the_database(tracker: Tracker, run_id: UUID, *, since: int = 1) -> None:
    """Compare what a tracker holds of a run with its rows."""
    run = read.one(run_id, using="default")
    held = tracker.tracked[str(run_id)]
    sequences = [line["sequence"] for line in held.steps]
    assert sequences == list(range(since, run.last_sequence + 1))
    assert (held.task["version"], held.task["state"]) == (run.version, run.state.value)
