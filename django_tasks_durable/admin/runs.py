"""The tasks in the admin: the list, the page of one, and what can be done to them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import TaskRun
from django_tasks_durable.snapshots import house, policy, read
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot, RunSummary
from django_tasks_durable.snapshots.text import plain

from . import acts, look, places, strip
from . import page as pages
from .answering import Bound, filled_form
from .bulk import perform_all
from .columns import RunColumns, harmless
from .filters import QueueFilter, StateFilter, TaskFilter
from .forms import CancelForm
from .pagination import CappedPaginator

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[TaskRun]
else:
    ModelAdmin = admin.ModelAdmin

TEMPLATES = "admin/durable_tasks/taskrun"
MOST_ROWS_REFRESHED = 100


@admin.register(TaskRun)
class TaskRunAdmin(RunColumns, ModelAdmin):
    """Tasks: looked at and acted upon, never edited."""

    list_display = ("state", "task", "progress", "attempt", "queue", "lasted", "enqueued")
    list_display_links = ("task",)
    list_filter = (StateFilter, QueueFilter, TaskFilter)
    list_per_page = 50
    list_max_show_all = 0
    search_fields = ("id",)
    search_help_text = _("An id or the end of one, or the beginning of a task's path.")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    actions = ("cancel_tasks", "retry_tasks", "run_tasks_now")

    @property
    def media(self) -> forms.Media:
        """The style and the script of our pages; nothing of it is inline."""
        script = forms.Script("django_tasks_durable/live.js", type="module")
        return super().media + forms.Media(css={"all": ["django_tasks_durable/admin.css"]}, js=[script])  # type: ignore[list-item]

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

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether this user may cancel tasks."""
        return _may(request, Act.CANCEL)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether this user may retry tasks."""
        return _may(request, Act.RETRY)

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
        return (queryset.filter(pk__in=ids[:100]) if ids else queryset.filter(task_path__startswith=term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list below a strip of states with their counts."""
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            overview = house.overview(using=places.database(), narrow=_visible(request))
            response.context_data |= {
                "tabs": strip.tabs(overview, response.context_data["cl"], chosen=request.GET.get("state", "")),
                "tiles": strip.tiles(overview),
                "rows_url": reverse(self._name("rows"), current_app=self.admin_site.name),
            }
        return response

    def action_checkbox(self, obj: TaskRun) -> SafeString:
        """Return Django's own, which names the task to screen readers."""
        return super().action_checkbox(harmless(obj))

    # --- the page

    def get_urls(self) -> list[Any]:
        """Add the page's own addresses before Django's, whose ``<path:object_id>`` would swallow them."""
        view = self.admin_site.admin_view
        return [
            path("rows/", view(require_GET(self.rows)), name=self._name("rows", prefix="")),
            path("<uuid:pk>/panel/", view(require_GET(self.panel)), name=self._name("panel", prefix="")),
            path("<uuid:pk>/act/<slug:slug>/", view(require_POST(self.act)), name=self._name("act", prefix="")),
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
            run = self._run(request, object_id)
        except RunNotFound:
            return self._gone(request, object_id)
        return self._page(request, run)

    def panel(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Render the part of a task's page that changes, for a script that looks again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            run = self._run(request, pk)
        except RunNotFound as error:
            raise Http404(str(error)) from None
        response = render(request, f"{TEMPLATES}/panel.html", self._panel(request, run))
        response["Cache-Control"] = "no-store"
        return response

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
        response = render(request, f"{TEMPLATES}/rows.html", {"cells": cells})
        response["Cache-Control"] = "no-store"
        return response

    def act(self, request: HttpRequest, pk: UUID, slug: str) -> HttpResponse:
        """Do what a button of the page asks for, and say what became of it."""
        act = next((known for known in Act if known.slug == slug), None)
        if act is None:
            raise Http404
        if not self.has_view_permission(request) or not _may(request, act):
            raise PermissionDenied
        try:
            run = self._run(request, pk)
        except RunNotFound as error:
            raise Http404(str(error)) from None
        details: dict[str, Any] = {}
        if act is Act.RESUME:
            bound = filled_form(request, run)
            if not bound.form.is_valid():
                return self._page(request, run, bound=bound)
            details = {"token": bound.token, "value": bound.value}
        elif act is Act.CANCEL:
            reason = CancelForm(request.POST)
            details = {"reason": reason.cleaned_data["reason"] if reason.is_valid() else ""}
        outcome = self._perform(request, act, run, **details)
        if outcome.is_done:
            messages.success(request, acts.DONE[act])
        else:
            messages.warning(request, plain(outcome.refusal))
        return HttpResponseRedirect(self._address(run.id))

    def _run(self, request: HttpRequest, run_id: UUID | str) -> RunSnapshot:
        return read.one(run_id, using=places.database(), narrow=_visible(request))

    def _address(self, run_id: UUID) -> str:
        return reverse(self._name("change"), args=[run_id], current_app=self.admin_site.name)

    def _page(self, request: HttpRequest, run: RunSnapshot, *, bound: Bound | None = None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": f"{plain(run.name)} {run.short_id}",
            "title": plain(run.name),
            "media": self.media,
            "has_view_permission": True,
            "change": True,
            "is_popup": False,
            **self._panel(request, run, bound=bound),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"{TEMPLATES}/page.html", context)

    def _panel(self, request: HttpRequest, run: RunSnapshot, *, bound: Bound | None = None) -> dict[str, Any]:
        before = request.GET.get("before", "")
        page = pages.build(
            run,
            using=places.database(),
            acts=frozenset(act for act in run.acts if _may(request, act)),
            veil=policy.veil(request.user, keys=places.redacted_keys()),
            before=int(before) if before.isdecimal() and len(before) < 10 else None,
            may_answer=partial(policy.may_answer, request.user),
            bound=bound,
            narrow=_visible(request),
            address=self._address,
        )
        address = partial(reverse, current_app=self.admin_site.name)
        return {
            "page": page,
            "run": run,
            "act_urls": {act.slug: address(self._name("act"), args=[run.id, act.slug]) for act in Act},
            "panel_url": address(self._name("panel"), args=[run.id]),
            "page_url": self._address(run.id),
            "history_url": address(self._name("history"), args=[run.id]),
        }

    # --- acts

    def _perform(self, request: HttpRequest, act: Act, run: RunSummary, **details: Any) -> acts.Outcome:
        by = request.user.get_username()
        outcome = acts.perform(act, run.id, using=places.database(), by=by, **details)
        if outcome.is_done:
            self.log_change(request, harmless(run), acts.LOGGED[act])
        return outcome

    @admin.action(description=_("Cancel selected tasks"), permissions=["cancel"])
    def cancel_tasks(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        """Cancel each of them."""
        perform_all(request, Act.CANCEL, queryset, partial(self._perform, request, Act.CANCEL))

    @admin.action(description=_("Retry selected tasks"), permissions=["retry"])
    def retry_tasks(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        """Retry each of them."""
        perform_all(request, Act.RETRY, queryset, partial(self._perform, request, Act.RETRY))

    @admin.action(description=_("Run selected tasks now"), permissions=["retry"])
    def run_tasks_now(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        """Make each of them due now."""
        perform_all(request, Act.RUN_NOW, queryset, partial(self._perform, request, Act.RUN_NOW))


def _may(request: HttpRequest, act: Act) -> bool:
    return request.user.has_perm(acts.PERMISSIONS[act])


def _visible(request: HttpRequest) -> read.Narrow:
    return partial(policy.visible_to, request.user)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
