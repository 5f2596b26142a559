"""The tasks in the admin: the list, the page of one, and what can be done to them."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import TaskRun
from django_tasks_durable.snapshots import house, policy, read
from django_tasks_durable.snapshots.narrowing import LOOKED_AMONG
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.snapshots.text import plain

from . import acts, look, places, strip
from . import page as pages
from .answering import Bound
from .columns import RunColumns
from .filters import (
    ChannelFilter,
    EndedFilter,
    ExceptionFilter,
    QueueFilter,
    StateFilter,
    TaskFilter,
    looks_among_newest,
    unindexed,
)
from .inbox import Inbox
from .navigation import live_api
from .overview import OverviewPage
from .pagination import CappedPaginator
from .patience import patiently

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[TaskRun]
else:
    ModelAdmin = admin.ModelAdmin

TEMPLATES = "admin/durable_tasks/taskrun"
MOST_ROWS_REFRESHED = 100
# What a change form of the admin, or of a theme for it, asks about before it shows its buttons.
PAGE_WITHOUT_A_FORM = {
    "add": False,
    "change": True,
    "is_popup": False,
    "save_as": False,
    "has_view_permission": True,
    "has_add_permission": False,
    "has_change_permission": False,
    "has_delete_permission": False,
    "has_editable_inline_admin_formsets": False,
    "show_close": False,
}


@admin.register(TaskRun)
class TaskRunAdmin(RunColumns, OverviewPage, Inbox, ModelAdmin):
    """Tasks: looked at and acted upon, never edited."""

    list_display = ("state", "task", "progress", "attempt", "queue", "lasted", "enqueued")
    list_display_links = ("task",)
    list_filter = (StateFilter, QueueFilter, TaskFilter, EndedFilter, ExceptionFilter, ChannelFilter)
    list_per_page = 50
    list_max_show_all = 0
    search_fields = ("id",)
    search_help_text = _("An id or the end of one, or the beginning of a task's path.")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    actions = ("cancel_tasks", "retry_tasks", "run_tasks_now", "copy_tasks")

    # --- who may

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tasks are enqueued by code."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: TaskRun | None = None) -> bool:
        """Nothing of a task can be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TaskRun | None = None) -> bool:
        """Tasks leave by retention."""
        return False

    # --- the list

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskRun]:
        """Return the runs that this user may see, without their payloads."""
        return _visible(request)(read.runs(using=places.database())).defer(*read.PAYLOADS)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TaskRun], search_term: str
    ) -> tuple[QuerySet[TaskRun], bool]:
        """Search by id, the end of one, or the beginning of a task's path."""
        term = search_term.strip()
        if not term:
            return queryset, False
        ids = read.find(term, using=places.database(), narrow=_visible(request)) if len(term) >= 4 else []
        return (
            queryset.filter(pk__in=ids[:100])
            if ids
            else unindexed(request, queryset).filter(task_path__startswith=term)
        ), False

    @patiently
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list below a strip of states with their counts."""
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            changelist = response.context_data["cl"]
            changelist.result_list = list(changelist.result_list)  # while there is patience
            overview = house.overview(using=places.database(), narrow=_visible(request))
            response.context_data |= {
                "tabs": strip.tabs(overview, changelist, chosen=request.GET.get("state", "")),
                "tiles": strip.tiles(overview),
                "looks_among": LOOKED_AMONG if looks_among_newest(request) else 0,
                "rows_url": reverse(self._name("rows"), current_app=self.admin_site.name),
            }
        return response

    # --- the page

    def get_urls(self) -> list[Any]:
        """Add the page's own addresses before Django's, whose ``<path:object_id>`` would swallow them."""
        view = self.admin_site.admin_view
        act = require_http_methods(["GET", "POST"])(self.act)
        return [
            path("overview/", view(require_GET(self.overview)), name=self._name("overview", prefix="")),
            path(
                "overview/panel/", view(require_GET(self.overview_panel)), name=self._name("overview_panel", prefix="")
            ),
            path("inbox/", view(require_GET(self.inbox)), name=self._name("inbox", prefix="")),
            path("inbox/<uuid:pk>/", view(require_POST(self.answer)), name=self._name("answer", prefix="")),
            path("rows/", view(require_GET(self.rows)), name=self._name("rows", prefix="")),
            path("<uuid:pk>/panel/", view(require_GET(self.panel)), name=self._name("panel", prefix="")),
            path("<uuid:pk>/act/<slug:slug>/", view(act), name=self._name("act", prefix="")),
            *super().get_urls(),
        ]

    def _gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        redirect: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        return redirect

    def _name(self, view: str, *, prefix: str = "admin:") -> str:
        return f"{prefix}{self.opts.app_label}_{self.opts.model_name}_{view}"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one task. Its code need not be there any more."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            run = self.run_of(request, object_id)
        except RunNotFound:
            return self._gone(request, object_id)
        return self.show(request, run)

    def panel(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Render the part of a task's page that changes, for a script that looks again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            run = self.run_of(request, pk)
        except RunNotFound as error:
            raise Http404(str(error)) from None
        return self.part(request, f"{TEMPLATES}/panel.html", **self._panel(request, run))

    def rows(self, request: HttpRequest) -> HttpResponse:
        """Render what changes of some rows of the list, for a script that looks again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = [wanted for text in request.GET.getlist("id")[:MOST_ROWS_REFRESHED] if (wanted := _uuid(text))]
        found = read.summaries(self.get_queryset(request).filter(pk__in=ids))
        cells = [
            cell
            for run in found
            for cell in (look.badge(run), look.progress(run), look.attempts(run), look.lasted(run))
        ]
        return self.part(request, f"{TEMPLATES}/rows.html", cells=cells)

    def run_of(self, request: HttpRequest, run_id: UUID | str) -> RunSnapshot:
        """Return the task if this user may see it. Raise RunNotFound."""
        return read.one(run_id, using=places.database(), narrow=_visible(request))

    def address_of(self, run_id: UUID) -> str:
        """Return the address of a task's page."""
        return reverse(self._name("change"), args=[run_id], current_app=self.admin_site.name)

    def show(self, request: HttpRequest, run: RunSnapshot, *, bound: Bound | None = None) -> HttpResponse:
        """Show the page of a task, with a form as it was filled in."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": f"{plain(run.name)} {run.short_id}",
            "title": plain(run.name),
            "media": self.media,
            "links": list(self.links(request, "")),
            "live_api": live_api(),
            "live_query": json.dumps({"ids": [str(run.id)]}),
            **PAGE_WITHOUT_A_FORM,
            **self._panel(request, run, bound=bound),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"{TEMPLATES}/page.html", context)

    def _panel(self, request: HttpRequest, run: RunSnapshot, *, bound: Bound | None = None) -> dict[str, Any]:
        before = request.GET.get("before", "")
        page = pages.build(
            run,
            using=places.database(),
            acts=frozenset(act for act in run.acts if acts.may(request.user, act)),
            veil=policy.veil(request.user, keys=places.redacted_keys()),
            before=int(before) if before.isdecimal() and len(before) < 10 else None,
            may_answer=partial(policy.may_answer, request.user),
            bound=bound,
            narrow=_visible(request),
            address=self.address_of,
            unpause_url=f"{self.to('queue_unpause')}?{urlencode({'name': run.queue_name})}"
            if request.user.has_perm(policy.CHANGE_QUEUES)
            else "",
        )
        address = partial(reverse, current_app=self.admin_site.name)
        return {
            "page": page,
            "run": run,
            "channels": [
                (plain(name), f"{self.to('taskrun_changelist')}?{urlencode({'channel': name})}")
                for name in run.own_channels
            ],
            "act_urls": {act.slug: address(self._name("act"), args=[run.id, act.slug]) for act in Act},
            "panel_url": address(self._name("panel"), args=[run.id]),
            "page_url": self.address_of(run.id),
            "history_url": address(self._name("history"), args=[run.id]),
        }


def _visible(request: HttpRequest) -> read.Narrow:
    return partial(policy.visible_to, request.user)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
