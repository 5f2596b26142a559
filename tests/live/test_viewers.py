"""Who a socket belongs to is asked once for all sockets of a session, and never believed for longer than is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.test import Client as Browser

from django_tasks_durable.conf import get_options
from django_tasks_durable.live import viewers
from django_tasks_durable.live.audience import Barred
from django_tasks_durable.live.viewers import Seen, Viewers

pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    """A clock that a test moves, in seconds."""

    now = 100.0

    def monotonic(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(viewers, "clock", stopped)
    return stopped


@pytest.fixture
def session(operator: User) -> SessionBase:
    browser = Browser()
    browser.force_login(operator)
    return browser.session


async def directly(key: str, function: Callable[[], Seen]) -> Seen:
    """Ask at once, as a hub does on a thread."""
    found: Seen = await sync_to_async(function)()
    return found


@pytest.fixture
def house() -> Viewers:
    return Viewers(directly, replace(get_options("default"), reauthorise_seconds=60.0))


async def test_the_sockets_of_a_session_share_an_answer_that_is_newer_than_theirs(
    house: Viewers, clock: Clock, session: SessionBase, operator: User
) -> None:
    joined = [await house.ask(None, session, after=clock.now) for _ in range(3)]
    assert {seen.viewer.name for seen in joined} == {f"auth.User:{operator.pk}"}
    clock.now += 59
    first = await house.ask(None, session, after=joined[0].at)
    assert first.at == clock.now
    clock.now += 5
    later = [await house.ask(None, session, after=seen.at) for seen in joined[1:]]
    assert [seen is first for seen in later] == [True, True]
    # Who holds this answer already is told a new one.
    assert (await house.ask(None, session, after=first.at)).at == clock.now


async def test_an_answer_is_believed_for_so_long_and_no_longer(
    house: Viewers, clock: Clock, session: SessionBase
) -> None:
    since = clock.now - 1
    first = await house.ask(None, session, after=since)
    clock.now += 59.9
    assert await house.ask(None, session, after=since) is first
    clock.now += 0.1
    assert (await house.ask(None, session, after=since)).at == clock.now


async def test_who_is_at_the_door_is_always_asked_for(house: Viewers, clock: Clock, session: SessionBase) -> None:
    await house.ask(None, session, after=clock.now)
    clock.now += 1
    await sync_to_async(session.delete)()
    with pytest.raises(Barred):
        await house.ask(None, session, after=clock.now)
