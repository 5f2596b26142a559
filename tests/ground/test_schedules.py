"""Schedules as words: when they tick, through every change of the clocks, and what they refuse to be."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from django_tasks_durable import cron, every, task
from django_tasks_durable.authoring import registry
from django_tasks_durable.authoring.declarations import declarations
from django_tasks_durable.exceptions import InvalidSchedule, NotSerializable
from django_tasks_durable.primitives.policies import DaylightSaving
from django_tasks_durable.primitives.timing import Timing
from tests.ground import cron_oracle
from tests.ground.cron_oracle import utc

ZONES = (
    "America/New_York", "Europe/London", "Europe/Paris", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
    "America/Sao_Paulo", "Africa/Casablanca", "Asia/Tehran", "UTC",
)  # fmt: skip
LINES = (
    "30 2 * * *", "0 0 * * *", "0,30 1-3 * * *", "15 3 31 3 *", "5 2 * * 0", "0 6 1,15 * 1",
    "*/15 * * * *", "7 * * * *", "* 2 * * *", "*/20 1-3 * * *", "30 */6 * * *", "0-10/5 2,3 * * 0,6",
)  # fmt: skip
YEARS = (utc(2010, 1, 1), utc(2020, 1, 1))


def ticks_of(timing: Timing, start: datetime, end: datetime) -> list[datetime]:
    """Return what a schedule makes of a span."""
    return list(takewhile(lambda tick: tick <= end, timing.after(start - timedelta(seconds=1))))


def spans(zone: ZoneInfo, some: random.Random) -> list[tuple[datetime, datetime]]:
    """Choose two days around each change of the clocks, and a few ordinary ones."""
    days = (YEARS[1] - YEARS[0]).days
    plain = [YEARS[0] + timedelta(days=some.randrange(days), minutes=some.randrange(1440)) for _ in range(3)]
    changed = cron_oracle.changes(zone, *YEARS)
    return [
        (day - timedelta(days=1, minutes=some.randrange(180)), day + timedelta(hours=30)) for day in changed + plain
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ZONES)
def test_ten_years_of_each_zone_tick_as_a_walk_over_every_minute_says(name: str) -> None:
    some, zone = random.Random(name), ZoneInfo(name)
    for start, end in spans(zone, some):
        rows = cron_oracle.walked(zone, start, end)
        for text in LINES:
            line = cron_oracle.Line(text)
            for policy in DaylightSaving.values if some.random() < 0.25 else ["auto"]:
                timing = Timing(cron=text, zone=name, dst=DaylightSaving(policy))
                expected = list(cron_oracle.ticks(line, policy, rows))
                assert ticks_of(timing, start, end) == expected, (text, policy, start)
                # Wherever the last tick was, the next one is the same.
                if expected and rows:
                    place = some.randrange(len(expected))
                    asked = expected[place] - timedelta(seconds=some.randrange(1, 60))
                    assert timing.next_after(asked) == expected[place], (text, policy, asked)


SPRING = [
    # Paris: at 01:00 UTC on 29 March 2026 the clocks go from 02:00 to 03:00.
    ("30 2 * * *", "auto", [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]),
    ("30 2 * * *", "skip", [utc(2026, 3, 30, 0, 30), utc(2026, 3, 31, 0, 30)]),
    ("30 2 * * *", "every", [utc(2026, 3, 30, 0, 30), utc(2026, 3, 31, 0, 30)]),
    ("30 2,3 * * *", "auto", [utc(2026, 3, 29, 1), utc(2026, 3, 29, 1, 30), utc(2026, 3, 30, 0, 30)]),
    ("*/30 2 * * *", "auto", [utc(2026, 3, 30), utc(2026, 3, 30, 0, 30)]),
    ("*/30 * * * *", "auto", [utc(2026, 3, 28, 23), utc(2026, 3, 28, 23, 30), utc(2026, 3, 29)]),
]
AUTUMN = [
    # At 01:00 UTC on 25 October 2026 they go from 03:00 back to 02:00.
    ("30 2 * * *", "auto", [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]),
    ("30 2 * * *", "every", [utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30), utc(2026, 10, 26, 1, 30)]),
    ("30 * * * *", "auto", [utc(2026, 10, 24, 22, 30), utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 0, 30)]),
]


@pytest.mark.parametrize(("line", "policy", "expected"), SPRING)
def test_a_time_that_the_spring_leaves_out(line: str, policy: str, expected: list[datetime]) -> None:
    timing = Timing(cron=line, zone="Europe/Paris", dst=DaylightSaving(policy))
    assert list(islice(timing.after(utc(2026, 3, 28, 22, 59)), len(expected))) == expected


@pytest.mark.parametrize(("line", "policy", "expected"), AUTUMN)
def test_a_time_that_the_autumn_shows_twice(line: str, policy: str, expected: list[datetime]) -> None:
    timing = Timing(cron=line, zone="Europe/Paris", dst=DaylightSaving(policy))
    assert list(islice(timing.after(utc(2026, 10, 24, 22)), len(expected))) == expected


def test_a_day_that_a_zone_left_out_is_made_up_for_at_its_end() -> None:
    timing = Timing(cron="0 6 * * *", zone="Pacific/Apia")
    # Apia had no 30 December 2011.
    assert list(islice(timing.after(utc(2011, 12, 29)), 3)) == [
        utc(2011, 12, 29, 16),
        utc(2011, 12, 30, 10),
        utc(2011, 12, 30, 16),
    ]


def test_six_fields_begin_with_the_second() -> None:
    timing = Timing(cron="*/20 * * * * *")
    assert list(islice(timing.after(utc(2026, 1, 1)), 3)) == [
        utc(2026, 1, 1, 0, 0, 20),
        utc(2026, 1, 1, 0, 0, 40),
        utc(2026, 1, 1, 0, 1),
    ]


def test_an_interval_ticks_at_its_multiples_whenever_it_began() -> None:
    timing = every(minutes=5).timing
    assert timing.next_after(utc(2026, 1, 1, 0, 3)) == utc(2026, 1, 1, 0, 5)
    assert timing.next_after(utc(2026, 1, 1, 0, 5)) == utc(2026, 1, 1, 0, 10)
    assert every(seconds=1).timing.next_after(datetime(2026, 1, 1, 0, 0, 0, 5, UTC)) == utc(2026, 1, 1, 0, 0, 1)


@pytest.mark.parametrize("timing", [Timing(cron="* * * * * *"), Timing(interval_seconds=1)], ids=["cron", "interval"])
def test_the_newest_ticks_of_ten_years_of_seconds_are_found_at_once(timing: Timing) -> None:
    found = timing.newest(after=utc(2016, 1, 1), until=utc(2026, 1, 1), count=3)
    assert found == [utc(2025, 12, 31, 23, 59, 58), utc(2025, 12, 31, 23, 59, 59), utc(2026, 1, 1)]


def test_the_newest_ticks_are_fewer_where_there_are_fewer() -> None:
    timing = Timing(cron="0 0 29 2 *")
    assert timing.newest(after=utc(2015, 1, 1), until=utc(2026, 1, 1), count=9) == [
        utc(2016, 2, 29),
        utc(2020, 2, 29),
        utc(2024, 2, 29),
    ]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: cron("0 0 30 2 *"), "cron"),
        (lambda: cron("0 0 31 4,6 *"), "cron"),
        (lambda: cron("61 * * * *"), "cron"),
        (lambda: cron("* * * *"), "cron"),
        (lambda: cron("@daily"), "cron"),
        (lambda: cron(""), "cron"),
        (lambda: cron(None), "cron"),  # type: ignore[arg-type]
        (lambda: cron("1 " * 200), "cron"),
        (lambda: cron("0 6 * * *", tz="Mars/Olympus"), "tz"),
        (lambda: cron("0 6 * * *", tz="../etc/passwd"), "tz"),
        (lambda: cron("0 6 * * *", dst="sometimes"), "dst"),
        (lambda: cron("0 6 * * *", missed="some"), "missed"),
        (lambda: cron("0 6 * * *", overlap=True), "overlap"),  # type: ignore[arg-type]
        (lambda: cron("0 6 * * *", mised="skip"), "mised"),  # type: ignore[call-arg]
        (lambda: cron("0 6 * * *", jitter=-1), "jitter"),
        (lambda: cron("0 6 * * *", priority=101), "priority"),
        (lambda: cron("0 6 * * *", name="x" * 256), "name"),
        (lambda: every(), "interval"),
        (lambda: every(seconds=0.5), "interval"),
        (lambda: every(minutes=-5), "interval"),
        (lambda: every(days=10_000), "interval"),
        (lambda: task(schedule="0 6 * * *")(max), "schedule"),
        (lambda: task(schedule=7)(max), "schedule"),
    ],
)
def test_what_is_no_schedule_is_refused_where_it_is_written(make: Any, field: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        make()
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}=")


def test_a_misspelt_option_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidSchedule, match="Did you mean 'missed'"):
        cron("0 6 * * *", mised="skip")  # type: ignore[call-arg]


def test_arguments_that_cannot_be_stored_are_refused_where_they_are_written() -> None:
    with pytest.raises(NotSerializable, match=r"args\[0\]"):
        cron("0 6 * * *", args=[object()])


def test_a_schedule_belongs_to_the_task_and_not_to_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    nightly = task(schedule=[cron("0 6 * * *"), every(minutes=5, name="often")])(_nightly)

    assert [each.name for each in declarations()] == [f"{__name__}._nightly", "often"]
    assert hash(nightly.options) == hash(nightly.using(priority=3).options)
    with pytest.raises(TypeError, match="@task"):
        nightly.using(schedule=cron("0 7 * * *"))


def test_the_second_schedule_of_a_task_is_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    task(schedule=[every(minutes=1), every(minutes=2)])(_nightly)
    assert [each.name for each in declarations()] == [f"{__name__}._nightly", f"{__name__}._nightly#2"]


def _nightly() -> None: ...


def test_the_zone_is_that_of_the_settings_unless_named(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    assert cron("0 6 * * *").timing.zone == "Asia/Tokyo"
    assert cron("0 6 * * *", tz="Europe/Paris").timing.zone == "Europe/Paris"


def test_a_timing_is_told_in_words() -> None:
    assert Timing(cron="0 6 * * 1", zone="Europe/Paris").words == "At 06:00 on Monday (Europe/Paris)"
    assert every(minutes=5).timing.words == "Every 5 minutes"
    assert every(days=1).timing.words == "Every day"
    assert every(seconds=90).timing.words == "Every 90 seconds"
