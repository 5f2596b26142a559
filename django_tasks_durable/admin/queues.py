"""The queues in the admin: how much is in each, what holds it back, and the switch that pauses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.models import Queue
from django_tasks_durable.snapshots import charts, policy, queues
from django_tasks_durable.snapshots.queues import QueueSnapshot
from django_tasks_durable.snapshots.text import duration, plain
from django_tasks_durable.store import queues as acts

from . import look, places
from .forms import LimitForm
from .navigation import Navigated
from .patience import patiently

SLOW_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """One queue, ready for the table."""

    name: str
    queue: QueueSnapshot
    age: str
    mood: str
    rate: str
    paused_since: SafeString
    paused_by: str
    tasks_url: str
    limits: str
    limit_url: str
    act_url: str
    act_label: str


def queue_views(
    found: Sequence[QueueSnapshot], rates: Mapping[str, float], *, to: Callable[..., str], may_change: bool
) -> list[QueueView]:
    """Return queues as the table shows them, with the switch for those who may use it."""
    return [
        QueueView(
            name=plain(queue.queue_name),
            queue=queue,
            age=duration(queue.oldest_due_seconds),
            mood="bad" if (queue.oldest_due_seconds or 0) > SLOW_SECONDS and not queue.is_paused else "",
            rate=f"{rates.get(queue.queue_name, 0.0):.1f}",
            paused_since=look.moment(queue.paused_at, form="SHORT_DATETIME_FORMAT"),
            paused_by=plain(queue.paused_by),
            tasks_url=f"{to('taskrun_changelist')}?{urlencode({'queue_name': queue.queue_name})}",
            limits=_limits(queue),
            limit_url=f"{to('queue_limit')}?{_named(queue)}" if may_change else "",
            act_url=f"{to('queue_unpause' if queue.is_paused else 'queue_pause')}?{_named(queue)}"
            if may_change
            else "",
            act_label=_("Unpause") if queue.is_paused else _("Pause"),
        )
        for queue in found
    ]


def rates_for(user: Any) -> dict[str, float]:
    """Return how many runs of each queue end in a minute, for somebody who may see all of them."""
    using = places.database()
    return charts.rates(using=using) if policy.sees_all(user, using) else {}


def _limits(queue: QueueSnapshot) -> str:
    told = [_("%d at a time") % queue.concurrency] if queue.concurrency is not None else []
    return ", ".join([*told, *([plain(queue.rate)] if queue.rate else [])])


def _named(queue: QueueSnapshot) -> str:
    # In the address, where a name may hold anything.
    return urlencode({"name": queue.queue_name})


@admin.register(Queue)
class QueueAdmin(Navigated, admin.ModelAdmin):  # type: ignore[type-arg]
    """Queues: those that hold something, and those that somebody has changed."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A queue is there once something is in it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        """What was changed about a queue is changed back, not deleted."""
        return False

    def get_urls(self) -> list[Any]:
        """Show our own list, and take the switch of a queue; a queue has no page."""
        view = self.admin_site.admin_view
        return [
            path("", view(require_GET(self.shown)), name="durable_tasks_queue_changelist"),
            path("panel/", view(require_GET(self.panel)), name="durable_tasks_queue_panel"),
            path("limit/", view(require_http_methods(["GET", "POST"])(self.limit)), name="durable_tasks_queue_limit"),
            path("pause/", view(require_POST(self.pause)), name="durable_tasks_queue_pause"),
            path("unpause/", view(require_POST(self.unpause)), name="durable_tasks_queue_unpause"),
            *super().get_urls(),
        ]

    @patiently
    def shown(self, request: HttpRequest) -> HttpResponse:
        """Show all queues."""
        context = self._context(request)
        return self.framed(request, "admin/durable_tasks/queues.html", "queue_changelist", _("Queues"), **context)

    def panel(self, request: HttpRequest) -> HttpResponse:
        """Render what changes, for a script that looks again."""
        return self.part(request, "admin/durable_tasks/queue_table.html", **self._context(request))

    def pause(self, request: HttpRequest) -> HttpResponse:
        """Let workers take nothing more of a queue."""
        return self._switch(
            request, acts.pause, _("The queue %s is paused; what runs there goes on to its end."), "Paused the queue."
        )

    def unpause(self, request: HttpRequest) -> HttpResponse:
        """Let workers take runs of a queue again."""
        return self._switch(request, acts.unpause, _("The queue %s goes on."), "Unpaused the queue.")

    def limit(self, request: HttpRequest) -> HttpResponse:
        """Ask how a queue is to be limited, and let it be so from the next claim on."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        name, using = request.GET.get("name", ""), places.database()
        found = queues.queue(name, using=using)
        form = LimitForm(
            request.POST if request.method == "POST" else None,
            initial={"concurrency": found.concurrency, "rate": found.rate},
        )
        if form.is_bound and form.is_valid():
            try:
                form.write(name, using=using, by=request.user.get_username())
            except DurableError as error:
                form.add_error(None, plain(error))
            else:
                messages.success(request, _("The limits of the queue %s are changed.") % plain(name))
                self.log_change(request, Queue(name=plain(name)), "Changed the limits of the queue.")
                return HttpResponseRedirect(self.to("queue_changelist"))
        title = _("Limits of the queue %s") % plain(name)
        context = {"form": form, "back_url": self.to("queue_changelist")}
        return self.framed(request, "admin/durable_tasks/limits.html", "queue_changelist", title, **context)

    def _switch(self, request: HttpRequest, act: Callable[..., None], said: str, logged: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        name = request.GET.get("name", "")
        try:
            act([name], using=places.database(), by=request.user.get_username())
        except DurableError as error:
            messages.warning(request, plain(error))
        else:
            messages.success(request, said % plain(name))
            self.log_change(request, Queue(name=plain(name)), logged)
        return HttpResponseRedirect(self._back(request))

    def _back(self, request: HttpRequest) -> str:
        """Return the address of the page that the switch was on: the overview, a task's, or the list of queues."""
        back = request.POST.get("back", "")
        if not request.user.has_perm(policy.VIEW):
            back = ""
        if back == "overview":
            return self.to("taskrun_overview")
        try:
            return self.to("taskrun_change", UUID(back))
        except ValueError:
            return self.to("queue_changelist")

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        narrow = partial(policy.visible_to, request.user)
        found = queues.queues(using=places.database(), narrow=narrow)
        return {
            "queues": queue_views(
                found, rates_for(request.user), to=self.to, may_change=self.has_change_permission(request)
            ),
            "panel_url": self.to("queue_panel"),
        }
