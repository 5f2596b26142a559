"""Many calls with the same keys at one moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from django_tasks_durable import testing
from django_tasks_durable.exceptions import KeyHeld
from django_tasks_durable.models import OpenKey, TaskRun
from django_tasks_durable.primitives.keys import Disposition
from django_tasks_durable.primitives.status import OPEN, RunStatus
from django_tasks_durable.primitives.writes import Started, Succeeded
from django_tasks_durable.store import control, vendors
from django_tasks_durable.store.commit import BUSY
from tests.concurrency.barrier import TRIALS, crowd
from tests.probe import journal, tasks
from tests.seeds.tasks import starts_another
from tests.store import acts

A_HUNDRED = 100
MANY = 24
SOME = 8


def plainly(call: Callable[[], Any]) -> Any:
    """Call outside any transaction."""
    return call()


def in_a_transaction(call: Callable[[], Any]) -> Any:
    """Call inside a transaction that goes on afterwards."""
    with transaction.atomic():
        found = call()
        assert TaskRun.objects.filter(pk=found.run_id).exists()
        return found


def in_a_savepoint(call: Callable[[], Any]) -> Any:
    """Call inside a savepoint of a transaction that has written before."""
    with transaction.atomic():
        acts.enqueue(tasks.elsewhere)
        with transaction.atomic():
            return call()


def clear(session: vendors.Session) -> None:
    """Begin again with an empty store."""
    for table in ("openkey", "step", "taskrun"):
        session.execute(f"DELETE FROM durable_tasks_{table}")


def open_runs() -> list[UUID]:
    """Read the open runs of the task that all call."""
    return list(
        TaskRun.objects.filter(task_path="tests.probe.tasks.echo", status__in=OPEN).values_list("id", flat=True)
    )


@pytest.mark.fault("F27")
@pytest.mark.seed("TR-5")
@pytest.mark.parametrize("manner", [plainly, in_a_transaction, in_a_savepoint])
def test_of_many_calls_at_once_one_creates_the_run_and_all_others_find_it(
    session: vendors.Session, manner: Callable[[Callable[[], Any]], Any]
) -> None:
    for _ in range(TRIALS // 4):
        found = crowd(MANY, lambda number: manner(lambda: tasks.echo.using(dedupe_key="a").enqueue(number)))

        assert Counter(result.disposition for result in found) == {Disposition.CREATED: 1, Disposition.REUSED: MANY - 1}
        assert {result.run_id for result in found} == set(open_runs())
        clear(session)


@pytest.mark.fault("F27")
@pytest.mark.parametrize("manner", [plainly, in_a_transaction, in_a_savepoint])
def test_of_a_hundred_calls_at_once_one_creates_the_run(
    session: vendors.Session, manner: Callable[[Callable[[], Any]], Any]
) -> None:
    """As many as F27 names, each on a connection of its own; nobody meets an error."""
    found = crowd(A_HUNDRED, lambda number: manner(lambda: tasks.echo.using(dedupe_key="a").enqueue(number)))

    assert Counter(result.disposition for result in found) == {
        Disposition.CREATED: 1,
        Disposition.REUSED: A_HUNDRED - 1,
    }
    assert {result.run_id for result in found} == set(open_runs())
    assert list(OpenKey.objects.values_list("run_id", flat=True)) == open_runs()


@pytest.mark.fault("F27")
@pytest.mark.seed("TR-5")
@pytest.mark.parametrize("manner", [plainly, in_a_transaction])
def test_when_the_creator_rolls_back_one_of_those_who_waited_creates_the_run(
    session: vendors.Session, manner: Callable[[Callable[[], Any]], Any]
) -> None:
    class Changed(Exception):
        pass

    for _ in range(TRIALS // 2):
        created = threading.Event()

        def call(number: int, created: threading.Event = created) -> Any:
            if number:
                created.wait(30)
                return manner(lambda: tasks.echo.using(dedupe_key="a", supersede_key="b").enqueue(number))
            try:
                with transaction.atomic():
                    doomed = tasks.echo.using(dedupe_key="a", supersede_key="b").enqueue(0)
                    created.set()
                    # Long enough for the others to be waiting, which no database could be asked in the same words.
                    threading.Event().wait(0.05)
                    raise Changed
            except Changed:
                return doomed

        doomed, *found = crowd(SOME, call)

        assert Counter(result.disposition for result in found) == {Disposition.CREATED: 1, Disposition.REUSED: SOME - 2}
        assert [result.run_id for result in found if result.disposition == Disposition.CREATED] == open_runs()
        assert doomed.run_id not in open_runs()
        assert set(OpenKey.objects.values_list("run_id", flat=True)) == set(open_runs())
        clear(session)


@pytest.mark.fault("F28")
@pytest.mark.seed("TR-6")
@pytest.mark.parametrize("manner", [plainly, in_a_transaction])
def test_of_many_that_supersede_each_other_one_stays_open(
    session: vendors.Session, manner: Callable[[Callable[[], Any]], Any]
) -> None:
    for _ in range(TRIALS // 2):
        found = crowd(
            SOME,
            lambda number: manner(lambda: tasks.echo.using(supersede_key="s", dedupe_key=f"d{number}").enqueue(number)),
        )

        assert len(open_runs()) == 1
        superseded = [victim for result in found for victim in result.superseded_ids]
        assert len(superseded) == len(set(superseded)) == SOME - 1
        assert set(OpenKey.objects.values_list("run_id", flat=True)) == set(open_runs())
        assert OpenKey.objects.count() == 2
        clear(session)


@pytest.mark.fault("F20")
def test_superseding_and_ending_do_not_wait_for_each_other(session: vendors.Session) -> None:
    acts.register(session)

    def end(own: vendors.Session) -> int:
        ended = 0
        for claimed in acts.claim(own):
            while (
                answer := acts.hand_in(
                    own, claimed, Started(lease=claimed.lease), Succeeded(lease=claimed.lease, result="1")
                )
            ) is BUSY:
                pass
            ended += not isinstance(answer, BaseException)
        return ended

    def act(number: int) -> Any:
        if number:
            return [in_a_transaction(lambda: keyed(number).enqueue(number)).disposition for _ in range(5)]
        own = vendors.private_session("default")
        try:
            return [end(own) for _ in range(20)]
        finally:
            own.close()

    def keyed(number: int) -> Any:
        return tasks.echo.using(supersede_key=f"s{number % 2}", dedupe_key=f"d{number % 3}")

    for _ in range(TRIALS // 4):
        ended, *found = crowd(SOME, act)

        told = Counter(disposition for each in found for disposition in each)
        by_status = Counter(TaskRun.objects.values_list("status", flat=True))
        assert told[Disposition.CREATED] + told[Disposition.SUPERSEDED] == TaskRun.objects.count()
        assert (by_status[RunStatus.SUCCESSFUL], by_status[RunStatus.CANCELLED]) == (
            sum(ended), told[Disposition.SUPERSEDED]
        )  # fmt: skip
        assert set(OpenKey.objects.values_list("run_id", flat=True)) == set(open_runs())
        clear(session)


@pytest.mark.seed("AW-21", "AW-P15")
def test_two_calls_at_once_with_one_idempotency_key_run_once(
    session: vendors.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(journal.VARIABLE, str(tmp_path / "journal"))
    found = crowd(2, lambda number: starts_another.using(idempotency_key="request-1").enqueue(0))
    testing.drain()
    late = starts_another.using(idempotency_key="request-1").enqueue(0)

    assert {result.id for result in found} == {late.id}
    assert sorted(result.disposition for result in found) == [Disposition.CREATED, Disposition.REUSED]
    assert journal.times(tmp_path / "journal", "started") == 1


def test_a_retry_and_a_call_with_the_same_key_do_not_both_open_a_run(session: vendors.Session) -> None:
    acts.register(session)
    for _ in range(TRIALS // 2):
        failed = acts.enqueue(tasks.echo, dedupe_key="a")
        (claimed,) = acts.claim(session)
        acts.hand_in(session, claimed, acts.failed(claimed.lease))

        def act(number: int, failed: UUID = failed) -> Any:
            if number:
                return tasks.echo.using(dedupe_key="a").enqueue(number).disposition
            try:
                return control.retry(failed, using="default")
            except KeyHeld:
                return None

        retried, disposition = crowd(2, act)

        assert len(open_runs()) == 1
        assert (disposition is Disposition.REUSED) == (retried is not None)
        clear(session)
