"""What a worker does about limits: with what it holds ahead when a queue is paused, and when a place becomes free."""

from __future__ import annotations

import pytest

from django_tasks_durable.conf import get_options
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import History, Succeeded, Verdict
from django_tasks_durable.store import queues, vendors
from django_tasks_durable.worker.held import HeldRun
from django_tasks_durable.worker.loop import Worker, WorkerSettings
from tests.probe import tasks
from tests.store import acts


@pytest.fixture
def worker(transactional_db: None) -> Worker:
    """A worker whose thread does not run: the test turns it."""
    worker = Worker(get_options("default"), WorkerSettings(concurrency=1))
    acts.register(vendors.session("default"), worker.worker_id)
    return worker


def prefetched(worker: Worker) -> list[HeldRun]:
    """Claim what is due into the worker's hands, in front of its one slot."""
    held = [
        HeldRun(run, worker.writer, executor="thread", history=History())
        for run in acts.claim(vendors.session("default"), worker.worker_id)
    ]
    for each in held:
        worker.writer.hold(each)
        worker._rooms["thread"].took(1)
    return held


def turn(worker: Worker) -> None:
    """Let the writer look for work, and write what that brought."""
    worker.writer.wake()
    worker._rooms["thread"].slots = 8
    worker.writer.turn()
    worker.writer.turn()
    worker.writer.close()


def test_what_waits_in_front_of_a_slot_is_given_back_and_what_runs_is_not(worker: Worker) -> None:
    begun, waits, other = acts.enqueue(), acts.enqueue(), acts.enqueue(tasks.elsewhere)
    held = {each.claimed.run_id: each for each in prefetched(worker)}
    assert held[begun].begin()
    queues.pause(["default"], using="default")
    turn(worker)

    assert acts.run(waits).status == RunStatus.READY
    assert [acts.run(run_id).status for run_id in (begun, other)] == [RunStatus.CLAIMED] * 2
    assert set(worker.writer.held) == {begun, other}
    assert acts.run(waits).attempts == acts.run(waits).crashes == 0
    assert (worker._rooms["thread"].running, worker._rooms["thread"].waiting) == (1, 1)


def test_each_room_goes_round_by_itself(worker: Worker) -> None:
    turns = [wanted.turns for wanted, _ in worker._appetite()]

    assert len(turns) == len(worker._rooms) > 1
    assert len({id(each) for each in turns}) == len(turns)


def test_when_a_place_becomes_free_the_worker_looks_at_once(worker: Worker) -> None:
    acts.enqueue(tasks.echo, concurrency_key="k")
    (held,) = prefetched(worker)
    lease = held.claimed.lease
    for turns in worker._turns.values():
        turns.rest()
    worker.writer._claim_wanted = False
    worker._settled([(held, Succeeded(lease=lease, result="1"), Verdict(status=RunStatus.SUCCESSFUL))])

    assert worker.writer._claim_wanted
    assert not any(turns.rests for turns in worker._turns.values())
