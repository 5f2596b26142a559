"""The route of the WebSocket, for the project's ``asgi.py``."""

from __future__ import annotations

from typing import Any, cast

from django.urls import path

from . import figures
from .consumers import TasksConsumer

figures.install()

#: Put it behind Channels' ``AuthMiddlewareStack``, which tells from the cookie who comes.
websocket_urlpatterns: list[Any] = [path("ws/tasks/", cast(Any, TasksConsumer.as_asgi()))]
