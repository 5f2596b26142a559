"""Middleware around what reaches the database: each way in, and each way to run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from django.utils import translation

from django_tasks_durable import testing
from django_tasks_durable.authoring.middleware import CHAINS
from django_tasks_durable.exceptions import NotSerializable
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.status import RunStatus
from tests.engine import samples
from tests.engine.test_middleware import LANGUAGE, around
from tests.engine.wrappers import HEARD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def heard() -> Iterator[list[Any]]:
    HEARD.clear()
    yield HEARD
    HEARD.clear()


def test_an_enqueue_is_wrapped_and_its_metadata_reaches_the_attempt(heard: list[Any]) -> None:
    with around("outer", "inner"):
        result = samples.add.using(metadata={"a": 1}).enqueue(1)
        assert json.loads(TaskRun.objects.get().metadata) == {"a": 1, "seen_by": ["outer", "inner"]}
        testing.drain()
        result.refresh()
    assert result.return_value == 3
    assert [each[:2] for each in heard[:4]] == [
        ("outer", "enqueue"),
        ("inner", "enqueue"),
        ("inner", "left"),
        ("outer", "left"),
    ]
    assert heard[4:] == [
        ("outer", "attempt", 1, ["outer", "inner"]),
        ("inner", "attempt", 1, ["outer", "inner"]),
        ("inner", "left", 3),
        ("outer", "left", 3),
    ]


def test_many_are_enqueued_through_one_call(heard: list[Any]) -> None:
    with around("outer"):
        samples.add.enqueue_many([((1,), {}), ((2,), {})])
    assert [each[1] for each in heard] == ["enqueue", "left"]
    assert {run.metadata for run in TaskRun.objects.all()} == {'{"seen_by":["outer"]}'}


@pytest.mark.parametrize("queue_name", ["before", "after"])
def test_one_that_raises_leaves_nothing_enqueued(queue_name: str) -> None:
    task = samples.add.using(queue_name=queue_name)
    with around("refusing"):
        for enqueue in (lambda: task.enqueue(1), lambda: task.enqueue_many([((1,), {})])):
            with pytest.raises(PermissionError, match="not from here"):
                enqueue()
        with pytest.raises(PermissionError):
            task.stream(1, store="database").result()
    assert not TaskRun.objects.exists()


def test_metadata_that_cannot_be_stored_is_refused() -> None:
    with around("tests.store.test_middleware.unstorable"), pytest.raises(NotSerializable, match="metadata"):
        samples.add.enqueue(1)
    assert not TaskRun.objects.exists()


def unstorable(get_outcome: Any) -> Any:
    """Put into the metadata what JSON does not know."""

    def middleware(context: Any) -> Any:
        context.metadata["get_outcome"] = get_outcome
        return get_outcome(context)

    return middleware


@pytest.mark.parametrize("task", [samples.add, samples.aadd], ids=lambda task: task.name)
def test_a_task_is_drained_in_the_language_of_its_enqueue(task: Any) -> None:
    with around(LANGUAGE, "outer"):
        with translation.override("fr"):
            task.enqueue(1)
        testing.drain()
    assert TaskRun.objects.get().status == RunStatus.SUCCESSFUL
    assert json.loads(TaskRun.objects.get().metadata)["language"] == "fr"


def test_a_reused_run_is_the_outcome_of_a_call_with_a_key(heard: list[Any]) -> None:
    task = samples.add.using(dedupe_key="k")
    with around("outer"):
        first, second = task.enqueue(1), task.enqueue(1)
    assert first.id == second.id
    assert [each[1:] for each in heard if each[1] == "left"] == [("left", 1)] * 2


def test_settings_that_change_are_heard() -> None:
    with around("outer"):
        assert CHAINS["default"] is not None
        with override_settings(TASKS={"default": {"BACKEND": "django_tasks_durable.DurableBackend"}}):
            assert CHAINS["default"] is None


def test_a_stream_of_the_database_uses_the_connection_of_whoever_iterates(heard: list[Any]) -> None:
    with around("outer"):
        stream = samples.chat.stream("job", store="database")
        assert next(stream).partial == "processing job"
        assert next(stream).interrupt == {"message": "wait"}
    run = TaskRun.objects.get()
    assert (run.status, run.metadata) == (RunStatus.WAITING, '{"seen_by":["outer"]}')
    assert heard[-1] == ("outer", "raised", "Suspend")
