"""Who is let go while connected: whose session ends, who may see no longer, and what happens to what a client watched."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from channels.testing import WebsocketCommunicator
from django.conf import settings as configured
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.test import Client as Browser

from django_tasks_durable.live.routing import websocket_urlpatterns
from django_tasks_durable.models import TaskRun
from tests.doors.rows import a_run

from .client import Client, write

Connect = Callable[..., Any]
awrite, a_run_a = sync_to_async(write), sync_to_async(a_run)


def only_his_queue(user: User, runs: QuerySet[TaskRun]) -> QuerySet[TaskRun]:
    """Let everybody see the queue of his own name."""
    return runs.filter(queue_name=user.get_username())


@pytest.fixture
def often(settings: Any) -> None:
    """Ask again and again who may see what."""
    settings.TASKS = {
        "default": {"BACKEND": "django_tasks_durable.DurableBackend", "OPTIONS": {"reauthorise_seconds": 0.1}}
    }


@pytest.fixture
def logged_in(operator: User) -> Browser:
    browser = Browser()
    browser.force_login(operator)
    return browser


async def by_cookie(browser: Browser, stack: Callable[..., Any] = SessionMiddlewareStack) -> Client:
    """Connect as a browser does, through the stack that a project puts around the route."""
    cookie = f"{configured.SESSION_COOKIE_NAME}={browser.cookies[configured.SESSION_COOKIE_NAME].value}"
    wire = WebsocketCommunicator(
        stack(URLRouter(websocket_urlpatterns)), "/ws/tasks/", headers=[(b"cookie", cookie.encode())]
    )
    client = Client(wire)
    client.accepted, _ = await wire.connect(timeout=10)
    return client


@pytest.mark.parametrize("stack", [SessionMiddlewareStack, AuthMiddlewareStack])
async def test_the_cookie_says_who_comes(logged_in: Browser, stack: Callable[..., Any]) -> None:
    client = await by_cookie(logged_in, stack)
    assert (await client.next())["type"] == "hello"
    await client.leave()


async def test_routes_that_no_stack_is_around_say_so() -> None:
    wire = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws/tasks/")
    with pytest.raises(ImproperlyConfigured, match="AuthMiddlewareStack"):
        await wire.connect(timeout=10)


async def test_a_logout_ends_the_socket(often: None, logged_in: Browser) -> None:
    client = await by_cookie(logged_in)
    assert (await client.next())["type"] == "hello"
    await sync_to_async(logged_in.logout)()
    assert await client.hear_close() == 4401
    await client.leave()


async def test_a_session_that_has_expired_ends_the_socket(often: None, logged_in: Browser) -> None:
    client = await by_cookie(logged_in)
    assert (await client.next())["type"] == "hello"

    def expire() -> None:
        store = import_module(configured.SESSION_ENGINE).SessionStore(logged_in.session.session_key)
        store.delete()

    await sync_to_async(expire)()
    assert await client.hear_close() == 4401
    await client.leave()


async def test_who_loses_the_permission_is_let_go(often: None, clients: Connect, operator: User) -> None:
    client = await clients(operator)
    await client.subscribe()
    await sync_to_async(operator.user_permissions.clear)()
    assert await client.hear_close() == 4403


async def test_who_may_see_payloads_no_longer_sees_them_no_longer(
    often: None, clients: Connect, operator: User
) -> None:
    await a_run_a(args="[7]")
    client = await clients(operator)
    assert (await client.subscribe())["runs"][0]["args"] == [7]
    await sync_to_async(operator.user_permissions.remove)(
        await Permission.objects.aget(codename="view_payload", content_type__app_label="durable_tasks")
    )
    told = await client.hear("bootstrap")
    assert told["runs"][0]["args"] == "(hidden)"


async def test_nobody_hears_of_anothers_tenant(clients: Connect, user_with: Callable[..., User], settings: Any) -> None:
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks_durable.DurableBackend",
            "OPTIONS": {"visible_to": f"{__name__}.only_his_queue"},
        }
    }
    users = {name: await sync_to_async(user_with)("view_taskrun", name=name) for name in ("anna", "bert")}
    runs = {name: await a_run_a(queue_name=name) for name in users}
    heard = {}
    listening = {name: await clients(user) for name, user in users.items()}
    for name, client in listening.items():
        told = await client.subscribe("all", aggregate=True)
        assert ([run["id"] for run in told["runs"]], told["aggregate"]["total"]) == ([str(runs[name].pk)], 1)
        other = next(str(run.pk) for owner, run in runs.items() if owner != name)
        await client.say("subscribe", id="spy", query={"ids": [other]}, after={other: 0})
        assert (await client.hear("error"))["code"] == "not_found"
        assert (await client.hear("bootstrap"))["runs"] == []
    for name in (*users, *users):
        await awrite(runs[name].pk)
    for name, client in listening.items():
        await client.hear_until(lambda told: told["type"] == "changed" and told["task"]["last_sequence"] == 3)
        heard[name] = {
            told.get("task_id") or told["task"]["id"] for told in client.heard if told["type"] in ("step", "changed")
        }
    assert heard == {name: {str(run.pk)} for name, run in runs.items()}
