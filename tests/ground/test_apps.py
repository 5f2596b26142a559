"""What the app does when it is ready."""

from __future__ import annotations

import pytest

from django_tasks_durable import signals
from django_tasks_durable.apps import register_plain_tasks
from django_tasks_durable.authoring import driver, registry
from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.backend import news
from django_tasks_durable.compat import Task, restore
from django_tasks_durable.live import notify
from tests.probe import tasks


def test_the_tasks_of_an_app_are_known() -> None:
    assert get_task("tests.probe.tasks.add") is tasks.add


def test_plain_tasks_of_other_backends_are_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved() -> None: ...

    moved.__module__, moved.__qualname__ = "tests.probe.tasks", "moved"
    plain = object.__new__(Task)
    for name in ("priority", "backend", "queue_name", "run_after", "takes_context"):
        object.__setattr__(plain, name, getattr(tasks.add, name))
    object.__setattr__(plain, "func", moved)
    monkeypatch.setattr(tasks, "moved", plain, raising=False)
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    register_plain_tasks()
    assert get_task("tests.probe.tasks.moved") is plain


def test_a_copy_of_a_task_does_not_take_its_place() -> None:
    registry.register(restore(tasks.add, priority=5))
    assert get_task("tests.probe.tasks.add").priority == 0


def test_the_doors_hear_the_house() -> None:
    assert news.tell_started in signals.run_started._live_receivers(None)[0]
    assert news.tell_ended in signals.run_ended._live_receivers(None)[0]
    assert notify.tell in signals.work_available._live_receivers(None)[0]


def test_tasks_can_be_driven_in_process() -> None:
    assert driver.installed() is not None
    assert tasks.add.call(1, 2) == 3
