"""``manage.py tasks doctor`` and ``stats``: what somebody reads who was woken at night."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from django_tasks_durable import task, testing
from django_tasks_durable.models import TaskRun, Worker
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import health
from django_tasks_durable.store import vendors, workers

from .rows import a_failed_run, a_run, a_running_run, a_waiting_run
from .tasks import greet

pytestmark = pytest.mark.django_db
KNOWN = greet.module_path


@pytest.fixture(autouse=True)
def still() -> Iterator[None]:
    """Stop the clock: ages are told in whole seconds, and a slow machine must not make them older."""
    with testing.frozen():
        yield


def asked(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote."""
    out = StringIO()
    try:
        call_command("tasks", *arguments, stdout=out, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def codes() -> dict[str, str]:
    """The findings of the doctor, with their severity."""
    return {each["code"]: each["severity"] for each in json.loads(asked("doctor", "--json")[1])["findings"]}


def a_worker(name: str = "mill-1-aa", *, silent: float = 0, **columns: Any) -> str:
    """Enter a worker that has been silent for so many seconds."""
    session = vendors.session()
    workers.register(session, name, queues=columns.pop("queues", None), concurrency=1, lease_seconds=30)
    heard = session.now_at() - timedelta(seconds=silent)
    Worker.objects.filter(id=name).update(heartbeat_at=heard, **columns)
    return name


def ago(seconds: float) -> Any:
    """An instant of the database's clock."""
    return vendors.session().now_at() - timedelta(seconds=seconds)


def test_where_nothing_is_wrong_it_says_so() -> None:
    a_worker()
    a_run(task_path=KNOWN, due_at=ago(1))
    assert asked("doctor") == (0, "Nothing is wrong.\n")


def test_work_that_nobody_serves_is_an_error() -> None:
    a_worker(queues=["other"])
    a_run(task_path=KNOWN, due_at=ago(90), queue_name="slow")

    code, told = asked("doctor")
    assert code == 1
    assert "'slow' are due, the first for 90 s, and no living worker serves it" in told
    assert "manage.py runtasks --queue-name slow" in told


def test_work_that_piles_up_before_a_living_worker_is_a_warning() -> None:
    a_worker()
    a_run(task_path=KNOWN, due_at=ago(90))
    assert codes() == {"BEHIND": "warning"}
    assert asked("doctor")[0] == 0


def test_a_silent_worker_and_what_it_holds_are_named() -> None:
    a_worker(silent=100)
    a_running_run(task_path=KNOWN, lease_worker="mill-1-aa")
    told = asked("doctor")[1]
    assert "mill-1-aa on" in told
    assert "silent for 100 s and holds 1 task(s)" in told


def test_what_a_dead_worker_still_holds_is_named() -> None:
    a_worker(dead_at=ago(5))
    a_running_run(task_path=KNOWN, lease_worker="mill-1-aa")
    assert {"LOST", "WORKER_SILENT"} <= set(codes())


def test_names_that_nobody_knows_are_told_with_their_number() -> None:
    a_worker()
    for _ in range(3):
        a_run(task_path="gone.tasks.away", due_at=ago(1))
    assert "gone.tasks.away (3)" in asked("doctor")[1]


@task(version=2, pin_version=True)
def pinned() -> None:
    """Stay with the version that a run was begun by."""


def test_tasks_that_stay_with_another_version_are_told_with_it_and_their_number() -> None:
    a_worker()
    for version in (1, 1, 2, 3):
        a_run(task_path=pinned.module_path, code_version=version, started_at=ago(2), due_at=ago(1))
    a_run(task_path=pinned.module_path, code_version=1, due_at=ago(1))  # nothing was done of it yet
    path = pinned.module_path
    assert f"than is here: {path} version 1 (2), {path} version 3 (1)." in asked("doctor")[1]
    assert codes() == {"OTHER_VERSION": "warning"}


def test_a_deadline_that_nobody_kept_is_an_error() -> None:
    a_worker()
    a_waiting_run(task_path=KNOWN)
    TaskRun.objects.update(due_at=ago(90))
    assert codes() == {"OVERDUE": "error"}


def test_failures_of_the_last_hour_are_counted_by_task() -> None:
    a_worker()
    for seconds in (10, 20, 7200):
        run = a_failed_run(task_path=KNOWN)
        TaskRun.objects.filter(pk=run.pk).update(finished_at=ago(seconds))
    assert f"2 task(s) {KNOWN} failed within the last hour" in asked("doctor")[1]


def test_a_clock_that_is_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    a_worker()
    monkeypatch.setattr(health.clock, "host_now", lambda: ago(-30))
    assert "clock is 30" in asked("doctor")[1]


@pytest.mark.parametrize(
    ("columns", "silent", "condition", "code"),
    [({}, 0, "alive", 0), ({}, 100, "late", 1), ({"dead_at": "now"}, 0, "dead", 1), ({"stopped_at": "now"}, 0, "stopped", 1)],
)  # fmt: skip
def test_a_probe_asks_for_one_worker(columns: dict[str, Any], silent: float, condition: str, code: int) -> None:
    a_worker(silent=silent, **{name: ago(0) for name in columns})
    assert asked("doctor", "--worker", "mill-1-aa") == (code, f"mill-1-aa: {condition}\n")


def test_a_probe_may_ask_by_the_name_that_every_start_has() -> None:
    a_worker("mill-1-aa", stopped_at=ago(5))
    a_worker("mill-2-bb")
    assert asked("doctor", "--worker", "mill")[0] == 0
    assert json.loads(asked("doctor", "--worker", "nobody", "--json")[1]) == {
        "worker": "nobody",
        "condition": "unknown",
    }
    assert asked("doctor", "--worker", "nobody")[0] == 1


def test_stats_count_what_is_open_queue_by_queue() -> None:
    a_worker(queues=["slow"])
    a_run(queue_name="slow", due_at=ago(60))
    a_run(queue_name="slow", due_at=ago(-60))
    a_running_run()
    a_waiting_run()
    TaskRun.objects.create(task_path="a.b", status=RunStatus.SUCCESSFUL, enqueued_at=ago(0))

    queues = {queue["queue_name"]: queue for queue in json.loads(asked("stats", "--json")[1])["queues"]}
    assert {name: queues["slow"][name] for name in ("due", "later", "held", "waiting", "workers_alive")} == {
        "due": 1, "later": 1, "held": 0, "waiting": 0, "workers_alive": 1
    }  # fmt: skip
    assert queues["slow"]["oldest_due_seconds"] == pytest.approx(60, abs=0.01)
    assert {name: queues["default"][name] for name in ("due", "held", "waiting", "workers_alive")} == {
        "due": 0, "held": 1, "waiting": 1, "workers_alive": 0
    }  # fmt: skip
    assert asked("stats")[1].splitlines()[2].split() == [
        "QUEUE",
        "DUE",
        "LATER",
        "HELD",
        "WAITING",
        "OLDEST",
        "DUE",
        "WORKERS",
    ]


def test_the_number_of_queries_does_not_grow_with_rows(django_assert_max_num_queries: Any) -> None:
    a_worker()
    for number in range(30):
        a_run(task_path=KNOWN, queue_name=f"q{number}", due_at=ago(90))
        a_running_run(task_path=KNOWN)
    with django_assert_max_num_queries(17):
        health.diagnose(using="default", known=[KNOWN])


@pytest.mark.parametrize(
    ("options", "code", "cure"),
    [
        ({"visible_to": "tests.nowhere.at_all"}, "E035", "dotted path"),
        ({"channel_layer": "redis"}, "E034", "None"),
        ({"executor": "nobody.knows"}, "E031", ""),
        ({"expose": ["shop.tasks.*"]}, "W036", "tasks.py"),
    ],
)
def test_what_the_settings_have_wrong_is_told_with_its_cure(
    options: dict[str, Any], code: str, cure: str, settings: Any
) -> None:
    settings.TASKS = {"default": {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": options}}
    status, text = asked("doctor", "--json")
    told = [finding for finding in json.loads(text)["findings"] if finding["code"] == code]
    assert told, text
    assert status == code.startswith("E")
    assert cure in told[0]["hint"]
