"""Whether all is well: for probes that know nobody's password, for those on duty, and for a monitoring system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.snapshots import charts, health, policy, read
from django_tasks_durable.snapshots.charts import Window
from django_tasks_durable.snapshots.metrics import Metric, metrics
from django_tasks_durable.snapshots.text import plain
from django_tasks_durable.snapshots.wire import WIRE_VERSION

from . import house_shapes, parameters
from .base import TasksView
from .schema import documented
from .wire import Json, Text

PREFIX = "durable_tasks_"
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class LivenessView(TasksView):
    """Whether this process answers. Anybody may ask, and learns nothing else."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Ask nobody who they are."""
        return []

    def get_permissions(self) -> list[Any]:
        """Ask for nothing."""
        return []

    def get_throttles(self) -> list[BaseThrottle]:
        """Let a probe ask as often as it likes."""
        return []

    @documented("Tell whether this process answers.", house_shapes.Health, query=parameters.NothingAsked)
    def get(self, request: Request) -> Response:
        """Answer."""
        return Response({"v": WIRE_VERSION, "status": "ok"})


class ReadinessView(LivenessView):
    """Whether this process reaches the database and finds its tables. Anybody may ask, and learns nothing else."""

    @documented("Tell whether this process reaches its database.", house_shapes.Health, query=parameters.NothingAsked)
    def get(self, request: Request) -> Response:
        """Answer, with 503 when it does not."""
        status = "ok" if health.is_reachable(using=self.using) else "unavailable"
        return Response({"v": WIRE_VERSION, "status": status}, status=200 if status == "ok" else 503)


class _OfAllTasks(TasksView):
    """What is counted of all tasks, for those who may see all."""

    looking = policy.VIEW_WORKERS

    def check_permissions(self, request: Request) -> None:
        """Refuse those who may see some tasks only."""
        super().check_permissions(request)
        if not policy.sees_all(request.user, self.using):
            raise PermissionDenied("This counts all tasks, and you may not see all.")


class FindingsView(_OfAllTasks):
    """What is wrong, for somebody on duty."""

    @documented("Tell what keeps work from being done, the worst first.", house_shapes.Findings)
    def get(self, request: Request) -> Response:
        """Answer with the findings."""
        self.given(parameters.NothingAsked, request.query_params)
        found = health.diagnose(using=self.using, known=list(registered()))
        return Response({"v": WIRE_VERSION, "results": [each.as_dict() for each in found]})


class ChartView(_OfAllTasks):
    """What happened lately."""

    @documented(
        "Read what tasks did within an hour, a day or a week.", house_shapes.Chart, query=parameters.WindowQuery
    )
    def get(self, request: Request) -> Response:
        """Answer with the points."""
        asked = self.given(parameters.WindowQuery, request.query_params)
        window = Window.named(asked.pop("window"))
        return Response(charts.chart(window, using=self.using, **asked).as_dict())


class MetricsView(TasksView):
    """Figures, as Prometheus reads them."""

    looking = policy.VIEW_WORKERS
    renderer_classes = [Text, Json]

    @documented("Read figures in Prometheus' format, of the tasks that you may see.", str)
    def get(self, request: Request) -> Response:
        """Answer with lines."""
        self.given(parameters.NothingAsked, request.query_params)
        narrow = read.everything if policy.sees_all(request.user, self.using) else self.narrow
        lines = [line for metric in metrics(using=self.using, narrow=narrow) for line in _lines(metric)]
        return Response("\n".join([*lines, ""]), content_type="text/plain; version=0.0.4; charset=utf-8")


def _lines(metric: Metric) -> list[str]:
    name = f"{PREFIX}{metric.name}"
    return [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge"] + [
        f"{name}{_labels(labels)} {value:g}" for labels, value in metric.samples
    ]


def _labels(labels: Mapping[str, str]) -> str:
    told = ",".join(f'{key}="{plain(value).translate(_ESCAPED)}"' for key, value in labels.items())
    return f"{{{told}}}" if told else ""
