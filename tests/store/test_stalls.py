"""Runs that give no sign of going on, although their worker does."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from django_tasks_durable import task
from django_tasks_durable.conf import Options
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.status import State
from django_tasks_durable.primitives.writes import SetProgress, Started, Succeeded, Write
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.bootstrap import aggregate
from django_tasks_durable.snapshots.entries import as_entry
from django_tasks_durable.store import stalls, vendors
from django_tasks_durable.testing import advance, frozen
from django_tasks_durable.worker.loop import WorkerSettings
from django_tasks_durable.worker.maintenance import Maintenance
from tests.store import acts

pytestmark = pytest.mark.django_db
USING = "default"
PATIENCE = 60.0
SIGNS: dict[str, Callable[[Lease], Write]] = {
    "progress": lambda lease: SetProgress(lease=lease, percent=5.0),
    "line": acts.append,
    "checkpoint": acts.save,
    "success": lambda lease: Succeeded(lease=lease, result="1"),
}


@task(stalled_after=600)
def slow() -> None:
    """Be silent for long."""


def begun(session: vendors.Session, **options: Any) -> Any:
    """Claim a run and begin it."""
    acts.register(session)
    acts.enqueue(**options)
    (claimed,) = acts.claim(session)
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    return claimed


def counted(state: State) -> tuple[int, int, list[UUID]]:
    """Count a state in each of the ways to do so."""
    runs = read.runs(using=USING)
    return (
        read.counts(using=USING)[state].value,
        aggregate(using=USING).by_state[state],
        [run.id for run in read.summaries(read.in_state(runs, state))],
    )


@pytest.mark.seed("TR-14")
@pytest.mark.parametrize("sign", SIGNS)
def test_a_run_without_progress_is_stale_until_its_next_sign(session: vendors.Session, sign: str) -> None:
    with frozen(session.now_at()):
        claimed = begun(session)
        advance(PATIENCE - 1)
        assert stalls.mark(session, PATIENCE) == []
        advance(2)
        assert stalls.mark(session, PATIENCE) == [claimed.run_id]
        assert stalls.mark(session, PATIENCE) == []

        run = read.one(claimed.run_id, using=USING)
        assert (run.status, run.state, run.stale_reason) == ("RUNNING", "stale", "no_progress")
        assert run.stale_at == session.now_at()
        assert counted(State.STALE) == (1, 1, [run.id])
        assert counted(State.RUNNING) == (0, 0, [])
        line = read.timeline(run.id, using=USING)[-1]
        assert (line.kind, line.level, line.message) == ("stalled", "warn", "No progress for 61 s")
        assert as_entry(line, run).as_dict()["state"] == "stale"

        acts.hand_in(session, claimed, SIGNS[sign](claimed.lease))
        assert read.one(claimed.run_id, using=USING).state is (State.SUCCEEDED if sign == "success" else State.RUNNING)
    assert acts.sequences(claimed.run_id) == list(range(1, len(acts.sequences(claimed.run_id)) + 1))


@pytest.mark.seed("TR-14")
@pytest.mark.parametrize("sign", ["progress", "line", "checkpoint"])
def test_every_sign_starts_the_time_anew(session: vendors.Session, sign: str) -> None:
    with frozen(session.now_at()):
        claimed = begun(session)
        advance(PATIENCE - 1)
        acts.hand_in(session, claimed, SIGNS[sign](claimed.lease))
        advance(PATIENCE - 1)
        assert stalls.mark(session, PATIENCE) == []


def test_a_step_is_a_sign_of_a_run_that_tells_no_step(session: vendors.Session) -> None:
    with frozen(session.now_at()):
        claimed = begun(session, history="failures")
        for number in range(3):
            advance(PATIENCE - 1)
            acts.hand_in(session, claimed, acts.save(claimed.lease, f"step:{number}", position=number + 1))
            assert stalls.mark(session, PATIENCE) == []
        advance(PATIENCE + 1)
        assert stalls.mark(session, PATIENCE) == [claimed.run_id]


@pytest.mark.seed("TR-14")
def test_a_run_whose_worker_is_lost_is_stale_for_that_reason_and_not_for_its_silence(session: vendors.Session) -> None:
    with frozen(session.now_at()):
        claimed = begun(session)
        advance(PATIENCE + 1)
        stalls.mark(session, PATIENCE)
        acts.lose_worker(session)
        run = read.one(claimed.run_id, using=USING)
        assert (run.state, run.stale_reason, run.stale_at) == ("stale", "worker_lost", session.now_at())
        acts.claim(session)
        assert read.one(claimed.run_id, using=USING).state is State.CLAIMED


@pytest.mark.parametrize(("own", "usual", "is_marked"), [(600, 60.0, False), (10, None, True), (None, None, False)])
def test_a_task_says_how_long_its_runs_may_be_silent(
    session: vendors.Session, own: float | None, usual: float | None, is_marked: bool
) -> None:
    with frozen(session.now_at()):
        claimed = begun(session, **({"stalled_after": own} if own else {}))
        advance(120)
        assert stalls.mark(session, usual) == ([claimed.run_id] if is_marked else [])


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="stalled_after"):
        slow.using(stalled_after=0)


# A turn lets go of connections that were left in a transaction, as a test's own would be.
@pytest.mark.django_db(transaction=True)
def test_a_worker_looks_by_itself_when_somebody_asks_for_it(session: vendors.Session) -> None:
    def turn(**options: Any) -> None:
        worker = SimpleNamespace(
            options=Options(**options),
            settings=WorkerSettings(scheduler=False),
            using=USING,
            wanted=acts.wanted,
            writer=SimpleNamespace(wake=lambda: None),
            look_again=lambda: None,
        )
        chores = Maintenance(worker)
        chores._next_sweep = 0.0
        chores.turn(session)

    with frozen(session.now_at()):
        claimed = begun(session)
        session.execute("UPDATE durable_tasks_worker SET lease_seconds = 1000")
        advance(PATIENCE + 1)
        turn()
        assert read.one(claimed.run_id, using=USING).state is State.RUNNING
        turn(stalled_seconds=PATIENCE)
        assert read.one(claimed.run_id, using=USING).state is State.STALE


@pytest.mark.django_db(transaction=True)
def test_a_run_that_somebody_writes_for_is_left_alone(other_session: vendors.Session, session: vendors.Session) -> None:
    claimed = begun(session)
    with session.transaction():
        acts.hand_in(session, claimed, acts.append(claimed.lease))
        if not session.brand.has_one_writer:
            assert stalls.mark(other_session, -60) == []
