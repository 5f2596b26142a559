"""SIGKILL while a run receives messages: each is taken once, in order."""

from __future__ import annotations

import signal

import pytest

from django_tasks_durable import broadcast, send
from django_tasks_durable.models import Message
from django_tasks_durable.primitives.status import RunStatus
from tests.faults.harness import Yard, oracle, wait_end, wait_status
from tests.probe import tasks
from tests.store import acts

POINTS = [
    pytest.param("before_body", marks=pytest.mark.nightly),
    "during_checkpoint",
    "after_checkpoint",
    pytest.param("during_outcome", marks=pytest.mark.nightly),
]
pytestmark = [pytest.mark.databases("sqlite", "postgresql", "mysql"), pytest.mark.fault("F3")]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_while_it_receives_takes_each_message_once(yard: Yard, point: str) -> None:
    run_id = acts.enqueue(tasks.receives)
    for payload in ("one", "two", "three"):
        send(run_id, "news", payload)
    victim = yard.start("--concurrency", "1", faults=f"{point}:kill:1")
    assert victim.wait() == -signal.SIGKILL, victim.output
    yard.bury(victim)
    yard.start("--concurrency", "1")
    (row,) = wait_end(yard, run_id)

    assert (row.status, row.result) == (RunStatus.SUCCESSFUL, '["one","two"]'), yard.story()
    oracle([run_id])
    taken = Message.objects.order_by("id").values_list("payload", "consumed_path")
    assert list(taken) == [('"one"', "recv:news"), ('"two"', "recv:news#2"), ('"three"', "")]


def test_a_worker_hears_of_messages_and_events_from_another_process(yard: Yard) -> None:
    listener, receiver = acts.enqueue(tasks.listens), acts.enqueue(tasks.receives)
    yard.start("--concurrency", "2")
    for run_id in (listener, receiver):
        wait_status(yard, run_id, RunStatus.WAITING)
    assert broadcast("rates", 7) == 1
    send(receiver, "news", 1)
    wait_status(yard, receiver, RunStatus.WAITING)
    send(receiver, "news", 2)

    rows = wait_end(yard, listener, receiver)
    assert {row.result for row in rows} == {"7", "[1,2]"}, yard.story()
    oracle([listener, receiver])
