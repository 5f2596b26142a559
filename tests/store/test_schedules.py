"""Schedules in the store: each tick once, by its policies; rows in step with the code; what operators do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_tasks_durable import checks, cron, every, signals, task, testing
from django_tasks_durable.authoring import registry
from django_tasks_durable.conf import RetentionPolicy
from django_tasks_durable.exceptions import InvalidSchedule, ScheduleNotFound, TooManyTicks
from django_tasks_durable.models import Schedule, TaskRun, Tick
from django_tasks_durable.primitives.policies import ScheduleSource, TickOutcome
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import intake, retention, schedules, ticks, vendors
from tests.doors import stock
from tests.probe import tasks

USING = "default"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon() -> Iterator[datetime]:
    """Let it be noon until a test says otherwise."""
    with testing.frozen(NOON) as moment:
        yield moment


def a_schedule(name: str = "every minute", **columns: Any) -> Schedule:
    """Write a schedule of a minute that is due now, unless told otherwise."""
    values: dict[str, Any] = {"task_path": "tests.probe.tasks.echo", "cron": "* * * * *", "next_at": NOON, **columns}
    return Schedule.objects.create(name=name, **values)


def fire_all(row: Schedule) -> int:
    """Let a scheduler decide what is due, and count it."""
    fired = 0
    while ticks.fire(row.pk, using=USING):
        fired += 1
    return fired


def fresh(row: Schedule) -> Schedule:
    """Read a row again."""
    return Schedule.objects.get(pk=row.pk)


def ledger() -> list[tuple[datetime, str]]:
    """Read what was decided."""
    return list(Tick.objects.order_by("tick").values_list("tick", "outcome"))


def enqueued() -> list[datetime]:
    """Read the ticks that have a run."""
    return [tick for tick, outcome in ledger() if outcome == TickOutcome.ENQUEUED]


def at(*parts: int) -> datetime:
    """Make an instant on the first of January."""
    return datetime(2030, 1, 1, *parts, tzinfo=UTC)


# --- ticks


def test_a_due_tick_is_one_run_one_line_in_the_ledger_and_the_next_instant() -> None:
    row = a_schedule(args="[1]", queue_name="reports", priority=7)
    assert fire_all(row) == 1

    run = TaskRun.objects.get()
    assert (run.task_path, run.args, run.queue_name, run.priority) == ("tests.probe.tasks.echo", "[1]", "reports", 7)
    tick = Tick.objects.get()
    assert (tick.schedule, tick.tick, tick.run_id, tick.outcome) == ("every minute", NOON, run.pk, "enqueued")
    assert (fresh(row).next_at, fresh(row).last_at) == (NOON + MINUTE, NOON)
    snapshot = read.one(run.pk, using=USING)
    assert (snapshot.schedule, snapshot.tick) == ("every minute", NOON)
    assert {"schedule": "every minute", "tick": NOON.isoformat()}.items() <= snapshot.as_dict().items()


def test_a_run_that_nobody_scheduled_says_so() -> None:
    run_id = intake.enqueue(tasks.echo.using(metadata={"schedule": 5}), [], {}, using=USING, backend_alias="default")
    snapshot = read.one(run_id, using=USING)
    assert (snapshot.schedule, snapshot.tick) == ("", None)


def test_the_metadata_of_the_task_stays() -> None:
    a_schedule(task_path=tasks.labelled.module_path)
    fire_all(Schedule.objects.get())
    assert json.loads(TaskRun.objects.get().metadata)["label"] == "mine"


@pytest.mark.parametrize("columns", [{"next_at": NOON + MINUTE}, {"next_at": None}, {"paused": True}])
def test_what_is_not_due_does_not_tick(columns: dict[str, Any]) -> None:
    assert fire_all(a_schedule(**columns)) == 0
    assert not TaskRun.objects.exists()


def test_a_tick_in_the_ledger_is_never_run_again_whatever_became_of_its_run() -> None:
    row = a_schedule()
    fire_all(row)
    TaskRun.objects.all().delete()  # retention of zero
    Schedule.objects.update(next_at=NOON)  # and somebody turns the schedule back

    assert fire_all(row) == 1
    assert not TaskRun.objects.exists()
    assert fresh(row).next_at == NOON + MINUTE


def test_retention_takes_the_run_and_leaves_the_tick(session: vendors.Session) -> None:
    row = a_schedule()
    fire_all(row)
    TaskRun.objects.update(status=RunStatus.SUCCESSFUL, finished_at=NOON - timedelta(days=1))
    retention.prune(session, RetentionPolicy(successful=1))
    assert not TaskRun.objects.exists()
    assert ledger() == [(NOON, "enqueued")]


def test_a_schedule_that_is_made_again_goes_on_from_its_ledger() -> None:
    fire_all(a_schedule())
    Schedule.objects.all().delete()
    fire_all(a_schedule())
    assert TaskRun.objects.count() == 1


def test_a_task_of_djangos_own_decorator_ticks_too() -> None:
    fire_all(a_schedule(task_path=stock.double.module_path))
    run = TaskRun.objects.get()
    assert (run.task_path, json.loads(run.metadata)["schedule"]) == (stock.double.module_path, "every minute")
    assert registry.get_task(stock.double.module_path) is stock.double


def test_workers_hear_of_a_tick_after_its_commit(django_capture_on_commit_callbacks: Any) -> None:
    heard: list[str] = []

    def listen(queue_name: str, **_: object) -> None:
        heard.append(queue_name)

    row = a_schedule()
    signals.work_available.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            fire_all(row)
            assert heard == []
    finally:
        signals.work_available.disconnect(listen)
    assert heard == ["default"]


def test_jitter_makes_the_run_due_later_and_always_by_the_same(noon: datetime) -> None:
    row = a_schedule(jitter_seconds=600)
    fire_all(row)
    first = TaskRun.objects.get().due_at
    assert first is not None
    assert NOON < first <= NOON + timedelta(seconds=600)

    Tick.objects.all().delete()
    TaskRun.objects.all().delete()
    Schedule.objects.update(next_at=NOON)
    fire_all(row)
    assert TaskRun.objects.get().due_at == first


# --- missed ticks


def test_what_is_no_later_than_a_minute_was_not_missed() -> None:
    for missed in ("skip", "latest", "all"):
        row = a_schedule(missed, cron="*/20 * * * * *", next_at=NOON - timedelta(seconds=40), missed=missed)
        assert fire_all(row) == 3
    assert len(enqueued()) == 9


def test_of_an_outage_the_latest_tick_is_run() -> None:
    row = a_schedule(cron="0 6 * * *", next_at=at(6) - timedelta(days=3))
    assert fire_all(row) == 1
    assert enqueued() == [at(6)]
    assert fresh(row).next_at == at(6) + timedelta(days=1)


def test_of_an_outage_no_tick_is_run_when_they_are_to_be_skipped() -> None:
    row = a_schedule(cron="0 6 * * *", next_at=at(6) - timedelta(days=3), missed="skip")
    assert fire_all(row) == 1
    assert ledger() == []
    assert (fresh(row).next_at, fresh(row).last_at) == (at(6) + timedelta(days=1), None)


def test_of_an_outage_every_tick_is_run_in_order() -> None:
    row = a_schedule(cron="0 * * * *", next_at=at(9), missed="all")
    assert fire_all(row) == 4
    assert enqueued() == [at(9), at(10), at(11), at(12)]
    times = TaskRun.objects.order_by("id").values_list("metadata", flat=True)
    assert [json.loads(text)["tick"] for text in times] == [tick.isoformat() for tick in enqueued()]


def test_a_year_of_minutes_is_made_up_for_by_no_more_than_the_last_hundred() -> None:
    row = a_schedule(next_at=NOON - timedelta(days=365), missed="all")
    assert fire_all(row) == 100
    assert (enqueued()[0], enqueued()[-1]) == (NOON - 99 * MINUTE, NOON)


# --- overlap


def test_a_tick_is_skipped_while_the_last_run_is_open_and_this_is_in_the_ledger() -> None:
    row = a_schedule(overlap="skip")
    fire_all(row)
    testing.advance(MINUTE)
    fire_all(row)
    assert ledger() == [(NOON, "enqueued"), (NOON + MINUTE, "skipped")]

    TaskRun.objects.update(status=RunStatus.SUCCESSFUL)
    testing.advance(MINUTE)
    fire_all(row)
    assert [outcome for _, outcome in ledger()] == ["enqueued", "skipped", "enqueued"]


def test_the_last_run_is_cancelled_for_the_next() -> None:
    row = a_schedule(overlap="cancel_previous")
    fire_all(row)
    first = TaskRun.objects.get()
    testing.advance(MINUTE)
    fire_all(row)
    cancelled = TaskRun.objects.get(pk=first.pk)
    assert cancelled.status == RunStatus.CANCELLED
    assert "ticked again at 2030-01-01T12:01" in cancelled.cancel_reason
    assert TaskRun.objects.filter(status=RunStatus.READY).count() == 1


def test_runs_may_overlap_unless_told_otherwise() -> None:
    row = a_schedule()
    fire_all(row)
    testing.advance(MINUTE)
    fire_all(row)
    assert TaskRun.objects.filter(status=RunStatus.READY).count() == 2


# --- what goes wrong


def test_a_tick_that_cannot_be_enqueued_is_refused_with_its_reason_and_the_next_one_comes(settings: Any) -> None:
    settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": {"max_payload_bytes": 50}}}
    row = a_schedule(args=json.dumps(["x" * 100]))
    assert fire_all(row) == 1
    tick = Tick.objects.get()
    assert (tick.outcome, tick.run_id) == ("refused", None)
    assert "PayloadTooLarge" in tick.reason
    assert fresh(row).next_at == NOON + MINUTE
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize("columns", [{"cron": "nonsense"}, {"time_zone": "Mars/Olympus"}, {"interval_seconds": 5}])
def test_a_row_that_somebody_broke_ticks_no_more_until_it_is_mended(columns: dict[str, Any]) -> None:
    row = a_schedule(**columns)
    assert fire_all(row) == 1
    assert fresh(row).next_at is None

    fixed = fresh(row)
    fixed.cron, fixed.interval_seconds, fixed.time_zone = "0 * * * *", None, "UTC"
    schedules.write(fixed, using=USING)
    assert fresh(row).next_at == at(13)


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": ""}, "cron"),
        ({"cron": "", "interval_seconds": 0}, "interval_seconds"),
        ({"interval_seconds": 60}, "cron"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"missed": "some"}, "missed"),
        ({"overlap": "some"}, "overlap"),
        ({"dst": "some"}, "dst"),
        ({"args": "{}"}, "args"),
        ({"args": "[1"}, "args"),
        ({"args": "[NaN]"}, "args"),
        ({"kwargs": "[]"}, "kwargs"),
        ({"priority": 101}, "priority"),
        ({"jitter_seconds": 100_000}, "jitter_seconds"),
        ({"name": "every minute"}, "name"),
    ],
)
def test_a_wrong_row_is_told_beside_the_field_that_is_wrong(columns: dict[str, Any], place: str) -> None:
    a_schedule()
    values: dict[str, Any] = {"name": "new", "task_path": tasks.echo.module_path, "cron": "* * * * *", **columns}
    with pytest.raises(ValidationError) as caught:
        Schedule(**values).full_clean()
    assert list(caught.value.message_dict) == [place]


def test_the_check_of_a_database_tells_what_does_not_tick() -> None:
    a_schedule("fine")
    a_schedule("paused", cron="nonsense", paused=True)
    a_schedule("wrong", cron="nonsense")
    a_schedule("unknown", task_path="nobody.knows")
    a_schedule("ended", next_at=None)
    assert checks.check_schedule_rows() == []
    told = {message.msg.split("'")[1]: message for message in checks.check_schedule_rows(databases=["default"])}
    assert set(told) == {"wrong", "unknown", "ended"}
    assert "nobody.knows" in told["unknown"].msg
    assert {message.id for message in told.values()} == {"durable_tasks.W027"}


# --- looking


def test_the_look_tells_what_is_due_and_how_long_the_next_one_takes(session: vendors.Session) -> None:
    known = ticks.known_here(USING)
    assert ticks.look(session, known) == ([], None)
    late, due = a_schedule("late", next_at=NOON - MINUTE), a_schedule("due")
    a_schedule("later", next_at=NOON + timedelta(seconds=90))
    a_schedule("paused", paused=True)
    a_schedule("unknown", task_path="nobody.knows")
    assert ticks.look(session, known) == ([late.pk, due.pk], 90.0)
    assert ticks.look(session, ticks.Known()) == ([], None)


def test_a_schedule_of_code_is_left_to_workers_that_have_the_code(session: vendors.Session) -> None:
    row = a_schedule(source=ScheduleSource.CODE)
    known = ticks.known_here(USING)
    assert ticks.look(session, known)[0] == []
    assert ticks.look(session, ticks.Known(known.tasks, frozenset({row.name})))[0] == [row.pk]


def test_a_task_kept_in_another_database_is_not_ours_to_enqueue(settings: Any) -> None:
    settings.TASKS = {
        "default": {**settings.TASKS["default"], "OPTIONS": {"database": "other"}},
    }
    assert not ticks.known_here(USING).tasks


# --- code and rows in step


def nightly() -> None: ...


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Deploy other code: the only task there is, with these schedules."""

    def deploy(*declared: Any) -> None:
        monkeypatch.setattr(registry, "_tasks", {})
        if declared:
            task(schedule=list(declared))(nightly)
        schedules.sync(using=USING)

    return deploy


def test_a_schedule_of_the_code_becomes_a_row_that_ticks_next(declare: Any) -> None:
    declare(cron("0 6 * * *", tz="Europe/Paris", missed="all", args=[1], jitter=5), every(minutes=5, name="often"))
    first, second = Schedule.objects.order_by("position")
    assert (first.name, first.cron, first.time_zone, first.missed, first.args, first.jitter_seconds) == (
        f"{__name__}.nightly", "0 6 * * *", "Europe/Paris", "all", "[1]", 5
    )  # fmt: skip
    assert (first.source, first.next_at) == ("code", at(5) + timedelta(days=1))
    assert (second.name, second.interval_seconds, second.position, second.next_at) == ("often", 300, 1, at(12, 5))


def test_syncing_again_changes_nothing(declare: Any) -> None:
    declare(cron("0 6 * * *"))
    Schedule.objects.update(next_at=NOON - MINUTE)
    before = Schedule.objects.values().get()
    declare(cron("0 6 * * *"))
    assert Schedule.objects.values().get() == before


def test_a_changed_time_starts_anew_and_a_changed_policy_does_not(declare: Any) -> None:
    declare(cron("0 6 * * *", tz="UTC"))
    Schedule.objects.update(next_at=NOON - MINUTE)
    declare(cron("0 6 * * *", tz="UTC", overlap="skip", kwargs={"a": 1}))
    row = Schedule.objects.get()
    assert (row.overlap, row.kwargs, row.next_at) == ("skip", '{"a":1}', NOON - MINUTE)
    declare(cron("0 18 * * *", tz="UTC", overlap="skip"))
    assert Schedule.objects.get().next_at == at(18)


def test_an_operators_pause_survives_a_deploy(declare: Any) -> None:
    declare(cron("0 6 * * *"))
    schedules.pause(f"{__name__}.nightly", using=USING)
    declare(cron("0 18 * * *"))
    assert Schedule.objects.get().paused


def test_a_schedule_that_left_the_code_is_marked_and_starts_anew_when_it_comes_back(declare: Any) -> None:
    declare(cron("0 6 * * *", tz="UTC"))
    declare()
    row = Schedule.objects.get()
    assert row.vanished_at == NOON
    Schedule.objects.update(next_at=at(6))
    testing.advance(MINUTE)
    declare(cron("0 6 * * *", tz="UTC"))
    row = Schedule.objects.get()
    assert (row.vanished_at, row.next_at) == (None, at(6) + timedelta(days=1))


def test_the_mark_of_older_code_goes_with_the_next_tick_of_newer(declare: Any) -> None:
    declare(every(minutes=1))
    Schedule.objects.update(vanished_at=NOON)
    testing.advance(MINUTE)
    fire_all(Schedule.objects.get())
    assert Schedule.objects.get().vanished_at is None


def test_a_row_that_people_wrote_is_never_touched_by_a_deploy(declare: Any) -> None:
    a_schedule("often", cron="0 1 * * *")
    before = Schedule.objects.values().get()
    declare(every(minutes=5, name="often"))
    assert Schedule.objects.values().get() == before


# --- operators


def test_a_paused_schedule_goes_on_with_its_next_tick_and_not_with_those_that_passed() -> None:
    row = a_schedule(missed="all")
    schedules.pause(row.name, using=USING)
    testing.advance(timedelta(hours=1))
    assert fire_all(row) == 0
    schedules.unpause(row.name, using=USING)
    schedules.unpause(row.name, using=USING)
    assert fire_all(row) == 0
    assert fresh(row).next_at == at(13, 1)


def test_run_now_is_a_run_beside_the_ticks() -> None:
    row = a_schedule(paused=True, next_at=at(13))
    first = schedules.run_now(row.name, using=USING, by="anna")
    second = schedules.run_now(row.name, using=USING, by="anna")
    assert {run.pk for run in TaskRun.objects.all()} == {first, second}
    assert list(Tick.objects.values_list("outcome", "reason")) == [("manual", "anna")] * 2
    assert read.one(first, using=USING).schedule == row.name
    assert fresh(row).next_at == at(13)


def test_a_backfill_fills_what_was_never_decided_and_nothing_twice() -> None:
    row = a_schedule(cron="0 * * * *", next_at=at(12))
    fire_all(row)
    Tick.objects.create(schedule=row.name, tick=at(10), outcome=TickOutcome.SKIPPED, created_at=NOON)
    made = schedules.backfill(row.name, at(8), at(23), using=USING, by="anna")

    assert [outcome for _, outcome in ledger()] == ["backfilled", "backfilled", "skipped", "backfilled", "enqueued"]
    assert [read.one(run_id, using=USING).tick for run_id in made] == [at(8), at(9), at(11)]
    assert schedules.backfill(row.name, at(8), at(23), using=USING) == []
    assert fresh(row).next_at == at(13)


def test_a_backfill_takes_naive_instants_for_local_time() -> None:
    row = a_schedule(cron="0 6 * * *", time_zone="Asia/Tokyo")
    schedules.backfill(row.name, datetime(2029, 12, 30), datetime(2029, 12, 31), using=USING)
    assert [tick for tick, _ in ledger()] == [datetime(2029, 12, 29, 21, tzinfo=UTC)]


def test_a_backfill_that_would_be_too_much_does_nothing() -> None:
    row = a_schedule()
    with pytest.raises(TooManyTicks, match="more than 10 ticks"):
        schedules.backfill(row.name, at(1), at(2), using=USING, limit=10)
    with pytest.raises(TooManyTicks):
        schedules.backfill(row.name, NOON - timedelta(days=3000), NOON, using=USING)
    with pytest.raises(InvalidSchedule, match="instant"):
        schedules.backfill(row.name, datetime.min, NOON, using=USING)
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize(
    "act",
    [
        lambda name: schedules.pause(name, using=USING),
        lambda name: schedules.unpause(name, using=USING),
        lambda name: schedules.run_now(name, using=USING),
        lambda name: schedules.backfill(name, NOON, NOON, using=USING),
    ],
)
def test_an_unknown_schedule_is_said_to_be_unknown(act: Any) -> None:
    with pytest.raises(ScheduleNotFound):
        act("nobody")


def test_a_schedule_of_an_unknown_task_is_refused_and_nothing_is_kept() -> None:
    row = a_schedule(task_path="nobody.knows")
    for act in (
        lambda: schedules.run_now(row.name, using=USING),
        lambda: schedules.backfill(row.name, at(11), at(12), using=USING),
    ):
        with pytest.raises(InvalidSchedule, match=r"nobody\.knows"):
            act()
    assert not Tick.objects.exists()


def test_a_written_schedule_ticks_from_the_present_and_keeps_its_place_when_only_its_policy_changes() -> None:
    row = Schedule(name="mine", task_path=tasks.echo.module_path, cron="0 * * * *")
    row.full_clean()
    schedules.write(row, using=USING)
    assert fresh(row).next_at == at(13)
    Schedule.objects.update(next_at=at(11))
    row = fresh(row)
    row.missed = "all"
    schedules.write(row, using=USING)
    assert fresh(row).next_at == at(11)
    row.cron = "30 * * * *"
    schedules.write(row, using=USING)
    assert fresh(row).next_at == at(12, 30)
