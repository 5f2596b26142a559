"""The streams, to be included under ``api/tasks/`` beside the API."""

from __future__ import annotations

from django.urls import path

from . import figures, sse

figures.install()

app_name = "durable_tasks_live"
urlpatterns = [
    path("stream/", sse.stream, name="stream"),
    path("<uuid:id>/stream/", sse.partials, name="partials"),
]
