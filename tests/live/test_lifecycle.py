"""The names of what happens to a run, in the order in which they reach a client of the WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from django_tasks_durable.primitives.writes import Started
from django_tasks_durable.store import control, vendors
from django_tasks_durable.testing import drain
from tests.probe import tasks
from tests.store import acts

Connect = Callable[..., Any]
OPERATOR = "olga"
NAMES = {
    *("enqueued", "claimed", "started", "progress", "step", "retried", "waiting", "resumed"),
    *("succeeded", "failed", "cancelled", "stale", "lease_lost"),
}


def succeeds() -> UUID:
    """Run with a step, progress and a log, to the end."""
    run_id = acts.enqueue(tasks.three_steps)
    drain()
    return run_id


def fails_twice() -> UUID:
    """Fail, be retried, and fail for good."""
    run_id = acts.enqueue(tasks.fails, max_attempts=2)
    drain()
    control.run_now(run_id, using="default")
    drain()
    return run_id


def is_answered() -> UUID:
    """Wait for an answer, get it, and go on."""
    run_id = acts.enqueue_waiting(tasks.asks)
    control.resume(run_id, True, using="default", by=OPERATOR)
    drain()
    return run_id


def is_cancelled() -> UUID:
    """Be cancelled before anybody takes it."""
    run_id = acts.enqueue()
    control.cancel(run_id, using="default", reason="enough", by=OPERATOR)
    return run_id


def loses_its_worker() -> UUID:
    """Be taken by a worker that falls silent, and by another one then."""
    session = vendors.session("default")
    run_id = acts.enqueue()
    acts.register(session)
    (claimed,) = acts.claim(session)
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    assert acts.lose_worker(session) == [run_id]
    drain()
    return run_id


@pytest.mark.seed("TR-29")
@pytest.mark.parametrize(
    ("story", "names"),
    [
        (succeeds, ["enqueued", "claimed", "started", "step", "step", "step", "progress", "succeeded"]),
        (fails_twice, ["enqueued", "claimed", "started", "retried", "claimed", "started", "failed"]),
        (
            is_answered,
            ["enqueued", "claimed", "started", "waiting", "resumed", "claimed", "started", "succeeded"],
        ),
        (is_cancelled, ["enqueued", "cancelled"]),
        (
            loses_its_worker,
            ["enqueued", "claimed", "started", "stale", "lease_lost", "claimed", "started", "succeeded"],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_client_hears_what_happens_by_its_name(
    clients: Connect, operator: User, story: Callable[[], UUID], names: list[str]
) -> None:
    client = await clients(operator)
    await client.subscribe()
    run_id = await sync_to_async(story)()
    ends = {"succeeded", "failed", "cancelled"}
    heard = await client.hear_until(lambda told: told["type"] == "changed" and told["task"]["state"] in ends)
    told = [frame for frame in heard if "event" in frame]
    assert {frame["task_id"] for frame in told} == {str(run_id)}
    # Progress is told as often as there was time for.
    found = [frame["event"] for frame in told if frame["event"] in NAMES]
    assert [
        name for name, before in zip(found, ["", *found], strict=False) if (name, before) != ("progress",) * 2
    ] == names
