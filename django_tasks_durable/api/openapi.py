"""The OpenAPI document of our addresses alone, where drf-spectacular is installed."""

from __future__ import annotations

from typing import Any

from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from rest_framework.request import Request
from rest_framework.response import Response

from django_tasks_durable import __version__

from .base import TasksView

TITLE = "django-tasks-durable"


class OpenApiView(TasksView):
    """What can be called here, for programs."""

    schema: Any = None  # it does not describe itself

    def get(self, request: Request) -> Response:
        """Answer with the document, whose addresses are those that this one was asked by."""
        return Response(document(request.path.removesuffix("schema/"), request))


def document(prefix: str, request: Request | None = None) -> Any:
    """Return the OpenAPI document of our addresses below a prefix."""
    told = {"TITLE": TITLE, "VERSION": __version__, "SCHEMA_PATH_PREFIX": prefix.rstrip("/")}
    patterns = [path(prefix.lstrip("/"), include("django_tasks_durable.api.urls"))]
    generator: Any = SchemaGenerator
    with patched_settings(told):
        return generator(patterns=patterns).get_schema(request=request, public=True)
