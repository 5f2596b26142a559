"""The house around the tasks: queues, workers and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from django_tasks_durable.exceptions import ScheduleNotFound
from django_tasks_durable.snapshots import house, policy
from django_tasks_durable.snapshots import queues as queue_snapshots
from django_tasks_durable.snapshots import schedules as schedule_snapshots
from django_tasks_durable.snapshots.wire import WIRE_VERSION
from django_tasks_durable.store import queues, schedules

from . import bodies, house_shapes, parameters
from .base import TasksView
from .schema import documented


class WorkersView(TasksView):
    """Who works."""

    looking = policy.VIEW_WORKERS

    @documented("List workers, the newest first.", house_shapes.Workers, query=parameters.NothingAsked)
    def get(self, request: Request) -> Response:
        """Answer with the workers; what they hold is counted of what you may see."""
        self.given(parameters.NothingAsked, request.query_params)
        found = house.workers(using=self.using, narrow=self.narrow)
        return Response({"v": WIRE_VERSION, "results": [each.as_dict() for each in found]})


class QueuesView(TasksView):
    """What is open."""

    looking = policy.VIEW_QUEUES

    @documented("List queues with what is open in each.", house_shapes.Queues, query=parameters.NothingAsked)
    def get(self, request: Request) -> Response:
        """Answer with the queues, counting what you may see."""
        self.given(parameters.NothingAsked, request.query_params)
        found = queue_snapshots.queues(using=self.using, narrow=self.narrow)
        return Response({"v": WIRE_VERSION, "results": [each.as_dict() for each in found]})


class _ChangeOfQueue(TasksView):
    """Letting a queue rest, or go on."""

    looking = policy.VIEW_QUEUES
    acting = policy.CHANGE_QUEUES
    change: ClassVar[Callable[..., None]]
    logged: ClassVar[str]

    def _changed(self, name: str) -> Response:
        self.given(bodies.NothingSaid)
        type(self).change([name], using=self.using, by=self.by)
        self.log("queue", name, name, type(self).logged)
        found = queue_snapshots.queue(name, using=self.using, narrow=self.narrow)
        return Response(found.as_dict())


class PauseQueueView(_ChangeOfQueue):
    """Letting a queue rest."""

    change = staticmethod(queues.pause)
    logged = "Paused the queue."

    @documented(
        "Let workers take nothing more of a queue.", house_shapes.Queue, body=bodies.NothingSaid, refusals=(404,)
    )
    def post(self, request: Request, name: str) -> Response:
        """Answer with the queue."""
        return self._changed(name)


class UnpauseQueueView(_ChangeOfQueue):
    """Letting a queue go on."""

    change = staticmethod(queues.unpause)
    logged = "Unpaused the queue."

    @documented("Let workers take runs of a queue again.", house_shapes.Queue, body=bodies.NothingSaid, refusals=(404,))
    def post(self, request: Request, name: str) -> Response:
        """Answer with the queue."""
        return self._changed(name)


class LimitsView(TasksView):
    """How much of a queue runs at a time, and how often it begins."""

    looking = policy.VIEW_QUEUES
    acting = policy.CHANGE_QUEUES

    @documented(
        "Limit a queue, whatever the settings say; null is no limit.",
        house_shapes.Queue,
        body=bodies.Limits,
        refusals=(404,),
    )
    def post(self, request: Request, name: str) -> Response:
        """Answer with the queue."""
        limits = self.given(bodies.Limits)
        queues.limit(name, **limits, using=self.using, by=self.by)
        told = ", ".join(f"{limit}: {'none' if value is None else value}" for limit, value in sorted(limits.items()))
        self.log("queue", name, name, f"Changed the limits of the queue ({told}).")
        return Response(queue_snapshots.queue(name, using=self.using, narrow=self.narrow).as_dict())

    @documented("Let the settings alone say what limits a queue.", house_shapes.Queue, refusals=(404,))
    def delete(self, request: Request, name: str) -> Response:
        """Answer with the queue."""
        queues.unlimit(name, using=self.using, by=self.by)
        self.log("queue", name, name, "Gave the limits of the queue back to the settings.")
        return Response(queue_snapshots.queue(name, using=self.using, narrow=self.narrow).as_dict())


class SchedulesView(TasksView):
    """What comes by itself."""

    looking = policy.VIEW_SCHEDULES

    @documented("List schedules by name.", house_shapes.Schedules, query=parameters.NothingAsked)
    def get(self, request: Request) -> Response:
        """Answer with the schedules; of their last runs, those that you may see."""
        self.given(parameters.NothingAsked, request.query_params)
        queryset = schedule_snapshots.schedules(using=self.using)
        found = schedule_snapshots.many(queryset, using=self.using, narrow=self.narrow)
        return Response({"v": WIRE_VERSION, "results": [each.as_dict(show=self.veil) for each in found]})


class _ChangeOfSchedule(TasksView):
    """Letting a schedule rest, go on, or run."""

    looking = policy.VIEW_SCHEDULES
    acting = policy.RUN_SCHEDULES

    def _told(self, name: str, logged: str) -> dict[str, Any]:
        queryset = schedule_snapshots.schedules(using=self.using).filter(name=name)
        found = schedule_snapshots.many(queryset, using=self.using, narrow=self.narrow)
        if not found:
            raise ScheduleNotFound(name)
        self.log("schedule", str(found[0].row.pk), name, logged)
        return found[0].as_dict(show=self.veil)


class PauseScheduleView(_ChangeOfSchedule):
    """Letting a schedule rest."""

    @documented("Let a schedule tick no more.", house_shapes.Schedule, body=bodies.NothingSaid, refusals=(404,))
    def post(self, request: Request, name: str) -> Response:
        """Answer with the schedule."""
        self.given(bodies.NothingSaid)
        schedules.pause(name, using=self.using, by=self.by)
        return Response(self._told(name, "Paused the schedule."))


class UnpauseScheduleView(_ChangeOfSchedule):
    """Letting a schedule go on."""

    @documented("Let a schedule tick again.", house_shapes.Schedule, body=bodies.NothingSaid, refusals=(404, 409))
    def post(self, request: Request, name: str) -> Response:
        """Answer with the schedule."""
        self.given(bodies.NothingSaid)
        schedules.unpause(name, using=self.using, by=self.by)
        return Response(self._told(name, "Unpaused the schedule."))


class RunScheduleView(_ChangeOfSchedule):
    """Running what a schedule runs."""

    @documented(
        "Enqueue a run of a schedule at once, beside its ticks.",
        house_shapes.Enqueued,
        status=202,
        body=bodies.NothingSaid,
        refusals=(404, 409),
    )
    def post(self, request: Request, name: str) -> Response:
        """Answer with the id of the run."""
        self.given(bodies.NothingSaid)
        run_id = schedules.run_now(name, using=self.using, by=self.by)
        self._told(name, "Ran the schedule.")
        location = self.address("detail", run_id=str(run_id))
        return Response({"v": WIRE_VERSION, "id": str(run_id)}, status=202, headers={"Location": location})
