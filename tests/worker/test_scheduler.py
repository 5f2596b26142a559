"""What a worker does for the schedules in one turn: a bounded number of ticks, and one that fails holds up no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_tasks_durable import testing
from django_tasks_durable.models import Schedule, Tick
from django_tasks_durable.store import intake, vendors
from django_tasks_durable.worker.scheduler import FIRED_PER_TURN, Scheduler
from tests.probe import tasks

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def noon() -> Any:
    """Let it be noon until a test says otherwise."""
    with testing.frozen(NOON) as moment:
        yield moment


@pytest.fixture
def session() -> Any:
    """The connection that a worker's maintenance looks with."""
    session = vendors.private_session("default")
    yield session
    session.close()


def a_schedule(name: str, **columns: Any) -> Schedule:
    """Write a schedule of a minute that is due."""
    values = {"task_path": tasks.echo.module_path, "cron": "* * * * *", "next_at": NOON, **columns}
    return Schedule.objects.create(name=name, **values)


def test_a_turn_decides_what_is_due_and_tells_when_the_next_tick_is(session: vendors.Session) -> None:
    scheduler = Scheduler("default", is_on=True)
    assert scheduler.turn(session) is None
    a_schedule("a")
    assert scheduler.turn(session) == 0
    assert scheduler.turn(session) == 60
    assert Tick.objects.count() == 1


def test_a_turn_is_bounded_and_the_next_one_goes_on(session: vendors.Session) -> None:
    a_schedule("a", missed="all", next_at=NOON - timedelta(minutes=79))
    scheduler = Scheduler("default", is_on=True)
    assert scheduler.turn(session) == 0
    assert Tick.objects.count() == FIRED_PER_TURN
    scheduler.turn(session)
    assert Tick.objects.count() == 80


def test_a_tick_that_fails_holds_up_no_other_and_comes_again(
    session: vendors.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_schedule("a", queue_name="unlucky")
    a_schedule("b")
    scheduler, enqueue = Scheduler("default", is_on=True), intake.enqueue

    def fail_once(task: Any, *args: Any, **kwargs: Any) -> Any:
        if task.queue_name == "unlucky":
            raise OperationalError("the server is away")
        return enqueue(task, *args, **kwargs)

    with monkeypatch.context() as away:
        away.setattr(intake, "enqueue", fail_once)
        scheduler.turn(session)
    assert list(Tick.objects.values_list("schedule", flat=True)) == ["b"]
    scheduler.turn(session)
    assert sorted(Tick.objects.values_list("schedule", flat=True)) == ["a", "b"]


def test_a_scheduler_that_is_off_looks_at_nothing(session: vendors.Session) -> None:
    a_schedule("a")
    with CaptureQueriesContext(connection) as queries:
        assert Scheduler("default", is_on=False).turn(session) is None
    assert len(queries) == 0
    assert not Tick.objects.exists()


def test_a_turn_with_nothing_due_is_one_look(session: vendors.Session) -> None:
    a_schedule("a", next_at=NOON + timedelta(minutes=1))
    scheduler = Scheduler("default", is_on=True)
    scheduler.turn(session)
    with CaptureQueriesContext(session.connection) as looks, CaptureQueriesContext(connection) as others:
        scheduler.turn(session)
    assert (len(looks), len(others)) == (1, 0)
