"""A visit costs what the first one cost, however many there were before it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasks_durable import testing
from django_tasks_durable.models import Checkpoint, TaskRun, Wait
from django_tasks_durable.primitives.ids import new_token
from django_tasks_durable.primitives.writes import ClaimedRun, History
from django_tasks_durable.store import history, vendors
from tests.seeds.workflows import GuessGame
from tests.store import acts

VISITS = 10_000
PATH = GuessGame.task.module_path


def queries_of_a_guess(result: Any) -> list[str]:
    """Answer the question, run what is due, and return the statements that it took."""
    result.resume(9)
    with CaptureQueriesContext(connection) as captured:
        testing.drain()
    return [each["sql"].split(" ", 1)[0] for each in captured]


def past(run: TaskRun, visits: int) -> None:
    """Leave behind what so many visits would have left."""
    now = timezone.now()
    numbers = range(100, 100 + visits)
    Checkpoint.objects.bulk_create(
        Checkpoint(run=run, path=f"{number}:ask/wait:guess", kind="wait", position=0, created_at=now)
        for number in numbers
    )
    Wait.objects.bulk_create(
        Wait(
            run=run, path=f"{number}:ask/wait:guess", kind="interrupt", position=0, token=new_token(), answer="1",
            created_at=now,
        )
        for number in numbers
    )  # fmt: skip


def read_now(session: vendors.Session, result: Any) -> tuple[ClaimedRun, History]:
    """Claim the run, which must be due, and read its history."""
    (claimed,) = acts.claim(session, task_paths=[PATH])
    return claimed, history.read(session, claimed)


@pytest.mark.seed("TW-4")
def test_the_ten_thousandth_visit_reads_and_writes_what_the_first_ones_did(session: vendors.Session) -> None:
    result: Any = GuessGame.enqueue()
    testing.drain()
    early = queries_of_a_guess(result)
    past(TaskRun.objects.get(), VISITS)
    assert queries_of_a_guess(result) == early
    acts.register(session)
    result.resume(9)
    claimed, found = read_now(session, result)
    assert claimed.stage.prefix == "5:ask/"
    assert (len(found.checkpoints), len(found.waits)) == (0, 1)


@pytest.mark.databases("sqlite")
@pytest.mark.django_db
def test_a_visit_is_found_by_the_index_of_its_path() -> None:
    result: Any = GuessGame.enqueue()
    testing.drain()
    for table in ("durable_tasks_checkpoint", "durable_tasks_wait"):
        with connection.cursor() as cursor:
            cursor.execute(
                f"EXPLAIN QUERY PLAN SELECT path FROM {table} WHERE run_id = %s AND path >= '5:a/' AND path < '5:a0'",
                [result.run_id.hex],
            )
            plan = str(cursor.fetchall())
        assert "run_id=? AND path>? AND path<?" in plan


@pytest.mark.databases("postgresql")
@pytest.mark.django_db
def test_paths_are_compared_byte_by_byte() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, collation_name FROM information_schema.columns WHERE column_name = 'path' "
            "AND table_name IN ('durable_tasks_checkpoint', 'durable_tasks_wait')"
        )
        assert dict(cursor.fetchall()) == {"durable_tasks_checkpoint": "C", "durable_tasks_wait": "C"}
