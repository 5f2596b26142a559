"""The overview: how the house stands, what it has done lately, what failed, and where work piles up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import charts as history
from django_tasks_durable.snapshots import house, policy, queues
from django_tasks_durable.snapshots.charts import Window
from django_tasks_durable.snapshots.text import duration, plain

from . import charts, places
from .navigation import Navigated
from .patience import patiently
from .queues import QueueView, queue_views, rates_for

SLOW_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One figure with its name, the way to what it counts, and whether it is bad."""

    id: str
    label: str
    figure: str
    url: str
    mood: str = ""


@dataclass(frozen=True, kw_only=True)
class Failing:
    """What failed, by task or by exception: for each window how often, with the way to the list."""

    name: str
    full_name: str
    cells: list[tuple[str, int, str]]


class OverviewPage(Navigated):
    """How the whole house stands, on one page."""

    @patiently
    def overview(self, request: HttpRequest) -> HttpResponse:
        """Show the overview."""
        context = self._overview(request)
        return self.framed(request, "admin/durable_tasks/overview.html", "taskrun_overview", _("Overview"), **context)

    def overview_panel(self, request: HttpRequest) -> HttpResponse:
        """Render what changes of the overview, for a script that looks again."""
        return self.part(request, "admin/durable_tasks/overview_panel.html", **self._overview(request))

    def _overview(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        using, narrow = places.database(), partial(policy.visible_to, request.user)
        stands = house.overview(using=using, narrow=narrow)
        # The counts of the past know no single run.
        past = self._past(using) if policy.sees_all(request.user, using) else {}
        return {
            **past,
            "tiles": self._tiles(stands),
            "queues": self._queues(request, narrow),
            "panel_url": self.to("taskrun_overview_panel"),
        }

    def _past(self, using: str) -> dict[str, Any]:
        hour = history.chart(Window.HOUR, using=using)
        failed = {window: history.failures(window, using=using) for window in Window}
        return {
            "throughput": charts.throughput(hour),
            "latency": charts.latency(hour),
            "hour": hour,
            "per_minute": f"{hour.per_minute:.1f}",
            "windows": [window.slug for window in Window],
            "by_task": self._failing({window: tasks for window, (tasks, _rest) in failed.items()}, "task_path"),
            "by_exception": self._failing({window: rest for window, (_tasks, rest) in failed.items()}, "exception"),
        }

    def _tiles(self, stands: house.Overview) -> list[Tile]:
        oldest, alive = stands.oldest_ready_seconds, stands.workers_alive
        tasks, counts = self.to("taskrun_changelist"), stands.counts
        failed = counts[State.FAILED]
        return [
            Tile(id="running", label=_("Running"), figure=str(counts[State.RUNNING]), url=f"{tasks}?state=running"),
            Tile(id="queued", label=_("Queued"), figure=str(counts[State.QUEUED]), url=f"{tasks}?state=queued"),
            Tile(
                id="waiting", label=_("Waiting for a person"), figure=str(stands.waits_pending),
                url=self.to("taskrun_inbox"), mood="note" if stands.waits_pending.value else "",
            ),
            Tile(
                id="failed", label=_("Failed"), figure=str(failed), url=f"{tasks}?state=failed",
                mood="bad" if failed.value else "",
            ),
            Tile(
                id="oldest", label=_("Oldest due task"), figure=duration(oldest) or _("none"),
                url=f"{tasks}?state=queued", mood="bad" if oldest and oldest > SLOW_SECONDS else "",
            ),
            Tile(
                id="workers", label=_("Workers alive"), figure=str(alive), url=self.to("worker_changelist"),
                mood="" if alive else "bad",
            ),
        ]  # fmt: skip

    def _failing(self, numbers: Mapping[Window, Mapping[str, int]], parameter: str) -> list[Failing]:
        # The widest window is the hour's grain, so that the last hour may be known to the finer one only.
        names = dict.fromkeys(name for window in reversed(Window) for name in numbers[window])
        return [
            Failing(
                name=plain(name.rpartition(".")[2] or name),
                full_name=plain(name),
                cells=[
                    (window.slug, numbers[window].get(name, 0), self._failed_since(window, **{parameter: name}))
                    for window in Window
                ],
            )
            for name in names
        ]

    def _failed_since(self, window: Window, **what: str) -> str:
        return f"{self.to('taskrun_changelist')}?{urlencode({'state': 'failed', 'ended': window.slug, **what})}"

    def _queues(self, request: HttpRequest, narrow: Any) -> list[QueueView]:
        found = queues.queues(using=places.database(), narrow=narrow)
        may_change = request.user.has_perm(policy.CHANGE_QUEUES)
        return queue_views(found, rates_for(request.user), to=self.to, may_change=may_change)
