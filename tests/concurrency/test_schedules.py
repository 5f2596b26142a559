"""Several schedulers at one schedule: exactly one run for each tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from django_tasks_durable import cron, task, testing
from django_tasks_durable.authoring import registry
from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.primitives.policies import TickOutcome
from django_tasks_durable.store import schedules, ticks, vendors
from tests.concurrency.barrier import TRIALS, side_by_side
from tests.probe import tasks

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def noon() -> Any:
    """Let it be noon until a test says otherwise."""
    with testing.frozen(NOON) as moment:
        yield moment


def a_schedule(**columns: Any) -> Schedule:
    """Write a schedule of a minute that is due now."""
    values = {"name": "minute", "task_path": tasks.echo.module_path, "cron": "* * * * *", "next_at": NOON, **columns}
    return Schedule.objects.create(**values)


def runs_of_ticks() -> list[datetime]:
    """Return the tick of each run there is, in order."""
    run_ids = set(TaskRun.objects.values_list("pk", flat=True))
    entered = list(Tick.objects.order_by("tick").values_list("tick", "run_id"))
    assert {run_id for _, run_id in entered if run_id} == run_ids, (
        "a run that no tick knows, or a tick that lost its run"
    )
    return [tick for tick, run_id in entered if run_id]


@pytest.mark.fault("F30")
@pytest.mark.parametrize("turned_back", [False, True], ids=["by the lock", "by the ledger alone"])
def test_four_schedulers_make_one_run_of_each_tick(
    session: vendors.Session, turned_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = a_schedule()
    if turned_back:
        monkeypatch.setattr(ticks, "_locked", lambda pk, using: Schedule.objects.using(using).get(pk=pk))
    for trial in range(TRIALS):
        fired = side_by_side(*(lambda own: ticks.fire(row.pk, using="default") for _ in range(4)))
        assert sum(fired) >= 1
        assert Schedule.objects.get().next_at == NOON + (trial + 1) * MINUTE
        testing.advance(MINUTE)

    assert runs_of_ticks() == [NOON + number * MINUTE for number in range(TRIALS)]


def test_four_schedulers_make_up_for_an_outage_in_order_and_once(session: vendors.Session) -> None:
    row = a_schedule(next_at=NOON - 19 * MINUTE, missed="all")

    def keep_firing(own: vendors.Session) -> int:
        fired = 0
        for _ in range(400):
            fired += ticks.fire(row.pk, using="default")
            if fired and Schedule.objects.get(pk=row.pk).next_at > NOON:
                break
        return fired

    side_by_side(*[keep_firing] * 4)
    while ticks.fire(row.pk, using="default"):
        pass
    assert runs_of_ticks() == [NOON - number * MINUTE for number in reversed(range(20))]


@pytest.mark.databases("postgresql", "mysql")
def test_a_scheduler_does_not_wait_for_another(session: vendors.Session, other_session: vendors.Session) -> None:
    row = a_schedule()
    with other_session.transaction():
        other_session.execute("SELECT id FROM durable_tasks_schedule FOR UPDATE")
        with transaction.atomic(), session.brand.bounded_waits(session.execute, 1):
            assert not ticks.fire(row.pk, using="default")
    assert ticks.fire(row.pk, using="default")


def test_a_backfill_and_four_schedulers_meet_and_no_tick_is_run_twice(session: vendors.Session) -> None:
    row = a_schedule(next_at=NOON - 9 * MINUTE, missed="all")

    def fill(own: vendors.Session) -> int:
        return len(schedules.backfill(row.name, NOON - 9 * MINUTE, NOON, using="default"))

    def fire(own: vendors.Session) -> int:
        return sum(ticks.fire(row.pk, using="default") for _ in range(10))

    side_by_side(fill, fire, fill, fire)
    while ticks.fire(row.pk, using="default"):
        pass
    assert runs_of_ticks() == [NOON - number * MINUTE for number in reversed(range(10))]
    outcomes = set(Tick.objects.values_list("outcome", flat=True))
    assert outcomes <= {TickOutcome.ENQUEUED, TickOutcome.BACKFILLED}


def test_workers_that_start_at_once_write_each_schedule_of_the_code_once(
    session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    task(schedule=[cron("0 6 * * *", name=f"number {number}") for number in range(5)])(_nothing)
    side_by_side(*[lambda own: schedules.sync(using="default")] * 4)
    assert Schedule.objects.count() == 5


def _nothing() -> None: ...
