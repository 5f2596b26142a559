"""What a durable task host did, shown with runs in a database."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings

from django_tasks_durable import Backoff, log, testing
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import State
from django_tasks_durable.primitives.writes import Started
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import vendors
from tests.probe import journal
from tests.store import acts

from . import tasks

pytestmark = pytest.mark.django_db


def of_ours(**options: Any) -> dict[str, Any]:
    """Settings with our backend and these options."""
    return {"default": {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": [], "OPTIONS": options}}


@pytest.mark.seed("TR-16")
@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_said_at_enqueue_decides_how_often_a_task_is_tried(limit: int, deeds: Path) -> None:
    result = tasks.always_fails.using(max_attempts=limit).enqueue()
    testing.drain()
    result.refresh()
    assert journal.times(deeds, "attempt") == limit
    assert len(result.errors) == limit


@pytest.mark.seed("TR-39")
@override_settings(TASKS=of_ours(max_attempts=5))
def test_options_of_the_settings_count_where_neither_the_task_nor_the_call_says_more() -> None:
    tasks.says_nothing.enqueue()
    tasks.has_own_limit.enqueue()
    tasks.has_own_limit.using(max_attempts=2).enqueue()
    assert list(TaskRun.objects.order_by("id").values_list("max_attempts", flat=True)) == [5, 3, 2]


@pytest.mark.seed("TR-P5")
def test_a_run_whose_worker_is_lost_is_stale_until_it_is_claimed_again() -> None:
    session = vendors.session("default")
    acts.register(session)
    run_id = acts.enqueue()
    (claimed,) = acts.claim(session)
    acts.hand_in(session, claimed, Started(lease=claimed.lease))
    acts.lose_worker(session)
    assert read.one(run_id, using="default").state is State.STALE

    acts.claim(session)
    assert read.one(run_id, using="default").state is State.CLAIMED


@pytest.mark.seed("TR-38")
def test_the_schema_is_prepared_by_migrations_that_do_nothing_the_second_time() -> None:
    executor = MigrationExecutor(connection)
    assert executor.migration_plan(executor.loader.graph.leaf_nodes("durable_tasks")) == []
    out = StringIO()
    call_command("makemigrations", "durable_tasks", check=True, dry_run=True, stdout=out)
    assert "No changes" in out.getvalue()


@pytest.mark.seed("TR-P7")
@pytest.mark.databases("sqlite")
@pytest.mark.django_db(transaction=True)
def test_what_was_stored_in_sqlite_is_there_for_another_process(manage: Any) -> None:
    result = tasks.reports.enqueue()
    testing.drain()
    connection.close()

    shown, _ = manage("tasks", "show", result.id, "--json").communicate(timeout=60)
    run = json.loads(shown)
    assert (run["state"], run["result"], run["progress"]["label"]) == ("succeeded", "done", "reading")
    assert "read" in [line["message"] for line in run["timeline"]]


@pytest.mark.seed("TR-17")
def test_a_delay_doubles_from_a_second_to_a_minute_give_or_take_a_tenth_and_never_leaves_these_bounds() -> None:
    usual = Backoff()
    assert (usual.first, usual.factor, usual.longest, usual.jitter) == (1, 2, 60, 0.1)
    for attempt, plain in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
        delays = [usual.delay(attempt) for _ in range(100)]
        assert max(plain * 0.9, 1) <= min(delays)
        assert max(delays) <= min(plain * 1.1, 60)
        assert len(set(delays)) > 10


@pytest.mark.seed("TR-19")
def test_progress_changes_what_is_given_clears_what_is_none_and_ends_at_a_hundred() -> None:
    result = tasks.tells_progress.enqueue()
    testing.drain()

    shown = read.one(result.id, using="default")
    told = [(progress["percent"], progress["label"], progress["meta"]) for progress in shown.result]
    assert told == [
        (100.0, "begun", {"page": 1}),
        (100.0, "begun", {"page": 2}),
        (0.0, "", {"page": 2}),
        (30.0, "on", {"row": 3}),
        (30.0, "on", {}),
    ]
    assert (shown.percent, shown.progress.label) == (100.0, "on")


@pytest.mark.seed("TR-20")
def test_a_line_has_a_kind_a_level_and_a_percent_that_is_the_runs_own_too() -> None:
    result = tasks.tells_lines.enqueue()
    testing.drain()

    lines = [line for line in read.timeline(result.run_id, using="default") if line.data_text or line.message == "step"]
    assert [(line.kind, line.level, line.message, line.percent, line.value) for line in lines] == [
        ("log", "info", "step", None, None),
        ("checkpoint", "success", "half", 50.0, {"page": 1}),
        ("custom", "custom", "own", None, {"page": 2}),
        ("event", "warn", "slow", None, {"page": 3}),
    ]
    assert [line.sequence for line in lines] == sorted(line.sequence for line in lines)
    assert result.snapshot().result == 50.0


def test_an_unknown_kind_of_line_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'checkpoint'"):
        log("half", kind="chekpoint")
