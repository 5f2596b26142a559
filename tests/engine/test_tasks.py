"""What an author says about a task."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_tasks_durable import Backoff, DurableTask, task
from django_tasks_durable.authoring.tasks import TaskOptions, get_task, options_of, registered
from django_tasks_durable.compat import InvalidTask, Task
from django_tasks_durable.exceptions import UnknownTask

from . import samples


def test_a_task_is_djangos_with_one_field_more() -> None:
    assert isinstance(samples.add, Task)
    assert {each.name for each in fields(DurableTask)} - {each.name for each in fields(Task)} == {"options"}


def test_a_first_argument_named_context_is_the_context() -> None:
    assert samples.report.takes_context
    assert not samples.add.takes_context


def test_options_are_kept_and_told_as_json() -> None:
    assert samples.report.options.max_attempts == 3
    assert samples.report.options.snapshot() == (
        '{"max_attempts":3,"timeout":60,"backoff":{"first":2,"factor":2.0,"longest":60.0,"jitter":0.1}}'
    )
    assert options_of(samples.add).snapshot() == "{}"


def test_metadata_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        samples.report.options.metadata["team"] = "other"  # type: ignore[index]


def test_a_task_is_hashable_whatever_its_options() -> None:
    assert len({samples.report, samples.report, samples.add}) == 2


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_task_survives_pickling_with_its_options(protocol: int) -> None:
    changed = samples.report.using(priority=5, max_attempts=7, metadata={"a": 1})
    assert pickle.loads(pickle.dumps(changed, protocol)) == changed  # noqa: S301 - its own bytes
    assert copy.deepcopy(changed) == changed


def test_a_method_of_another_library_is_told_by_its_name_here() -> None:
    for name, here in (("delay", "enqueue"), ("apply_async", "using"), ("s", "bind")):
        with pytest.raises(AttributeError, match=rf"no attribute '{name}'. Here it is add.{here}\("):
            getattr(samples.add, name)
    assert not hasattr(samples.add, "anything_else")
    assert not hasattr(object.__new__(DurableTask), "func"), "a task that is being made again has no name yet"


def test_using_changes_djangos_fields_and_ours() -> None:
    changed = samples.report.using(priority=5, max_attempts=7)
    assert (changed.priority, changed.options.max_attempts) == (5, 7)
    assert (changed.options.timeout, changed.options.metadata) == (60, {"team": "shop"})
    assert samples.report.options.max_attempts == 3


def test_run_after_may_be_a_delay(frozen: datetime) -> None:
    assert samples.add.using(run_after=timedelta(hours=1)).run_after == frozen + timedelta(hours=1)
    at = datetime(2031, 1, 1, tzinfo=UTC)
    assert samples.add.using(run_after=at).run_after == at


def test_an_unknown_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(TypeError, match="Did you mean 'max_attempts'"):
        samples.add.using(max_attempt=3)
    with pytest.raises(TypeError, match="Did you mean 'backoff'"):
        task(back_off=3)
    with pytest.raises(TypeError, match="Here it is 'max_attempts'"):
        task(retries=3)
    with pytest.raises(TypeError, match="run_after"):
        task(run_after=3)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": True},
        {"max_attempts": "3"},
        {"max_deliveries": -1},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": True},
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TaskOptions(**options)


@pytest.mark.parametrize("options", [{"backoff": 5}, {"metadata": [1]}])
def test_an_option_of_another_type_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        TaskOptions(**options)


def test_a_timeout_may_be_a_timedelta() -> None:
    assert TaskOptions(timeout=timedelta(minutes=1)).timeout == 60  # type: ignore[arg-type]


def test_a_function_that_nobody_can_import_is_refused() -> None:
    with pytest.raises(InvalidTask):

        @task
        def inside() -> None: ...


@pytest.mark.seed("TT-1")
def test_tasks_are_known_by_their_paths() -> None:
    assert get_task("tests.engine.samples.add") is samples.add
    assert "tests.engine.samples.report" in registered()
    with pytest.raises(UnknownTask):
        get_task("tests.engine.samples.missing")


def test_a_copy_does_not_take_the_place_of_the_task() -> None:
    samples.add.using(priority=9)
    assert get_task("tests.engine.samples.add") is samples.add


# --- backoff


def test_delays_grow_up_to_the_longest() -> None:
    backoff = Backoff(first=1, factor=2, longest=10, jitter=0)
    assert [backoff.delay(n) for n in (1, 2, 3, 4, 5, 10_000_000)] == [1, 2, 4, 8, 10, 10]


def test_jitter_stays_within_its_share_and_below_the_longest() -> None:
    backoff = Backoff(first=10, factor=1, longest=10.5, jitter=0.1)
    delays = [backoff.delay(1) for _ in range(200)]
    assert min(delays) >= 10
    assert max(delays) <= 10.5
    assert len(set(delays)) > 10


def test_a_factor_that_overflows_is_the_longest() -> None:
    assert Backoff(first=1e300, factor=1e300, longest=60, jitter=0).delay(64) == 60


def test_a_backoff_may_be_called_as_djangos_framework_will() -> None:
    class Result:
        attempts = 3

    assert Backoff(jitter=0)(ValueError(), Result()) == 4


@pytest.mark.parametrize(
    "values", [{"first": -1}, {"factor": 0.5}, {"jitter": 2}, {"longest": float("inf")}, {"first": True}]
)
def test_a_backoff_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Backoff"):
        Backoff(**values)
