"""After an outage: what was lost at once does not come back at once."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus, State
from django_tasks_durable.primitives.writes import Started
from django_tasks_durable.snapshots import read
from django_tasks_durable.store import vendors, workers
from django_tasks_durable.testing import frozen
from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db
USING = "default"


def lost(session: vendors.Session, number: int) -> list[float]:
    """Lose a worker with so many running runs; return in how many seconds each may be claimed."""
    acts.register(session)
    tasks.echo.enqueue_many([((each,), {}) for each in range(number)])
    for run in acts.claim(session, limit=number):
        acts.hand_in(session, run, Started(lease=run.lease))
    acts.lose_worker(session)
    now = session.now_at()
    return sorted((due - now).total_seconds() for due in TaskRun.objects.values_list("due_at", flat=True))


@pytest.mark.parametrize("number", [1, workers.LOST_AT_ONCE])
def test_a_few_lost_runs_go_on_at_once(session: vendors.Session, number: int) -> None:
    with frozen(session.now_at()):
        assert lost(session, number) == [0.0] * number


def test_many_lost_runs_are_spread(session: vendors.Session) -> None:
    with frozen(session.now_at()):
        due = lost(session, 320)
    spread = (320 - workers.LOST_AT_ONCE) / workers.GOING_ON_PER_SECOND
    assert 0.8 * spread < due[-1] <= spread
    assert due[0] < 0.2 * spread
    each_second = [sum(second <= moment < second + 1 for moment in due) for second in range(int(spread))]
    assert max(each_second) < 2 * workers.GOING_ON_PER_SECOND
    assert {run.state for run in read.summaries(read.runs(using=USING))} == {State.STALE}


def test_what_had_not_begun_is_not_put_off(session: vendors.Session) -> None:
    with frozen(session.now_at()):
        acts.register(session)
        tasks.echo.enqueue_many([((each,), {}) for each in range(60)])
        acts.claim(session, limit=60)
        acts.lose_worker(session)
        assert set(TaskRun.objects.values_list("due_at", flat=True)) == {session.now_at()}


def failed(number: int, error: str = "OSError", *, minutes: int = 0, **options: Any) -> list[TaskRun]:
    """Make failed runs."""
    session = vendors.session(USING)
    ids = [acts.enqueue(**options) for _ in range(number)]
    TaskRun.objects.filter(pk__in=ids).update(
        status=RunStatus.FAILED,
        finished_at=session.now_at() - timedelta(minutes=minutes),
        due_at=None,
        attempts=1,
        errors=json.dumps([{"exception_class_path": f"builtins.{error}", "message": "", "traceback": ""}]),
    )
    return list(TaskRun.objects.filter(pk__in=ids))


def retried(*arguments: str) -> dict[str, Any]:
    """Run the command and return what it tells machines."""
    out = StringIO()
    call_command("tasks", "retry", *arguments, "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def ready() -> int:
    """Count what is ready again."""
    return TaskRun.objects.filter(status=RunStatus.READY).count()


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["--all"], 7),
        (["--exception", "builtins.OSError"], 5),
        (["--queue-name", "slow"], 2),
        (["--since", "30"], 4),
        (["--channel", "topic:mail"], 2),
        (["--task", "tests.probe.tasks.e"], 7),
        (["--all", "--limit", "3"], 3),
        (["--state", "succeeded"], 0),
    ],
)
def test_what_an_outage_has_failed_is_retried_by_what_it_has_in_common(arguments: list[str], number: int) -> None:
    failed(2, "OSError", queue_name="slow", channels=["topic:mail"])
    failed(3, "OSError", minutes=60)
    failed(2, "ValueError")
    assert retried(*arguments, "--dry-run") == {"found": number, "retried": 0, "refused": {}, "dry_run": True}
    assert ready() == 0
    assert retried(*arguments) == {"found": number, "retried": number, "refused": {}, "dry_run": False}
    assert ready() == number


def test_retries_are_spread_over_the_time_that_is_given() -> None:
    failed(60)
    with frozen(vendors.session(USING).now_at()) as now:
        retried("--all", "--over", "600")
    due = sorted((due - now).total_seconds() for due in TaskRun.objects.values_list("due_at", flat=True))
    assert due[0] < 120
    assert 480 < due[-1] <= 600


def test_one_that_cannot_be_retried_holds_up_no_other() -> None:
    first, second = failed(1, dedupe_key="a")[0], failed(1)[0]
    TaskRun.objects.filter(pk=first.pk).update(dedupe_key="a")
    acts.enqueue(dedupe_key="a")
    told = retried("--all")
    assert (told["found"], told["retried"], told["refused"]) == (2, 1, {"KEY_HELD": 1})
    second.refresh_from_db()
    assert second.status == RunStatus.READY


@pytest.mark.parametrize("arguments", [[], ["1f2e3d4c", "--all"]])
def test_a_retry_wants_ids_or_a_choice_and_not_both(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="or choose them"):
        retried(*arguments)
