"""A figure is a median, a ratio is taken beside its yardstick, and a target is judged by what was measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_tasks_durable.management.bench import report
from django_tasks_durable.management.bench.limits import NAMES
from django_tasks_durable.management.bench.measuring import Measuring
from django_tasks_durable.management.bench.targets import (
    EVERYWHERE,
    FIRST_ISSUE,
    GOALS,
    LINES,
    Bound,
    Line,
    judged,
    share,
)


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
    [
        (Bound(least=10), 10.0, True),
        (Bound(least=10), 9.9, False),
        (Bound(most=8), 8.0, True),
        (Bound(most=8), 8.1, False),
        (None, 8.1, None),
    ],
)
def test_a_bound_holds_on_itself(bound: Bound | None, figure: float, met: bool | None) -> None:
    assert Line("line", "line", "/s", "deep.figure").judged(bound, {"deep": {"figure": figure}}) is met


def test_a_bound_on_a_ratio_does_not_judge_the_figure() -> None:
    line = Line("line", "line", "/s", "figure", "ratio.line", "limit")

    assert line.judged(share(0.45), {"figure": 99_999.0, "ratio": {"line": 0.4}}) is False
    assert line.said(share(0.45)) == ">= 0.45 of limit"


@pytest.mark.parametrize("bounds", [EVERYWHERE, *FIRST_ISSUE.values(), *GOALS.values()])
def test_every_bound_is_on_a_line_and_every_line_is_written_once(bounds: dict[str, Bound]) -> None:
    names = [line.name for line in LINES]

    assert len(names) == len(set(names)) == len({line.text for line in LINES})
    assert set(bounds) <= set(names)


def test_a_line_tells_its_target_and_its_goal_apart() -> None:
    results = {
        "database": {"vendor": "postgresql"},
        "drain_per_s": {"async": {"1": 6_000}},
        "ratio": {"drain_async": 0.2},
    }
    (line,) = [line for line in judged(results) if line["line"] == "drain, async, 1 worker"]

    assert (line["target"], line["met"]) == (">= 0.1 of limit", True)
    assert (line["goal"], line["reached"]) == (">= 0.3 of limit", False)


@pytest.mark.parametrize(("synchronous", "goal"), [("1", ">= 20,000 /s"), ("2", ">= 12,000 /s"), ("0", "")])
def test_the_goal_of_a_drain_on_sqlite_depends_on_how_durable_it_is(synchronous: str, goal: str) -> None:
    lines = judged({"database": {"vendor": "sqlite", "synchronous": synchronous}})

    assert {line["goal"] for line in lines if line["line"].endswith("1 worker")} == {goal}


def test_a_curve_is_held_against_its_first_point() -> None:
    measuring = measuring_with()
    for size, rate in ((10_000, 900.0), (0, 1_000.0), (10_000, 700.0), (10_000, 800.0)):
        measuring.point("finished", size, rate)

    (curve,) = report.results_of(measuring)["growth"]["curves"].values()

    assert [(point["size"], point["figure"], point["ratio"]) for point in curve["points"]] == [
        (0, 1000, 1),
        (10_000, 800, 0.8),
    ]


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
