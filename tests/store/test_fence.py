"""The fence: whoever lost the lease can compute, but never write."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.primitives.writes import ClaimedRun, Succeeded, Verdict
from django_tasks_durable.store import vendors
from django_tasks_durable.store.inline import InlineStore
from tests.probe import effects
from tests.store import acts


def taken_over(session: vendors.Session, claimed: ClaimedRun) -> None:
    """Let another worker have the run."""
    acts.lose_worker(session)
    acts.register(session, "worker-2")
    (again,) = acts.claim(session, "worker-2")
    assert again.lease.token > claimed.lease.token


def swept(session: vendors.Session, claimed: ClaimedRun) -> None:
    """Let the run be READY again."""
    acts.lose_worker(session)


def ended(session: vendors.Session, claimed: ClaimedRun) -> None:
    """Let the run be over under the same token."""
    assert isinstance(acts.hand_in(session, claimed, Succeeded(lease=claimed.lease, result='"first"')), Verdict)


@pytest.mark.seed("TR-11", "AW-20")
@pytest.mark.parametrize("lose", [taken_over, swept, ended])
@pytest.mark.parametrize("waits_for_locks", [False, True], ids=["skips", "waits"])
@pytest.mark.parametrize("kind", acts.WRITE_KINDS)
def test_no_write_of_a_lost_lease_changes_anything(
    session: vendors.Session, claimed: ClaimedRun, kind: str, waits_for_locks: bool, lose: object
) -> None:
    lose(session, claimed)  # type: ignore[operator]
    before = acts.everything()
    write = acts.each_write(claimed.lease, claimed.now_at + timedelta(hours=1))[kind]

    answer = acts.hand_in(session, claimed, write, waits_for_locks=waits_for_locks)

    assert isinstance(answer, LeaseLost)
    assert acts.everything() == before


@pytest.mark.parametrize("kind", acts.WRITE_KINDS)
def test_every_write_of_a_good_lease_is_taken(session: vendors.Session, claimed: ClaimedRun, kind: str) -> None:
    write = acts.each_write(claimed.lease, claimed.now_at + timedelta(hours=1))[kind]
    before = acts.run(claimed.run_id)

    answer = acts.hand_in(session, claimed, write)

    assert isinstance(answer, Verdict)
    after = acts.run(claimed.run_id)
    assert answer.status == after.status
    assert answer.last_sequence == after.last_sequence
    assert after.version > before.version
    assert acts.sequences(claimed.run_id) == list(range(1, after.last_sequence + 1))


def test_the_lost_and_the_good_are_told_apart_in_one_batch(session: vendors.Session, claimed: ClaimedRun) -> None:
    from django_tasks_durable.store.commit import commit
    from django_tasks_durable.store.deltas import Delta

    acts.lose_worker(session)
    acts.register(session, "worker-2")
    acts.enqueue()
    good = next(run for run in acts.claim(session, "worker-2") if run.run_id != claimed.run_id)
    deltas = []
    for run in (claimed, good):
        delta = Delta(run, acts.WORKER)
        delta.add(Succeeded(lease=run.lease, result="1"))
        deltas.append(delta)
    with session.transaction():
        answers = commit(session, deltas)

    assert isinstance(answers[claimed.run_id], LeaseLost)
    assert isinstance(answers[good.run_id], Verdict)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lose", [taken_over, swept, ended])
def test_an_atomic_step_of_a_lost_lease_rolls_its_own_rows_back(
    session: vendors.Session, claimed: ClaimedRun, lose: object
) -> None:
    store = InlineStore(claimed, using="default", worker_id=acts.WORKER)

    def perform() -> tuple[str, list[object]]:
        effects.record("booked", claimed.run_id)
        return "booked", [acts.save(claimed.lease)]

    lose(session, claimed)  # type: ignore[operator]
    before = acts.everything()
    with pytest.raises(LeaseLost):
        store.atomic(claimed, perform)  # type: ignore[arg-type]

    assert effects.times("booked") == 0
    assert acts.everything() == before
