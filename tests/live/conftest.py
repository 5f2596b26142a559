"""What the tests of the live wire share: users, a client of the WebSocket, and an end that leaves no thread behind."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.db import connections

from django_tasks_durable.live import notify
from django_tasks_durable.live.consumers import TasksConsumer
from tests.live.client import Client


@pytest.fixture(autouse=True)
def quiet(transactional_db: None) -> Iterator[None]:
    """Wait for the hub's threads to end, so that nobody is connected when the database is emptied."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("dtd-live"):
            thread.join(15)
            assert not thread.is_alive(), f"{thread.name} goes on though nobody listens"
    notify._notifier.close(5)
    notify._layer_notifier.close(5)
    notify._start_anew()  # forgets that a layer was away
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def user_with(transactional_db: None) -> Callable[..., User]:
    """Make users with some permissions."""

    def make(*codenames: str, name: str = "olga") -> User:
        user = User.objects.create_user(name, password="sesame")
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        return user

    return make


@pytest.fixture
def operator(user_with: Callable[..., User]) -> User:
    """Make somebody who may see tasks and their payloads."""
    return user_with("view_taskrun", "view_payload")


@pytest.fixture
async def clients() -> AsyncIterator[Callable[..., Any]]:
    """Connect clients of the WebSocket; those who are still there at the end are let go."""
    connected: list[Client] = []

    async def connect(user: Any = None, *, headers: Any = (), session: Any = None, greeted: bool = True) -> Client:
        communicator = WebsocketCommunicator(
            TasksConsumer.as_asgi(), "/ws/tasks/", headers=list(headers), subprotocols=["dtd.v1"]
        )
        communicator.scope["user"] = user
        if session is not None:
            communicator.scope["session"] = session
        client = Client(communicator)
        client.accepted, client.subprotocol = await communicator.connect(timeout=10)
        if client.accepted:
            connected.append(client)
        if greeted:
            assert (await client.hear("hello"))["v"] == 1
        return client

    yield connect
    for client in connected:
        await client.leave()


@pytest.fixture
def in_thread() -> Callable[..., Any]:
    """Call what touches rows from an asynchronous test."""
    return sync_to_async
