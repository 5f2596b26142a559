"""Answers that come twice, to nothing, or to something else: typed errors, and nothing changed."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_tasks_durable import MemoryStore, testing
from django_tasks_durable.exceptions import AlreadyResolved, AmbiguousResume, NotWaiting
from django_tasks_durable.primitives.status import State
from tests.probe import tasks as probe
from tests.store import acts

pytestmark = pytest.mark.django_db


@pytest.fixture
def asking() -> Any:
    """The result of a run that asks."""
    result = probe.asks.enqueue()
    testing.drain()
    result.refresh()
    return result


@pytest.mark.seed("TW-16")
def test_the_first_answer_stands_and_the_same_again_is_none(asking: Any) -> None:
    (wait,) = asking.waits()
    assert (wait.is_pending, wait.request) == (True, {"question": "go on?"})
    asking.resolve(wait.token, "yes")
    before = acts.everything()
    assert asking.resolve(wait.token, "yes") is State.QUEUED
    for answer in (asking.resolve, lambda token, value: asking.resume(value)):
        with pytest.raises(AlreadyResolved, match="first answer stands"):
            answer(wait.token, "no")
    assert acts.everything() == before
    assert asking.waits() == []
    assert [(each.token, each.answer) for each in asking.waits(pending=False)] == [(wait.token, "yes")]
    testing.drain()
    with pytest.raises(AlreadyResolved):
        asking.resolve(wait.token, "no")
    asking.refresh()
    assert asking.return_value == "yes"


@pytest.mark.seed("TW-16")
@pytest.mark.parametrize("token", ["nobody's", "", "x" * 1000])
def test_an_answer_to_something_else_changes_nothing(asking: Any, token: str) -> None:
    before = acts.everything()
    with pytest.raises(NotWaiting):
        asking.resolve(token, "yes")
    assert acts.everything() == before


def test_the_token_of_another_run_answers_nothing_here(asking: Any) -> None:
    other = probe.asks.enqueue()
    testing.drain()
    (wait,) = other.waits()
    before = acts.everything()
    with pytest.raises(NotWaiting):
        asking.resolve(wait.token, "yes")
    assert acts.everything() == before


def test_an_answer_to_a_run_that_waits_for_nothing_changes_nothing() -> None:
    fresh, over = probe.asks.enqueue(), probe.echo.enqueue()
    testing.drain(limit=2)
    fresh = probe.asks.enqueue()
    before = acts.everything()
    for result in (fresh, over):
        with pytest.raises(NotWaiting):
            result.resume("yes")
    assert acts.everything() == before


def test_without_a_token_there_must_be_one_question() -> None:
    result: Any = probe.asks_twice.enqueue()
    testing.drain()
    before = acts.everything()
    with pytest.raises(AmbiguousResume) as refused:
        result.resume("yes")
    assert sorted(refused.value.tokens) == sorted(wait.token for wait in result.waits())
    assert "branch:left/wait:interrupt" in str(refused.value)
    assert acts.everything() == before
    for wait in result.waits():
        result.resolve(wait.token, wait.path)
    testing.drain()
    result.refresh()
    assert result.return_value == {"left": "branch:left/wait:interrupt", "right": "branch:right/wait:interrupt"}


def test_questions_are_read_and_answered_by_coroutines(asking: Any) -> None:
    async def act() -> None:
        (wait,) = await asking.awaits()
        with pytest.raises(NotWaiting):
            await asking.aresolve("nobody's", 1)
        await asking.aresolve(wait.token, "yes")

    async_to_sync(act)()
    testing.drain()
    asking.refresh()
    assert asking.return_value == "yes"


def test_memory_answers_as_the_database_does() -> None:
    store = MemoryStore()
    list(probe.asks.stream(run_id="one", store=store))
    run = store.find("one")
    token = run.open_waits[0].token
    for name in ("nobody's", ""):
        with pytest.raises(NotWaiting):
            store.resume(run.id, "yes", token=name)
    store.resume(run.id, "yes", token=token)
    inbox = run.inbox
    store.resume(run.id, "yes", token=token)
    with pytest.raises(AlreadyResolved):
        store.resume(run.id, "no", token=token)
    assert run.inbox == inbox
