"""A commit whose answer never came: what is in the store already is not written again."""

from __future__ import annotations

import pytest

from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.primitives.writes import ClaimedRun, Started, Succeeded
from django_tasks_durable.store import vendors, workers
from django_tasks_durable.store.commit import committed
from django_tasks_durable.store.deltas import Delta
from tests.store import acts

WRITES = [kind for kind in acts.WRITE_KINDS if kind != "progress"]


@pytest.mark.parametrize("kind", WRITES)
def test_what_was_committed_is_recognised(session: vendors.Session, claimed: ClaimedRun, kind: str) -> None:
    write = acts.each_write(claimed.lease, claimed.now_at)[kind]
    delta = Delta(claimed, acts.WORKER)
    delta.add(write)
    known = {claimed.run_id: claimed.last_sequence}

    assert not committed(session, [delta], known)
    acts.hand_in(session, claimed, write)
    verdict = committed(session, [delta], known)[claimed.run_id]
    row = acts.run(claimed.run_id)
    assert (verdict.status, verdict.last_sequence) == (row.status, row.last_sequence)


def test_an_earlier_line_of_the_same_kind_is_not_mistaken_for_it(session: vendors.Session, claimed: ClaimedRun) -> None:
    verdict = acts.hand_in(session, claimed, Started(lease=claimed.lease), acts.append(claimed.lease, "one"))
    delta = Delta(claimed, acts.WORKER)
    delta.add(acts.append(claimed.lease, "two"))

    assert not committed(session, [delta], {claimed.run_id: verdict.last_sequence})  # type: ignore[union-attr]


def test_an_outcome_told_as_a_cancellation_is_recognised(session: vendors.Session, claimed: ClaimedRun) -> None:
    session.execute(f"UPDATE durable_tasks_taskrun SET cancel_requested_at = {session.now}")
    write = acts.failed(claimed.lease)
    delta = Delta(claimed, acts.WORKER)
    delta.add(write)
    acts.hand_in(session, claimed, write)

    assert set(committed(session, [delta], {claimed.run_id: 1})) == {claimed.run_id}


def test_a_checkpoint_without_a_line_is_recognised_by_its_path(session: vendors.Session, claimed: ClaimedRun) -> None:
    from django_tasks_durable.primitives.writes import SaveCheckpoint

    write = SaveCheckpoint(lease=claimed.lease, checkpoint=acts.checkpoint("step:quiet"))
    delta = Delta(claimed, acts.WORKER)
    delta.add(write)
    assert not committed(session, [delta], {claimed.run_id: 1})
    acts.hand_in(session, claimed, write)

    assert set(committed(session, [delta], {claimed.run_id: 1})) == {claimed.run_id}


def test_another_runs_lines_are_another_runs(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.enqueue()
    (other,) = acts.claim(session)
    acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result="1"))
    delta = Delta(other, acts.WORKER)
    delta.add(Succeeded(lease=other.lease, result="1"))

    assert not committed(session, [delta], {})


def test_a_claim_whose_answer_was_lost_is_given_back_uncounted(session: vendors.Session, claimed: ClaimedRun) -> None:
    acts.enqueue()
    (held,) = acts.claim(session)
    acts.hand_in(session, held, Started(lease=held.lease))

    assert workers.give_back_orphans(session, acts.WORKER, {held.run_id}) == [claimed.run_id]
    row = acts.run(claimed.run_id)
    assert (row.status, row.crashes, row.deliveries, row.attempts) == (RunStatus.READY, 0, 0, 0)
    assert acts.kinds(row.id)[-1] == "released"
    assert acts.sequences(row.id) == list(range(1, row.last_sequence + 1))
    assert acts.run(held.run_id).status == RunStatus.RUNNING
    assert [run.lease.token for run in acts.claim(session)] == [claimed.lease.token + 2]


def test_the_orphans_of_other_workers_are_theirs(session: vendors.Session, claimed: ClaimedRun) -> None:
    assert workers.give_back_orphans(session, "worker-2", set()) == []
    assert acts.run(claimed.run_id).status == RunStatus.CLAIMED
