"""The house over REST: queues, workers, schedules, health, figures, and workflows by name."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext

from django_tasks_durable.live import hub
from django_tasks_durable.live.hub import HubStatus
from django_tasks_durable.management.tasks import terminal
from django_tasks_durable.models import Queue, Schedule, Step, TaskRun
from django_tasks_durable.store import schedules
from django_tasks_durable.testing import drain

from . import tasks
from .callers import Caller, a_user, somebody
from .rows import a_failed_run, a_run, a_running_run, a_waiting_run, a_worker
from .test_rest import refusal, told

pytestmark = pytest.mark.django_db
ON_DUTY = (
    "view_taskrun", "view_payload", "view_queue", "change_queue", "view_worker", "view_schedule", "run_schedule",
    "message_task",
)  # fmt: skip


def on_duty() -> Caller:
    """Return somebody who looks after the house."""
    return somebody(*ON_DUTY)


def test_a_queue_rests_and_goes_on() -> None:
    tasks.greet.enqueue("ann")
    ann = on_duty()
    (queue,) = told(ann.get("queues/"))["results"]
    assert (queue["queue_name"], queue["due"], queue["paused_at"]) == ("default", 1, None)
    paused = told(ann.post("queues/default/pause/"))
    assert (paused["paused_by"], paused["due"]) == ("ann", 1)
    drain()
    assert told(ann.get("queues/"))["results"][0]["due"] == 1
    assert told(ann.post("queues/default/unpause/"))["paused_at"] is None
    drain()
    assert TaskRun.objects.get().status == "SUCCESSFUL"


def test_a_queue_is_limited_and_let_go() -> None:
    tasks.greet.enqueue("ann")
    ann = on_duty()
    limited = told(ann.post("queues/default/limits/", {"concurrency": 2, "rate": "10/minute"}))
    assert (limited["concurrency"], limited["rate"], limited["changed_by"]) == (2, "10/minute", "ann")
    assert told(ann.post("queues/default/limits/", {"rate": None}))["rate"] is None
    freed = told(ann.client.delete("/api/tasks/queues/default/limits/"))
    assert (freed["concurrency"], freed["is_overruled"]) == (None, False)
    wrong: list[dict[str, Any]] = [
        {"concurrency": 0},
        {"concurrency": "x"},
        {"rate": 7.5},
        {"rate": "often"},
        {"speed": 1},
    ]
    for body in wrong:
        assert refusal(ann.post("queues/default/limits/", body), 400) in {"INVALID", "INVALID_LIMIT"}


@pytest.mark.django_db(transaction=True)
def test_who_changed_the_house_is_written_down_each_time(caplog: pytest.LogCaptureFixture) -> None:
    a_schedule()
    ann = on_duty()
    with caplog.at_level("INFO", logger="django_tasks_durable.audit"):
        for limit in (2, 3):
            told(ann.post("queues/default/limits/", {"concurrency": limit}))
        told(ann.client.delete("/api/tasks/queues/default/limits/"))
        for place in ("queues/default", "schedules/nightly"):
            told(ann.post(f"{place}/pause/"))
            told(ann.post(f"{place}/unpause/"))
        call_command("tasks", "schedules", "pause", "nightly", stdout=StringIO())

    written = LogEntry.objects.order_by("pk").values_list("user__username", "object_repr", "change_message")
    assert list(written) == [
        ("ann", "default", "Changed the limits of the queue (concurrency: 2)."),
        ("ann", "default", "Changed the limits of the queue (concurrency: 3)."),
        ("ann", "default", "Gave the limits of the queue back to the settings."),
        ("ann", "default", "Paused the queue."),
        ("ann", "default", "Unpaused the queue."),
        ("ann", "nightly", "Paused the schedule."),
        ("ann", "nightly", "Unpaused the schedule."),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "ann limited the queue default to concurrency=2",
        "ann limited the queue default to concurrency=3",
        "ann gave the limits of the queue default back to the settings",
        "ann paused the queue default",
        "ann unpaused the queue default",
        "ann paused the schedule nightly",
        "ann unpaused the schedule nightly",
        f"{terminal.somebody()} paused the schedule nightly",
    ]


def test_a_queue_that_there_cannot_be_is_not_found() -> None:
    for name in ("x" * 65, "%00", "%0a"):
        assert refusal(on_duty().post(f"queues/{name}/pause/"), 404) == "UNKNOWN_QUEUE"
    assert Queue.objects.count() == 0


def test_workers_are_told_with_what_they_hold() -> None:
    a_worker()
    a_running_run()
    (worker,) = told(on_duty().get("workers/"))["results"]
    assert (worker["id"], worker["held"]) == ("worker-1", 1)


def a_schedule(name: str = "nightly") -> Schedule:
    """Make a schedule of a task."""
    row = Schedule(name=name, task_path=tasks.greet.module_path, cron="0 3 * * *", time_zone="UTC", args='["ann"]')
    schedules.write(row, using="default")
    return row


def test_a_schedule_rests_goes_on_and_runs_now() -> None:
    a_schedule()
    ann = on_duty()
    assert told(ann.post("schedules/nightly/pause/"))["paused"] is True
    assert told(ann.post("schedules/nightly/unpause/"))["paused"] is False
    response = ann.post("schedules/nightly/run/")
    run = told(ann.get(response["Location"]))
    assert (run["id"], run["schedule"]) == (told(response, 202)["id"], "nightly")
    (row,) = told(ann.get("schedules/"))["results"]
    assert (row["last_run_id"], row["last_state"]) == (run["id"], "queued")
    for act in ("pause", "unpause", "run"):
        assert refusal(ann.post(f"schedules/daily/{act}/"), 404) == "SCHEDULE_NOT_FOUND"


def test_probes_need_no_login_and_learn_nothing() -> None:
    nobody = Caller()
    for path in ("health/live/", "health/ready/"):
        assert told(nobody.get(path)) == {"v": 1, "status": "ok"}
    assert refusal(nobody.get("health/"), 403) == "NOT_AUTHENTICATED"


def test_a_process_without_its_database_is_alive_but_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(execute: Any, *args: Any) -> Any:
        raise OperationalError("gone")

    user = a_user("ann", *ON_DUTY)
    with connection.execute_wrapper(fails):
        assert told(Caller().get("health/live/"))["status"] == "ok"
        assert told(Caller().get("health/ready/"), 503)["status"] == "unavailable"
    assert told(Caller(user).get("health/ready/"))["status"] == "ok"


def test_a_database_that_fails_is_told_as_such() -> None:
    ann = on_duty()
    told(ann.get())

    def fails(execute: Any, sql: str, *args: Any) -> Any:
        if "durable_tasks_taskrun" in sql:
            raise OperationalError("gone")
        return execute(sql, *args)

    with connection.execute_wrapper(fails):
        response = ann.get()
    assert (refusal(response, 503), response["Retry-After"]) == ("UNAVAILABLE", "5")


def test_those_on_duty_are_told_what_is_wrong() -> None:
    a_run()
    assert [each["code"] for each in told(on_duty().get("health/"))["results"]] == ["NO_WORKER", "UNKNOWN_TASK"]


def test_figures_are_lines_of_prometheus() -> None:
    a_run(queue_name='a"b\\'), a_failed_run(), a_waiting_run()
    a_running_run()
    a_worker()
    response = on_duty().get("metrics/")
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.content.decode().splitlines()
    for line in lines:
        assert re.fullmatch(
            r'# (HELP|TYPE) \w+ .+|durable_tasks_\w+(\{(\w+="([^"\\\n]|\\.)*",?)+\})? [\d.e+-]+', line
        ), line
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert figures['durable_tasks_tasks{state="failed"}'] == "1"
    assert figures['durable_tasks_open{queue="a\\"b\\\\",kind="due"}'] == "1"
    assert float(figures['durable_tasks_oldest_due_seconds{queue="a\\"b\\\\"}']) > 0
    assert (figures["durable_tasks_waits_pending"], figures["durable_tasks_lost"]) == ("1", "1")
    assert float(figures["durable_tasks_oldest_expired_lease_seconds"]) > 0
    assert figures['durable_tasks_last_hour{event="failed"}'] == "0"


def test_the_hubs_of_this_process_are_told_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    def a_hub(*, is_degraded: bool) -> HubStatus:
        return HubStatus(using="default", mode="poll", is_degraded=is_degraded, subscriptions=1, clients=2, error="")

    monkeypatch.setattr(hub, "statuses", lambda: [a_hub(is_degraded=True), a_hub(is_degraded=False)])
    lines = on_duty().get("metrics/").content.decode().splitlines()
    assert 'durable_tasks_live_degraded{database="default"} 1' in lines
    assert 'durable_tasks_live_clients{database="default",mode="poll"} 4' in lines


def test_a_chart_covers_its_window() -> None:
    ann = on_duty()
    assert len(told(ann.get("charts/"))["points"]) == 60
    assert len(told(ann.get("charts/", window="7d"))["points"]) == 7 * 24
    assert refusal(ann.get("charts/", window="1y"), 400) == "INVALID"


def test_figures_cost_the_same_for_one_run_and_for_many() -> None:
    user = a_user("ann", *ON_DUTY)

    def cost(path: str) -> int:
        caller = Caller(user)
        with CaptureQueriesContext(connection) as queries:
            assert caller.get(path).status_code == 200
        return len(queries)

    paths = ("metrics/", "queues/", "workers/", "schedules/", "health/", "charts/")
    a_worker(), a_schedule(), a_running_run(), a_run()
    first = [cost(path) for path in paths]
    for number in range(20):
        a_worker(f"worker-{number + 2}"), a_schedule(f"s{number}"), a_running_run(), a_run(queue_name=f"q{number}")
    assert [cost(path) for path in paths] == first


# --- workflows


def a_tab() -> str:
    """Let a tab wait for its payment."""
    result = tasks.Tab.enqueue({"owed": 5})
    drain()
    return str(result.id)


def test_a_command_changes_the_state_and_a_query_reads_it() -> None:
    ann, run_id = on_duty(), a_tab()
    assert told(ann.post(f"{run_id}/commands/add/", {"args": [2]}))["value"] == 7
    assert told(ann.get(f"{run_id}/"))["workflow"] == {"step": "unpaid", "visit": 1, "state": {"owed": 7}}
    assert told(ann.get(f"{run_id}/queries/owes/", kwargs='{"at_least": 8}'))["value"] is False
    assert told(ann.get(f"{run_id}/queries/owes/", args="[7]"))["value"] is True
    line = Step.objects.get(run_id=run_id, kind="audit")
    assert json.loads(line.data) == {"command": "add", "args": [2], "kwargs": {}, "by": "ann"}


def test_what_a_query_returns_is_veiled_and_need_not_be_json() -> None:
    run_id = a_tab()
    bob = somebody("view_taskrun", name="bob")
    assert told(bob.get(f"{run_id}/queries/owes/"))["value"] == "(hidden)"
    assert "password" in told(on_duty().get(f"{run_id}/queries/facts/"))["value"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "INVALID_CALL"),
        ({"kwargs": {"sum": 1}}, 400, "INVALID_CALL"),
        ({"args": [-1]}, 422, "COMMAND_FAILED"),
        ({"args": ["much"]}, 422, "COMMAND_FAILED"),
        ({"args": 3}, 400, "INVALID"),
    ],
)
def test_a_command_that_fails_changes_nothing(body: Any, status: int, code: str) -> None:
    ann, run_id = on_duty(), a_tab()
    assert refusal(ann.post(f"{run_id}/commands/add/", body), status) == code
    assert told(ann.get(f"{run_id}/"))["workflow"]["state"] == {"owed": 5}


def test_only_commands_and_queries_can_be_called_by_name() -> None:
    ann, run_id = on_duty(), a_tab()
    for name in ("unpaid", "owes", "__init__", "attach", "state", "no such"):
        assert refusal(ann.post(f"{run_id}/commands/{name}/", {}), 404) == "UNKNOWN_WORD"
    for name in ("unpaid", "add", "of", "transaction"):
        assert refusal(ann.get(f"{run_id}/queries/{name}/"), 404) == "UNKNOWN_WORD"
    assert refusal(ann.post(f"{a_run().pk}/commands/add/", {}), 404) == "UNKNOWN_WORD"
    assert refusal(ann.post(f"{uuid4()}/commands/add/", {}), 404) == "NOT_FOUND"


def test_a_workflow_that_has_ended_takes_no_command() -> None:
    ann, run_id = on_duty(), a_tab()
    TaskRun.objects.filter(pk=run_id).update(status="FAILED")
    assert refusal(ann.post(f"{run_id}/commands/add/", {"args": [1]}), 409) == "INVALID_TRANSITION"
