"""The schedules in the admin: those of the code are looked at and paused, those of the database are also edited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.authoring.declarations import misfit
from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.models import Schedule
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.policies import ScheduleSource, TickOutcome
from django_tasks_durable.snapshots import policy
from django_tasks_durable.snapshots import schedules as read
from django_tasks_durable.snapshots.text import plain, pretty
from django_tasks_durable.store import schedules, ticks

from . import charts, look, places
from .navigation import Navigated

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Schedule]
    ModelForm = forms.ModelForm[Schedule]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm

WRITTEN = (
    "name", "task_path", "cron", "interval_seconds", "time_zone", "dst", "args", "kwargs", "queue_name", "priority",
    "missed", "overlap", "jitter_seconds",
)  # fmt: skip
# Arguments as they are stored are for those who may change them; others see them as they see those of a task.
VEILED = {"args": "shown_args", "kwargs": "shown_kwargs"}
TOLD = ("words", "state", "next_tick", "last_tick", "last_run", "written_in")


class ScheduleForm(ModelForm):
    """A schedule as people write it."""

    class Meta:
        model = Schedule
        fields = WRITTEN
        widgets = {name: forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}) for name in VEILED}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task_path" in self.fields:
            known = sorted({*ticks.known_here(places.database()).tasks, *filter(None, [self.instance.task_path])})
            self.fields["task_path"] = forms.ChoiceField(
                label=_("Task"), choices=[("", "---------"), *((path, plain(path)) for path in known)]
            )

    def clean(self) -> dict[str, Any]:
        """Ask whether the task takes the arguments."""
        cleaned = super().clean() or self.cleaned_data
        task = ticks.known_here(places.database()).tasks.get(cleaned.get("task_path", ""))
        if task is not None and not self.errors:
            try:
                given = (cleaned.get(name, getattr(self.instance, name)) for name in VEILED)
                problem = misfit(task, *given)
            except (DurableError, TypeError, ValueError):
                return cleaned  # the model says what is wrong with them
            if problem:
                self.add_error(
                    "args" if "args" in cleaned else "task_path", gettext("The task does not take these: %s") % problem
                )
        return cleaned


@admin.register(Schedule)
class ScheduleAdmin(Navigated, ModelAdmin):
    """When runs are enqueued by themselves."""

    form = ScheduleForm
    list_display = ("name", "words", "state", "lately", "next_tick", "last_run", "last_tick", "task", "written_in")
    list_filter = ("paused", "source")
    list_per_page = 100
    search_fields = ("name", "task_path")
    show_full_result_count = False
    change_list_template = "admin/durable_tasks/list.html"
    actions = ("pause_schedules", "unpause_schedules", "run_schedules_now")

    # --- who may

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether this user may pause, unpause and run schedules."""
        return request.user.has_perm("durable_tasks.run_schedule")

    def has_change_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Whether this user may edit the schedule; one of the code is edited there."""
        return super().has_change_permission(request, obj) and not _is_of_code(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Whether this user may delete the schedule; the code's own would come back."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or not _is_of_code(obj) or obj.vanished_at is not None)

    # --- the pages

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Return the schedules, each with what became of its last tick."""
        return read.schedules(using=places.database())

    def get_fields(self, request: HttpRequest, obj: Schedule | None = None) -> list[Any]:
        """Return what is edited, then what is told; arguments are veiled from those who may not change them."""
        if obj is None:
            return [*WRITTEN]
        if self.has_change_permission(request, obj) and policy.sees_payloads(request.user):
            return [*WRITTEN, *TOLD]
        return [*(VEILED.get(name, name) for name in WRITTEN), *TOLD]

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> list[str]:
        """Return what cannot be edited: the name is the key of the ledger."""
        return [] if obj is None else ["name", *TOLD, *VEILED.values()]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Schedule | None:
        """Return the schedule, with who looks at it."""
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            found.veil = policy.veil(request.user, keys=places.redacted_keys())
        return found

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        """Write the schedule; it ticks from now on."""
        schedules.write(obj, using=places.database())

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, with what became of the last ticks of each."""
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            rows = response.context_data["cl"].result_list
            narrow = partial(policy.visible_to, request.user)
            found = read.recent([row.name for row in rows], using=places.database(), narrow=narrow)
            for row in rows:
                row.recent = found[row.name]
        return response

    # --- the columns

    @admin.display(description=_("last day"))
    def lately(self, obj: Any) -> SafeString:
        """How long the runs of the last ticks took, and what became of them."""
        return charts.ticks(obj.recent) if obj.recent else look.NOTHING

    @admin.display(description=_("ticks"))
    def words(self, obj: Any) -> str:
        """When it ticks."""
        return plain(read.snapshot(obj).words)

    @admin.display(description=_("task"), ordering="task_path")
    def task(self, obj: Any) -> SafeString:
        """The task's short name; the whole path is the title."""
        return format_html('<span title="{}">{}</span>', plain(obj.task_path), plain(obj.task_path.rpartition(".")[2]))

    @admin.display(description=_("state"), ordering="paused")
    def state(self, obj: Any) -> str:
        """Whether it ticks."""
        if obj.paused:
            return gettext("Paused")
        if read.snapshot(obj).is_broken:
            return gettext("Broken")
        return gettext("Vanished from the code") if obj.vanished_at else gettext("On")

    @admin.display(description=_("next tick"), ordering="next_at")
    def next_tick(self, obj: Any) -> SafeString:
        """When it ticks next."""
        return look.moment(None if obj.paused else obj.next_at, form="SHORT_DATETIME_FORMAT")

    @admin.display(description=_("last tick"), ordering="last_at")
    def last_tick(self, obj: Any) -> SafeString:
        """When it ticked last."""
        return look.moment(obj.last_at, form="SHORT_DATETIME_FORMAT")

    @admin.display(description=_("last run"))
    def last_run(self, obj: Any) -> SafeString:
        """What became of the last tick, with a link to its run."""
        if not obj.last_outcome:
            return look.NOTHING
        said = TickOutcome(obj.last_outcome).label
        if obj.last_run_id is None:
            return format_html('<span title="{}">{}</span>', plain(obj.last_reason), said)
        address = reverse(
            "admin:durable_tasks_taskrun_change", args=[obj.last_run_id], current_app=self.admin_site.name
        )
        return format_html('<a href="{}">{}</a>', address, said)

    @admin.display(description=_("written in"), ordering="source")
    def written_in(self, obj: Any) -> str:
        """Where it is written."""
        return str(ScheduleSource(obj.source).label)

    @admin.display(description=_("arguments"))
    def shown_args(self, obj: Any) -> str:
        """The arguments, as this user may see them."""
        return pretty(obj.veil(codec.readable(obj.args)))

    @admin.display(description=_("keyword arguments"))
    def shown_kwargs(self, obj: Any) -> str:
        """The keyword arguments, as this user may see them."""
        return pretty(obj.veil(codec.readable(obj.kwargs)))

    # --- acts

    @admin.action(description=_("Pause selected schedules"), permissions=["run"])
    def pause_schedules(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Let each tick no more."""
        self._each(request, queryset, schedules.pause, gettext("%d paused."), "Paused the schedule.")

    @admin.action(description=_("Unpause selected schedules"), permissions=["run"])
    def unpause_schedules(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Let each go on with its next tick."""
        self._each(request, queryset, schedules.unpause, gettext("%d unpaused."), "Unpaused the schedule.")

    @admin.action(description=_("Run selected schedules now"), permissions=["run"])
    def run_schedules_now(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        """Enqueue a run of each, beside its ticks."""

        self._each(request, queryset, schedules.run_now, gettext("%d enqueued."), "Ran the schedule.")

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Schedule], act: Callable[..., object], said: str, logged: str
    ) -> None:
        done = 0
        for row in queryset:
            try:
                act(row.name, using=places.database(), by=request.user.get_username())
            except DurableError as error:
                messages.warning(request, f"{plain(row.name)}: {plain(error)}")
                continue
            done += 1
            self.log_change(request, row, logged)
        if done:
            messages.success(request, said % done)


def _is_of_code(row: Schedule | None) -> bool:
    return row is not None and row.source == ScheduleSource.CODE
