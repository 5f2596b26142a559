"""``manage.py tasks schedules``: what it lists, what it does, what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_tasks_durable import testing
from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.store import ticks
from tests.probe import tasks

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon() -> Any:
    """Let it be noon."""
    with testing.frozen(NOON) as moment:
        yield moment


@pytest.fixture
def hourly() -> Schedule:
    """A schedule of an hour that has just ticked."""
    row = Schedule.objects.create(
        name="hourly", task_path=tasks.echo.module_path, cron="0 * * * *", time_zone="Europe/Paris", next_at=NOON,
        args='[{"password": "sesame"}]',
    )  # fmt: skip
    ticks.fire(row.pk, using="default")
    return row


def schedules(*arguments: str) -> str:
    """Run the command and return what it wrote."""
    out = StringIO()
    call_command("tasks", "schedules", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_list_shows_when_each_ticks_and_what_became_of_the_last(hourly: Schedule) -> None:
    Schedule.objects.create(name="broken", task_path="nobody.knows", cron="nonsense")
    head, broken, line = schedules("list").splitlines()
    assert head.split() == ["NAME", "TICKS", "TASK", "STATE", "NEXT", "LAST", "OUTCOME"]
    for word in (
        "hourly",
        "At the start of every hour",
        "2030-01-01 13:00:00+00:00",
        "2030-01-01 12:00:00+00:00",
        "queued",
    ):
        assert word in line, line
    assert "broken" in broken


def test_the_list_for_machines_tells_all_but_secrets(hourly: Schedule) -> None:
    (told,) = json.loads(schedules("list", "--json"))
    run = TaskRun.objects.get()
    assert told["next_at"] == "2030-01-01T13:00:00+00:00"
    assert (told["last_run_id"], told["last_state"], told["last_outcome"]) == (str(run.pk), "queued", "enqueued")
    assert "sesame" not in json.dumps(told)
    assert json.loads(schedules("--json", "list")) == [told]


@pytest.mark.parametrize("number", [1, 20])
def test_the_list_takes_the_same_number_of_queries(
    number: int, hourly: Schedule, django_assert_num_queries: Any
) -> None:
    for place in range(number):
        Schedule.objects.create(name=f"s{place}", task_path=tasks.echo.module_path, cron="0 * * * *", next_at=NOON)
    with django_assert_num_queries(3):  # the first asks whether the tables are there
        schedules("list")


def test_an_empty_list_says_so() -> None:
    assert "There are none." in schedules("list")


def test_a_schedule_is_paused_and_goes_on(hourly: Schedule) -> None:
    assert "paused" in schedules("pause", "hourly")
    assert Schedule.objects.get().paused
    assert "on  2030-01-01 13:00:00+00:00" in schedules("unpause", "hourly")
    assert not Schedule.objects.get().paused


def test_run_enqueues_beside_the_ticks(hourly: Schedule) -> None:
    run_id = schedules("run", "hourly").strip()
    assert str(TaskRun.objects.order_by("-id")[0].pk) == run_id


def test_backfill_takes_a_range_in_the_schedules_zone(hourly: Schedule) -> None:
    assert "3 enqueued." in schedules("backfill", "hourly", "--from", "2030-01-01T10:00", "--to", "2030-01-01T12:30")
    again = schedules("backfill", "hourly", "--from", "2030-01-01T09:00Z", "--to", "2030-01-01T11:00Z", "--json")
    assert json.loads(again) == []
    assert Tick.objects.count() == 4
    assert min(Tick.objects.values_list("tick", flat=True)) == NOON - timedelta(hours=3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pause", "nobody"], "There is no schedule 'nobody'"),
        (["run", "nobody"], "There is no schedule 'nobody'"),
        (["backfill", "hourly", "--from", "yesterday", "--to", "2030-01-01"], "no instant"),
        (["backfill", "hourly", "--from", "1999-01-01", "--to", "2030-01-01"], "more than 1,000 ticks"),
        (["backfill", "hourly", "--from", "0001-01-01", "--to", "2030-01-01"], "Give one from 1971"),
        (["unpaus", "hourly"], "unpause"),
    ],
)
def test_what_cannot_be_done_is_said(hourly: Schedule, arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError) as caught:
        schedules(*arguments)
    assert complaint in str(caught.value)
    assert TaskRun.objects.count() == 1
