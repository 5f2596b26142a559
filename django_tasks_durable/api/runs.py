"""Looking at tasks: many, one, and the parts of one."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from django_tasks_durable.snapshots import bootstrap, read, waits
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.wire import WIRE_VERSION

from . import enqueueing, parameters, shapes
from .asked import fields_of
from .base import TasksView
from .pagination import leaf
from .schema import documented
from .tags import unless_known


class ListView(enqueueing.EnqueueView):
    """All tasks that you may see, and new ones."""

    @documented("List tasks, newest first.", shapes.Page, query=parameters.ListQuery)
    def get(self, request: Request) -> Response:
        """Answer with a page."""
        asked = self.given(parameters.ListQuery, request.query_params)
        queryset = parameters.RunQuery.query(asked).of(self.narrow(read.runs(using=self.using)))
        if text := asked.get("search"):
            found = read.find(text, using=self.using, narrow=self.narrow)
            queryset = queryset.filter(pk__in=found[: parameters.MOST_IDS])
        page = leaf(queryset, asked.get("cursor", ""), asked["limit"])
        return Response(
            {
                "v": WIRE_VERSION,
                "results": [run.as_dict(show=self.veil) for run in page.runs],
                "next": self._beside(page.next),
                "previous": self._beside(page.previous),
            }
        )

    def _beside(self, cursor: str) -> str | None:
        if not cursor:
            return None
        asked = self.request.query_params.copy()
        asked["cursor"] = cursor
        return f"{self.address('list')}?{asked.urlencode()}"


class AggregateView(TasksView):
    """How many there are."""

    @documented("Count tasks by state, status and path.", shapes.Counts, query=parameters.RunQuery)
    def get(self, request: Request) -> Response:
        """Answer with the counts."""
        asked = self.given(parameters.RunQuery, request.query_params)
        counts = bootstrap.aggregate(parameters.RunQuery.query(asked), using=self.using, narrow=self.narrow)
        return Response(counts.as_dict())


class BootstrapView(TasksView):
    """What a tracker begins with, and polls."""

    @documented(
        "Read tasks with their last lines and, if asked, the counts.",
        shapes.Beginning,
        query=parameters.BootstrapQuery,
    )
    def get(self, request: Request) -> Response:
        """Answer with the newest tasks that are meant."""
        asked = self.given(parameters.BootstrapQuery, request.query_params)
        found = bootstrap.bootstrap(
            parameters.RunQuery.query(asked),
            using=self.using,
            limit=asked["limit"],
            steps=asked["steps"],
            after=dict(asked.get("after", ())),
            counts=asked["aggregate"],
            narrow=self.narrow,
        )
        return Response(found.as_dict(show=self.veil))


class InboxView(TasksView):
    """What people are asked."""

    @documented("List pending questions, the oldest first.", shapes.Inbox, query=parameters.LimitQuery)
    def get(self, request: Request) -> Response:
        """Answer with the questions."""
        limit = self.given(parameters.LimitQuery, request.query_params)["limit"]
        found = waits.inbox(self.narrow(read.runs(using=self.using)), limit=limit, using=self.using)
        told = [each.as_dict(show=self.veil, ask=self.asking(each.wait)) for each in found]
        return Response({"v": WIRE_VERSION, "results": told})


class DetailView(TasksView):
    """One task."""

    @documented("Read a task, unless you know it as it is.", shapes.WholeTask, refusals=(404,), is_tagged=True)
    def get(self, request: Request, run_id: str) -> Response:
        """Answer with the task, or 304 for a caller who holds it already."""
        self.given(parameters.NothingAsked, request.query_params)
        return unless_known(request, self.shown(run_id))


class StepsView(TasksView):
    """The timeline of a task."""

    @documented("Read lines of the timeline, ascending.", shapes.Lines, query=parameters.LinesQuery, refusals=(404,))
    def get(self, request: Request, run_id: str) -> Response:
        """Answer with lines."""
        asked = self.given(parameters.LinesQuery, request.query_params)
        run = self.run_of(run_id)
        lines = read.timeline(run.id, using=self.using, **asked)
        return Response(
            {
                "v": WIRE_VERSION,
                "first_sequence": run.first_sequence,
                "last_sequence": run.last_sequence,
                "results": [line.as_dict(show=self.veil) for line in lines],
            }
        )


class CheckpointsView(TasksView):
    """What a task remembers."""

    @documented("Read the newest checkpoints.", shapes.Checkpoints, query=parameters.LimitQuery, refusals=(404,))
    def get(self, request: Request, run_id: str) -> Response:
        """Answer with checkpoints."""
        limit = self.given(parameters.LimitQuery, request.query_params)["limit"]
        found = read.checkpoints(self.run_of(run_id).id, limit=limit, using=self.using)
        return Response({"v": WIRE_VERSION, "results": [each.as_dict(show=self.veil) for each in found]})


class WaitsView(TasksView):
    """What a task asks."""

    @documented("Read all questions of a task.", shapes.Questions, refusals=(404,))
    def get(self, request: Request, run_id: str) -> Response:
        """Answer with the questions."""
        self.given(parameters.NothingAsked, request.query_params)
        found = waits.waits(self.run_of(run_id).id, pending=False, using=self.using)
        return Response({"v": WIRE_VERSION, "results": [self._told(each) for each in found]})

    def _told(self, wait: WaitSnapshot) -> dict[str, Any]:
        ask = self.asking(wait)
        fields = fields_of(wait) if ask is not None and wait.is_pending else None
        return wait.as_dict(show=self.veil, ask=ask) | {"form_fields": fields}
