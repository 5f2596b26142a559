"""A figure is a median, a ratio is taken beside its yardstick, and a target is judged by what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from django_tasks_durable.management.bench import report
from django_tasks_durable.management.bench.drivers import limits_of
from django_tasks_durable.management.bench.limits import NAMES
from django_tasks_durable.management.bench.measuring import Measuring
from django_tasks_durable.management.bench.targets import Target, targets_for


class Yardstick:
    """Limits that give the rates they were told, one after the other."""

    def __init__(self, *rates: float) -> None:
        self._rates = iter(rates)

    def measure(self, name: str) -> float:
        return next(self._rates)

    def facts(self) -> dict[str, str]:
        return {"vendor": "postgresql", "version": "15"}


def measuring_with(*rates: float) -> Measuring:
    """Measure beside yardsticks of these rates."""
    return Measuring(Yardstick(*rates), scale=0.1, say=lambda text: None)  # type: ignore[arg-type]


def test_a_ratio_is_held_against_the_yardsticks_before_and_after() -> None:
    measuring = measuring_with(1_000, 3_000, 1_000, 1_000)
    rates = iter([1_000.0, 500.0, 900.0])

    measuring.beside("insert_commits_per_s", "enqueue", lambda: next(rates))

    assert measuring.ratios["enqueue"] == [0.5, 0.25, 0.9]
    assert measuring.ratio("enqueue") == 0.5
    assert measuring.figure("enqueue") == 900
    assert measuring.figure("insert_commits_per_s") == 1_000


def test_what_was_not_measured_is_none_and_not_zero() -> None:
    found = report.results_of(measuring_with())

    assert found["enqueue_per_s"] is None
    assert found["drain_per_s"]["async"] == {"1": None, "2": None}
    assert found["ratio"]["growth_future_100k"] is None
    assert {line["met"] for line in found["targets"]} == {None}


def test_a_scale_shortens_every_scene_but_not_to_nothing() -> None:
    measuring = measuring_with()

    assert measuring.size(1_000) == 100
    assert measuring.size(3, least=2) == 2


@pytest.mark.parametrize(
    ("bound", "figure", "met"),
    [({"least": 10}, 10.0, True), ({"least": 10}, 9.9, False), ({"most": 8}, 8.0, True), ({"most": 8}, 8.1, False)],
)
def test_a_target_is_met_on_its_bound(bound: dict[str, float], figure: float, met: bool) -> None:
    assert Target("line", "/s", lambda results: figure, **bound).is_met({}) is met  # type: ignore[arg-type]


def test_a_target_on_a_ratio_does_not_judge_the_figure() -> None:
    target = Target("line", "/s", lambda results: 99_999.0, lambda results: 0.4, "limit", least=0.45, on_ratio=True)

    assert target.is_met({}) is False
    assert target.bound() == ">= 0.45 of limit"


@pytest.mark.parametrize("vendor", ["postgresql", "sqlite", "mysql"])
def test_every_line_is_written_once(vendor: str) -> None:
    lines = [target.line for target in targets_for(vendor)]

    assert len(lines) == len(set(lines)) > 15


@pytest.fixture
def scratch(transactional_db: None) -> Iterator[Any]:
    """Give the yardsticks of the test database, and take their tables away."""
    from django.db import connection

    yardsticks = limits_of("default", seconds=0.05)
    yield yardsticks
    yardsticks.close()
    with connection.cursor() as cursor:
        for table in ("limit_run", "limit_held", "limit_step"):
            cursor.execute(f"DROP TABLE {table}")


@pytest.mark.parametrize("name", NAMES)
def test_every_yardstick_is_a_positive_rate_and_leaves_no_rows(scratch: Any, name: str) -> None:
    assert scratch.measure(name) > 0
    assert scratch.run("SELECT COUNT(*) FROM limit_run").fetchone()[0] == 0
    assert scratch.run("SELECT COUNT(*) FROM limit_step").fetchone()[0] == 0


def test_a_yardstick_completes_nothing_behind_a_fence_that_has_moved(scratch: Any) -> None:
    scratch.bulk(3)
    held = scratch.claim(3)
    scratch.complete([(run_id, fence + 1) for run_id, fence in held])

    assert scratch.run("SELECT COUNT(*) FROM limit_run WHERE status = 2").fetchone()[0] == 0


@pytest.mark.django_db
def test_a_drain_is_rated_without_its_first_commit() -> None:
    from django_tasks_durable.management.bench import rows
    from django_tasks_durable.models import TaskRun
    from tests.probe.tasks import echo

    begun = rows.now()
    rows.fill(echo, 30)
    ids = list(TaskRun.objects.values_list("id", flat=True))
    for position, run_id in enumerate(ids):
        # Ten in each commit: one after 5 s, which nobody knows the length of, then one a second.
        finished = begun + timedelta(seconds=5 + position // 10)
        TaskRun.objects.filter(id=run_id).update(status="SUCCESSFUL", finished_at=finished)

    assert rows.rate_of_the_drain(begun) == pytest.approx(10)
