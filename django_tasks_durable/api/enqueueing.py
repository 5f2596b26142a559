"""Enqueueing tasks that are exposed."""

from __future__ import annotations

import inspect
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from django_tasks_durable.backend import exposure
from django_tasks_durable.exceptions import DuplicateTask, RunNotFound
from django_tasks_durable.primitives.keys import Disposition
from django_tasks_durable.snapshots import policy, read
from django_tasks_durable.snapshots.wire import WIRE_VERSION

from . import bodies, parameters, shapes
from .base import TasksView
from .schema import documented

IDEMPOTENCY_KEY = "Idempotency-Key"


class EnqueueView(TasksView):
    """New tasks."""

    acting = policy.ENQUEUE

    @documented(
        "Enqueue an exposed task.",
        shapes.Accepted,
        status=(202, 200),
        body=bodies.Call,
        headers=(IDEMPOTENCY_KEY,),
        refusals=(409,),
    )
    def post(self, request: Request) -> Response:
        """Answer with the new task, or with the one that the key stands for."""
        said = self.given(bodies.Call)
        key = self.given(bodies.IdempotencyKey, {"idempotency_key": request.headers.get(IDEMPOTENCY_KEY)})
        result = exposure.enqueue(
            said["task"], said["args"], said["kwargs"], user=request.user, run_after=said["run_after"], **key
        )
        try:
            run = read.one(result.run_id, using=result.using, narrow=self.narrow)
        except RunNotFound:
            # A key that the project gave it is held by a run that is not theirs to see.
            raise DuplicateTask(said["task"], result.run_id) from None
        body = run.as_dict(show=self.veil) | {"disposition": result.disposition.value}
        status = 200 if result.disposition is Disposition.REUSED else 202
        return Response(body, status=status, headers={"Location": self.address("detail", run_id=str(run.id))})


class ExposedView(TasksView):
    """What you may enqueue."""

    looking = policy.ENQUEUE

    @documented("List the tasks that you may enqueue.", shapes.Exposures, query=parameters.NothingAsked)
    def get(self, request: Request) -> Response:
        """Answer with their paths and what they take."""
        self.given(parameters.NothingAsked, request.query_params)
        found = [_told(path, task) for path, task in exposure.exposed(request.user)]
        return Response({"v": WIRE_VERSION, "results": found})


def _told(path: str, task: Any) -> dict[str, Any]:
    taken = list(inspect.signature(task.func).parameters.values())[1 if task.takes_context else 0 :]
    return {
        "task": path,
        "queue_name": task.queue_name,
        "signature": str(inspect.Signature(taken)),
        "doc": inspect.getdoc(task.func) or "",
    }
