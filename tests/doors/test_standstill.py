"""Why a task does not move: said in words on its page and in the terminal, with what helps."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from django_tasks_durable import task
from django_tasks_durable.authoring.registry import registered
from django_tasks_durable.models import KeptKey, Queue, Slot, TaskRun
from django_tasks_durable.primitives.status import RunStatus, WakeReason
from django_tasks_durable.snapshots import read
from django_tasks_durable.snapshots.standstill import Standstill, standstill
from django_tasks_durable.store import queues, vendors

from .clients import HOSTILE, page_of, panel_of, somebody, text_of
from .rows import a_run, a_running_run, a_wait, a_waiting_run, a_worker
from .tasks import greet

GREET = "tests.doors.tasks.greet"
pytestmark = pytest.mark.django_db


def told(run: TaskRun) -> list[Standstill]:
    """Return why a run does not move."""
    return standstill(read.one(run.pk, using="default"), using="default", known=registered())


def codes(run: TaskRun) -> list[str]:
    """Return why a run does not move, in words for machines."""
    return [each.code for each in told(run)]


def from_now(seconds: float) -> Any:
    """Return an instant so many seconds from the database's now."""
    return vendors.session().now_at() + timedelta(seconds=seconds)


def alive(name: str = "worker-1", **columns: Any) -> None:
    """Make a worker that has just given a sign of life."""
    a_worker(name, heartbeat_at=from_now(0), **columns)


def queued(**columns: Any) -> TaskRun:
    """Make a run of a known task that has just become due."""
    return a_run(**{"task_path": GREET, "due_at": from_now(-1), "enqueued_at": from_now(-1), **columns})


def held(result: TaskRun, **columns: Any) -> TaskRun:
    """Put an enqueued run into a worker's hands."""
    TaskRun.objects.filter(pk=result.id).update(
        **{"status": RunStatus.RUNNING, "due_at": None, "lease_worker": "worker-1", "lease_token": 1, **columns}
    )
    return TaskRun.objects.get(pk=result.id)


def enqueued(**options: Any) -> TaskRun:
    """Enqueue a run with limits."""
    return TaskRun.objects.get(pk=greet.using(**options).enqueue("Ada").id)


# --- in a queue


def test_a_queue_without_a_worker() -> None:
    alive("elsewhere", queues=json.dumps(["mail"]))
    (found,) = told(queued(queue_name="imports"))
    assert found.code == "NO_WORKER"
    assert found.needs_somebody
    assert found.message == "No living worker serves the queue imports."
    assert found.hint == "manage.py runtasks --queue-name imports"


def test_a_worker_that_is_late_serves_nobody() -> None:
    a_worker()
    assert codes(queued()) == ["NO_WORKER"]


def test_a_paused_queue_names_who_paused_it() -> None:
    alive()
    queues.pause(["default"], using="default", by="anna")
    (found,) = told(queued())
    assert (found.code, found.message) == ("PAUSED", "The queue default is paused, by anna.")


def test_the_page_unpauses_the_queue_and_comes_back(root: Client) -> None:
    alive()
    queues.pause(["default"], using="default", by="anna")
    run = queued()
    shown = text_of(root.get(page_of(run)))
    assert "Why it is not running" in shown
    address = f"{reverse('admin:durable_tasks_queue_unpause')}?name=default"
    assert f'action="{address}"' in shown
    response = root.post(address, {"back": str(run.pk)})
    assert response["Location"] == page_of(run)
    assert not Queue.objects.filter(paused_at__isnull=False).exists()
    assert "A worker takes it in a moment." in text_of(root.get(panel_of(run)))


def test_who_may_not_change_queues_reads_the_command_instead() -> None:
    queues.pause(["default"], using="default", by="anna")
    shown = text_of(somebody("bob", "view_taskrun").get(page_of(queued())))
    assert "manage.py tasks unpause default" in shown
    assert reverse("admin:durable_tasks_queue_unpause") not in shown


def test_a_task_that_nobody_knows() -> None:
    alive()
    (found,) = told(queued(task_path="gone.tasks.pay"))
    assert found.code == "UNKNOWN_TASK"
    assert "gone.tasks.pay" in found.message


def test_a_task_that_only_the_workers_do_not_know_was_passed_over() -> None:
    alive()
    (found,) = told(queued(due_at=from_now(40)))
    assert found.code == "UNKNOWN_TASK"
    assert "passed it over" in found.message


@task(version=3, pin_version=True)
def pinned() -> None:
    """Stay with the version that a run was begun by."""


@pinned.migrates(2)
def _led_on(document: dict[str, Any]) -> dict[str, Any]:
    return document


@pytest.mark.parametrize(("version", "code"), [(1, "VERSION"), (2, "SOON"), (3, "SOON"), (4, "VERSION")])
def test_a_task_that_stays_with_another_version_of_its_code(version: int, code: str) -> None:
    alive()
    run = queued(task_path=pinned.module_path, code_version=version, started_at=from_now(-1))
    (found,) = told(run)
    assert found.code == code
    if code == "VERSION":
        assert f"version {version} of its code" in found.message
        assert found.needs_somebody


def test_a_task_that_workers_left_for_another_version_says_so_until_it_is_looked_at_again() -> None:
    alive()
    run = queued(wake_reason=WakeReason.VERSION, code_version=7, due_at=from_now(40), started_at=from_now(-1))
    assert codes(run) == ["VERSION"]


def test_a_task_for_later_says_when() -> None:
    alive()
    (found,) = told(queued(run_after=from_now(3600), due_at=from_now(3600)))
    assert found.code == "LATER"
    assert not found.needs_somebody
    assert found.seconds == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (WakeReason.SLEEP, "It sleeps"),
        (WakeReason.RETRY, "It failed and is tried again"),
        (WakeReason.STEP_RETRY, "A step failed"),
        (WakeReason.POLL, "It asks for something again"),
    ],
)
def test_what_a_task_rests_for(reason: WakeReason, words: str) -> None:
    (found,) = told(queued(wake_reason=reason, due_at=from_now(60), started_at=from_now(-5)))
    assert found.message.startswith(words)


def test_a_due_task_is_taken_in_a_moment_or_was_overlooked() -> None:
    alive()
    assert codes(queued()) == ["SOON"]
    assert codes(queued(due_at=from_now(-600), enqueued_at=from_now(-600))) == ["PASSED_OVER"]


def test_workers_with_their_hands_full() -> None:
    alive(concurrency=1)
    a_running_run()
    (found,) = told(queued())
    assert found.code == "BUSY"
    assert "1 of 1 places" in found.message


def test_a_busy_key_names_who_has_it(root: Client) -> None:
    alive(concurrency=9)
    first = held(enqueued(concurrency_key="pages"))
    second = enqueued(concurrency_key="pages")
    (found,) = told(second)
    assert (found.code, found.message) == ("LIMIT_KEY", "The key pages is busy: 1 of 1 at a time.")
    assert [run.id for run in found.runs] == [first.pk]
    assert page_of(first) in text_of(root.get(page_of(second)))


def test_a_key_that_a_waiting_task_keeps() -> None:
    alive(concurrency=9)
    first = enqueued(concurrency_key="pages", hold_key=True)
    KeptKey.objects.create(run=first, slots=first.slots)
    TaskRun.objects.filter(pk=first.pk).update(status=RunStatus.WAITING, due_at=None)
    (found,) = told(enqueued(concurrency_key="pages", hold_key=True))
    assert found.code == "LIMIT_KEY"
    assert [run.id for run in found.runs] == [first.pk]


def test_a_key_with_room_left_holds_nobody_back() -> None:
    alive(concurrency=9)
    held(enqueued(concurrency_key="pages", concurrency_limit=2))
    assert codes(enqueued(concurrency_key="pages", concurrency_limit=2)) == ["SOON"]


def test_holders_that_somebody_may_not_see_are_not_named() -> None:
    alive(concurrency=9)
    held(enqueued(concurrency_key="pages"))
    run = read.one(enqueued(concurrency_key="pages").pk, using="default")
    (found,) = standstill(run, using="default", known=registered(), narrow=lambda queryset: queryset.filter(pk=run.id))
    assert found.code == "LIMIT_KEY"
    assert found.runs == []


def test_a_queue_that_is_full() -> None:
    alive(concurrency=9)
    queues.limit("default", using="default", by="anna", concurrency=1, rate=None)
    holder = a_running_run()
    (found,) = told(queued())
    assert found.code == "LIMIT_QUEUE"
    assert [run.id for run in found.runs] == [holder.pk]


def test_a_rate_that_is_used_up_says_for_how_long() -> None:
    alive(concurrency=9)
    queues.limit("default", using="default", by="anna", concurrency=None, rate="1/hour")
    Slot.objects.create(pk=("queue", "default"), tokens=0.5, refilled_at=from_now(0), idle_at=from_now(7200))
    (found,) = told(queued())
    assert found.code == "LIMIT_RATE"
    assert "1/hour" in found.message
    assert found.seconds == pytest.approx(1800, abs=60)


def test_what_needs_somebody_comes_first() -> None:
    alive()
    queues.pause(["default"], using="default", by="anna")
    assert codes(queued(wake_reason=WakeReason.STALE)) == ["PAUSED", "WORKER_LOST"]


# --- waiting


def test_a_task_that_waits_for_a_person() -> None:
    (found,) = told(a_waiting_run())
    assert found.code == "PERSON"
    assert found.needs_somebody


def test_a_task_that_waits_for_an_event_names_it() -> None:
    run = a_run(status=RunStatus.WAITING, due_at=from_now(60))
    a_wait(run, "t", path="event:rates", request=None)
    run.waits.update(kind="event")
    (found,) = told(run)
    assert (found.code, found.message) == ("EVENT", "It waits for the event rates.")


def test_a_task_that_waits_for_its_children_names_those_that_are_open() -> None:
    parent = a_run(status=RunStatus.WAITING, due_at=None)
    child = a_running_run(parent_id=parent.pk)
    a_run(parent_id=parent.pk, status=RunStatus.SUCCESSFUL)
    (found,) = told(parent)
    assert found.code == "CHILDREN"
    assert [run.id for run in found.runs] == [child.pk]


def test_a_deadline_that_nobody_is_there_to_notice() -> None:
    assert codes(a_waiting_run(due_at=from_now(-60))) == ["PERSON", "NO_WORKER"]
    alive()
    assert codes(a_waiting_run("another", due_at=from_now(-60))) == ["PERSON"]


# --- in a worker's hands


def test_a_task_that_runs_as_it_should_has_nothing_to_say(root: Client) -> None:
    alive()
    run = a_running_run()
    assert told(run) == []
    assert "dtd-why" not in text_of(root.get(page_of(run)))


@pytest.mark.parametrize("status", [RunStatus.SUCCESSFUL, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_task_that_has_ended_has_nothing_to_say(status: RunStatus) -> None:
    assert told(a_run(status=status, finished_at=from_now(0))) == []


def test_a_silent_worker_with_and_without_another() -> None:
    a_worker()
    run = a_running_run()
    (found,) = told(run)
    assert found.code == "WORKER_SILENT"
    assert found.needs_somebody
    assert "runtasks" in found.hint
    alive("worker-2")
    (found,) = told(run)
    assert not found.needs_somebody
    assert "takes it over" in found.hint


def test_a_worker_that_left_no_trace() -> None:
    (found,) = told(a_running_run())
    assert found.message == "Its worker worker-1 is gone."


def test_a_task_that_is_caught() -> None:
    alive()
    (found,) = told(a_running_run(stalled_at=from_now(-120)))
    assert found.code == "NO_PROGRESS"
    assert found.needs_somebody


def test_a_task_that_is_being_cancelled() -> None:
    alive()
    assert codes(a_running_run(cancel_requested_at=from_now(-1))) == ["CANCELLING"]


# --- shown


def test_hostile_names_are_text(root: Client) -> None:
    Queue.objects.create(name=HOSTILE[:60], paused_at=from_now(0), paused_by=HOSTILE, changed_at=from_now(0))
    run = queued(queue_name=HOSTILE[:60], task_path=HOSTILE)
    shown = text_of(root.get(page_of(run)))
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert "\u202e" not in shown
    assert "\x1b" not in shown


def test_the_terminal_says_it_too() -> None:
    queues.pause(["default"], using="default", by="\x1b[31manna")
    out = StringIO()
    call_command("tasks", "show", str(queued().pk), stdout=out)
    assert "Why it is not running" in out.getvalue()
    assert "The queue default is paused" in out.getvalue()
    assert "\x1b" not in out.getvalue()
