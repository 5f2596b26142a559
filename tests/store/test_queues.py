"""Queues that somebody pauses: what workers leave there, and what is told of them."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_tasks_durable import testing
from django_tasks_durable.exceptions import UnknownQueue
from django_tasks_durable.models import Queue
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import health
from django_tasks_durable.snapshots import queues as read
from django_tasks_durable.store import queues, vendors
from tests.probe import tasks
from tests.store import acts


def test_nothing_is_taken_of_a_paused_queue_until_it_goes_on(session: vendors.Session) -> None:
    acts.register(session)
    here, there = acts.enqueue(), acts.enqueue(tasks.elsewhere)
    queues.pause(["default"], using="default", by="ada")
    assert [run.run_id for run in acts.claim(session)] == [there]
    assert testing.drain() == []

    queues.unpause(["default"], using="default", by="ada")
    assert [run.run_id for run in acts.claim(session)] == [here]


def test_what_runs_goes_on_to_its_end(session: vendors.Session) -> None:
    acts.register(session)
    run_id = acts.enqueue()
    (claimed,) = acts.claim(session)
    queues.pause(["default"], using="default")
    acts.hand_in(session, claimed, acts.Succeeded(lease=claimed.lease, result="1"))

    assert acts.run(run_id).status == RunStatus.SUCCESSFUL


def test_who_paused_first_is_remembered_and_pausing_again_changes_nothing(session: vendors.Session) -> None:
    queues.pause(["default", "other"], using="default", by="ada")
    first = {row.name: row.paused_at for row in Queue.objects.all()}
    queues.pause(["default"], using="default", by="bob")

    assert {row.name: row.paused_at for row in Queue.objects.all()} == first
    assert set(Queue.objects.values_list("paused_by", "changed_by")) == {("ada", "ada")}
    queues.unpause(["default"], using="default", by="bob")
    row = Queue.objects.get(pk="default")
    assert (row.paused_at, row.paused_by, row.changed_by) == (None, "", "bob")


def test_a_paused_queue_is_told_although_nothing_is_there(session: vendors.Session) -> None:
    acts.enqueue()
    acts.enqueue(tasks.elsewhere)
    queues.pause(["default", "idle"], using="default", by="ada")
    found = {each.queue_name: each for each in read.queues(using="default")}

    assert {name: (each.due, each.is_paused, each.paused_by) for name, each in found.items()} == {
        "default": (1, True, "ada"),
        "idle": (0, True, "ada"),
        "other": (1, False, ""),
    }
    assert found["default"].as_dict()["paused_at"] == found["default"].paused_at.isoformat()  # type: ignore[union-attr]


def test_a_pause_is_not_taken_for_a_lack_of_workers(session: vendors.Session) -> None:
    with testing.frozen():
        acts.enqueue()
        queues.pause(["default"], using="default", by="ada")
        testing.advance(3600)
        (finding,) = (each for each in health.diagnose(using="default", known=acts.PATHS) if "default" in each.message)

    assert (finding.code, finding.severity) == ("PAUSED", health.INFO)
    assert "ada" in finding.message


@pytest.mark.parametrize("name", ["defualt", "", "x" * 65, "a\nb"])
def test_a_queue_that_nobody_knows_is_refused(session: vendors.Session, name: str) -> None:
    backend = {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": ["default"]}
    with override_settings(TASKS={"default": backend}), pytest.raises(UnknownQueue, match="There is no queue"):
        queues.pause(["default", name], using="default")
    assert not Queue.objects.exists()


def test_a_queue_that_left_the_settings_may_still_be_paused_while_runs_are_there(session: vendors.Session) -> None:
    acts.enqueue(tasks.elsewhere)
    backend = {"BACKEND": "django_tasks_durable.DurableBackend", "QUEUES": ["default"]}
    with override_settings(TASKS={"default": backend}):
        queues.pause(["other"], using="default")
    assert read.queue("other", using="default").is_paused
