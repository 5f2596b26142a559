"""What can be done to tasks in the admin: to one from its page, to many from the list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import TaskRun
from django_tasks_durable.snapshots import policy
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot, RunSummary
from django_tasks_durable.snapshots.text import plain

from . import acts, places
from .answering import Bound, filled_form
from .bulk import MOST_AT_ONCE, not_now, perform_all
from .columns import harmless
from .confirming import CONFIRMED, FORMS, chosen_again, form_for, question_about, question_about_many

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[TaskRun]
else:
    ModelAdmin = object


class RunActs(ModelAdmin):
    """Acts on tasks, each with a permission of its own."""

    def show(self, request: HttpRequest, run: RunSnapshot, *, bound: Bound | None = None) -> HttpResponse:
        """Show the page of a task, with a form as it was filled in."""
        raise NotImplementedError

    def run_of(self, request: HttpRequest, run_id: UUID | str) -> RunSnapshot:
        """Return the task if this user may see it. Raise RunNotFound."""
        raise NotImplementedError

    def address_of(self, run_id: UUID) -> str:
        """Return the address of a task's page."""
        raise NotImplementedError

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether this user may cancel tasks."""
        return acts.may(request.user, Act.CANCEL)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether this user may retry tasks."""
        return acts.may(request.user, Act.RETRY)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether this user may make tasks due now."""
        return acts.may(request.user, Act.RUN_NOW)

    def has_copy_permission(self, request: HttpRequest) -> bool:
        """Whether this user may run tasks again as copies."""
        return acts.may(request.user, Act.COPY)

    # --- on one

    def act(self, request: HttpRequest, pk: UUID, slug: str) -> HttpResponse:
        """Do what a button of the page asks for, and say what became of it; ask first where that cannot be undone."""
        act = acts.named(slug)
        if act is None:
            raise Http404
        if request.method == "GET" and act not in acts.CONFIRMED:
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request) or not acts.may(request.user, act):
            raise PermissionDenied
        try:
            run = self.run_of(request, pk)
        except RunNotFound as error:
            raise Http404(str(error)) from None
        if act is Act.RESUME:
            return self._answer(request, run)
        if act in acts.CONFIRMED:
            form = form_for(act, request)
            if request.method == "GET" or not form.is_valid():
                return self._ask(request, act, run, form)
            return self._did(request, act, run, form.cleaned_data)
        return self._did(request, act, run, {})

    def _answer(self, request: HttpRequest, run: RunSnapshot) -> HttpResponse:
        bound = filled_form(request, run)
        if not bound.form.is_valid():
            return self.show(request, run, bound=bound)
        return self._did(request, Act.RESUME, run, {"token": bound.token, "value": bound.value})

    def _ask(self, request: HttpRequest, act: Act, run: RunSnapshot, form: forms.Form) -> HttpResponse:
        if act not in run.acts:
            messages.warning(request, not_now(run))
            return HttpResponseRedirect(self.address_of(run.id))
        veil = policy.veil(request.user, keys=places.redacted_keys())
        question = question_about(act, run, form, veil)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": question.title,
            "name": f"{plain(run.name)} {run.short_id}",
            "question": question,
            "form": form,
            "media": self.media,
            "back_url": self.address_of(run.id),
        }
        return TemplateResponse(request, "admin/durable_tasks/taskrun/confirm.html", context)

    def _did(self, request: HttpRequest, act: Act, run: RunSnapshot, details: dict[str, Any]) -> HttpResponse:
        outcome = self.perform(request, act, run, **details)
        if outcome.is_done:
            messages.success(request, acts.DONE[act])
        else:
            messages.warning(request, plain(outcome.refusal))
        return HttpResponseRedirect(self.address_of(outcome.made or run.id))

    # --- on many

    def perform(self, request: HttpRequest, act: Act, run: RunSummary, **details: Any) -> acts.Outcome:
        """Do one act, and write it to the admin's history."""
        by = request.user.get_username()
        outcome = acts.perform(act, run.id, using=places.database(), by=by, **details)
        if outcome.is_done:
            self.log_change(request, harmless(run), acts.LOGGED[act])
        return outcome

    @admin.action(description=_("Cancel selected tasks"), permissions=["cancel"])
    def cancel_tasks(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> HttpResponse | None:
        """Cancel each of them, once that is confirmed."""
        return self._confirmed(request, Act.CANCEL, queryset)

    @admin.action(description=_("Retry selected tasks"), permissions=["retry"])
    def retry_tasks(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        """Retry each of them."""
        perform_all(request, Act.RETRY, queryset, partial(self.perform, request, Act.RETRY))

    @admin.action(description=_("Run selected tasks now"), permissions=["run"])
    def run_tasks_now(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> None:
        """Make each of them due now."""
        perform_all(request, Act.RUN_NOW, queryset, partial(self.perform, request, Act.RUN_NOW))

    @admin.action(description=_("Run selected tasks again as copies"), permissions=["copy"])
    def copy_tasks(self, request: HttpRequest, queryset: QuerySet[TaskRun]) -> HttpResponse | None:
        """Run a copy of each of them, once that is confirmed."""
        return self._confirmed(request, Act.COPY, queryset)

    def _confirmed(self, request: HttpRequest, act: Act, queryset: QuerySet[TaskRun]) -> HttpResponse | None:
        is_posted = CONFIRMED in request.POST
        form = FORMS[act](request.POST if is_posted else None)
        if is_posted and form.is_valid():
            perform_all(request, act, queryset, partial(self.perform, request, act, **form.cleaned_data))
            return None
        number = min(queryset.order_by()[: MOST_AT_ONCE + 1].count(), MOST_AT_ONCE)
        question = question_about_many(act, number)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": question.title,
            "question": question,
            "form": form,
            "hidden": chosen_again(request),
            "media": self.media,
            "back_url": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/durable_tasks/taskrun/confirm.html", context)
