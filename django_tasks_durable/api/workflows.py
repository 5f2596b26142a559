"""Class workflows from outside: their commands and queries, by name."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from django_tasks_durable.backend import outside
from django_tasks_durable.snapshots import policy
from django_tasks_durable.snapshots.wire import WIRE_VERSION

from . import bodies, house_shapes, parameters
from .base import TasksView
from .schema import documented


class CommandView(TasksView):
    """Changing the state of a workflow."""

    acting = policy.MESSAGE

    @documented(
        "Call a command of a class workflow.", house_shapes.Returned, body=bodies.Arguments, refusals=(404, 409, 422)
    )
    def post(self, request: Request, run_id: str, name: str) -> Response:
        """Answer with what it returns; the state is changed by then."""
        said = self.given(bodies.Arguments)
        run = self.run_of(run_id)
        value = outside.command(run, name, said["args"], said["kwargs"], by=self.by)
        return Response({"v": WIRE_VERSION, "value": self.veil(value)})


class QueryView(TasksView):
    """Asking a workflow."""

    @documented(
        "Call a query of a class workflow.",
        house_shapes.Returned,
        query=parameters.ArgumentsQuery,
        refusals=(404, 409, 422),
    )
    def get(self, request: Request, run_id: str, name: str) -> Response:
        """Answer with what it returns."""
        said = self.given(parameters.ArgumentsQuery, request.query_params)
        run = self.run_of(run_id)
        value = outside.query(run, name, said["args"], said["kwargs"], by=self.by)
        return Response({"v": WIRE_VERSION, "value": self.veil(value)})
