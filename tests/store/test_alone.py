"""A run that is alone in its worker's hands commits by itself; what goes wrong there is the writer's to mend."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError

from django_tasks_durable.exceptions import LeaseLost
from django_tasks_durable.models import Checkpoint
from django_tasks_durable.primitives.writes import ClaimedRun, History
from django_tasks_durable.store import commit as commits
from django_tasks_durable.store import vendors
from django_tasks_durable.worker.held import HeldRun
from django_tasks_durable.worker.writer import Writer
from tests.store import acts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def committers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name the thread of each commit."""
    names: list[str] = []
    commit = commits.commit

    def watched(*args: Any, **kwargs: Any) -> Any:
        names.append(threading.current_thread().name)
        return commit(*args, **kwargs)

    monkeypatch.setattr(commits, "commit", watched)
    return names


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer(
        "default",
        acts.WORKER,
        is_direct=None,
        appetite=lambda: [],
        take=lambda runs: None,
        settled=lambda runs: None,
        moved=lambda list_runs: None,
        slot_freed=lambda held: None,
        begun=lambda held: None,
        never_began=lambda held: None,
        declared_dead=lambda worker_id: None,
        looked=lambda found: None,
        found_none=lambda wanted, seconds: None,
        kin=lambda held, writes: None,
        paused=lambda names: None,
    )
    thread = threading.Thread(target=made.run, name="writer", daemon=True)
    thread.start()
    yield made
    made.is_stopping = True
    made.wake()
    thread.join(10)


def hold(writer: Writer, claimed: ClaimedRun) -> HeldRun:
    held = HeldRun(claimed, writer, executor="thread", history=History())
    writer.hold(held)
    return held


def test_a_lone_run_commits_on_its_own_thread(writer: Writer, claimed: ClaimedRun, committers: list[str]) -> None:
    held = hold(writer, claimed)

    held.submit(acts.append(claimed.lease, "before"))
    held.keep(acts.save(claimed.lease, "step:a"))

    assert set(committers) <= {threading.current_thread().name, "writer"}
    assert committers[-1] == threading.current_thread().name
    assert acts.kinds(claimed.run_id) == ["enqueued", "log", "step"]


def test_runs_in_company_are_left_to_the_writer(
    writer: Writer, session: vendors.Session, committers: list[str]
) -> None:
    acts.register(session)
    for _ in range(2):
        acts.enqueue()
    first, second = (hold(writer, claimed) for claimed in acts.claim(session))

    first.keep(acts.save(first.claimed.lease, "step:a"))
    second.keep(acts.save(second.claimed.lease, "step:a"))

    assert set(committers) == {"writer"}
    assert Checkpoint.objects.count() == 2


def test_a_connection_that_breaks_there_is_mended_by_the_writer(
    writer: Writer, claimed: ClaimedRun, committers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, commit = hold(writer, claimed), commits.commit

    def fails_here(session: vendors.Session, *args: Any, **kwargs: Any) -> Any:
        if threading.current_thread().name != "writer":
            raise OperationalError("the server closed the connection")
        return commit(session, *args, **kwargs)

    monkeypatch.setattr(commits, "commit", fails_here)
    held.keep(acts.save(claimed.lease, "step:a"))

    assert committers == ["writer"]
    assert acts.kinds(claimed.run_id) == ["enqueued", "step"]


def test_a_lost_lease_is_told_there_too(writer: Writer, claimed: ClaimedRun, session: vendors.Session) -> None:
    held = hold(writer, claimed)
    acts.lose_worker(session)
    before = acts.everything()

    with pytest.raises(LeaseLost):
        held.keep(acts.save(claimed.lease, "step:a"))
    assert acts.everything() == before
