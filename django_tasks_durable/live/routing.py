"""The route of the WebSocket, for the project's ``asgi.py``."""

from __future__ import annotations

from typing import Any, cast

from django.urls import path

from . import figures
from .consumers import TasksConsumer

figures.install()

#: Put it behind Channels' ``SessionMiddlewareStack``, which reads the cookie; who comes is asked of the database here.
websocket_urlpatterns: list[Any] = [path("ws/tasks/", cast(Any, TasksConsumer.as_asgi()))]
