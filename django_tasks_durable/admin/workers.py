"""The workers in the admin: looked at only."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.models import TaskRun, Worker
from django_tasks_durable.primitives.status import LEASED
from django_tasks_durable.snapshots import house, policy
from django_tasks_durable.snapshots.instants import now
from django_tasks_durable.snapshots.text import duration, plain

from . import look, places
from .navigation import Navigated

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Worker]
else:
    ModelAdmin = admin.ModelAdmin

SHOWN = 5
CONDITIONS = {"alive": _("Alive"), "late": _("Late"), "dead": _("Declared dead"), "stopped": _("Stopped")}


@admin.register(Worker)
class WorkerAdmin(Navigated, ModelAdmin):
    """Processes that claim."""

    list_display = (
        "name",
        "condition",
        "heartbeat",
        "held",
        "running",
        "slots",
        "queue_names",
        "process",
        "started",
        "version",
    )
    fields = readonly_fields = list_display
    list_per_page = 50
    show_full_result_count = False
    change_list_template = "admin/durable_tasks/list.html"
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Workers register themselves."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:
        """Nothing of a worker can be edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:
        """Workers leave by retention."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Return the workers, each with the database's clock and the number of runs that it holds."""
        held = (
            policy.visible_to(request.user, TaskRun.objects.using(places.database()))
            .filter(status__in=LEASED, lease_worker=OuterRef("pk"))
            .order_by()
            .values("lease_worker")
            .annotate(number=Count("pk"))
            .values("number")
        )
        number: Any = Coalesce(Subquery(held, output_field=IntegerField()), 0)
        return Worker.objects.using(places.database()).annotate(read_at=now(), held_now=number)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, with what each worker holds."""
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            self._load(request, response.context_data["cl"].result_list)
        return response

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Worker | None:
        """Return the worker, with what it holds."""
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            self._load(request, [found])
        return found

    def _load(self, request: HttpRequest, rows: Iterable[Any]) -> None:
        narrow = partial(policy.visible_to, request.user)
        found = house.held_by([row.id for row in rows], using=places.database(), narrow=narrow)
        for row in rows:
            row.held_runs = found[row.id]

    @admin.display(description=_("runs"))
    def running(self, obj: Any) -> SafeString:
        """The tasks that it holds, with the way to each."""
        shown = format_html_join(
            ", ",
            '<a href="{}"><bdi>{}</bdi></a>',
            ((self.to("taskrun_change", run.id), plain(run.name)) for run in obj.held_runs[:SHOWN]),
        )
        more = len(obj.held_runs) - SHOWN
        return format_html("{}{}", shown or look.NOTHING, f" +{more}" if more > 0 else "")

    @admin.display(description=_("worker"), ordering="id")
    def name(self, obj: Worker) -> SafeString:
        """The worker's name."""
        return format_html("<bdi>{}</bdi>", plain(obj.id))

    @admin.display(description=_("condition"))
    def condition(self, obj: Worker) -> SafeString:
        """Whether it is there."""
        condition = _snapshot(obj).condition
        return format_html('<span class="dtd-badge" data-state="worker-{}">{}</span>', condition, CONDITIONS[condition])

    @admin.display(description=_("heartbeat"), ordering="heartbeat_at")
    def heartbeat(self, obj: Worker) -> str:
        """How long ago its last heartbeat was."""
        return str(_("%s ago")) % duration(_snapshot(obj).heartbeat_age_seconds)

    @admin.display(description=_("holds"))
    def held(self, obj: Worker) -> int:
        """How many runs it holds."""
        return _snapshot(obj).held

    @admin.display(description=_("slots"), ordering="concurrency")
    def slots(self, obj: Worker) -> int:
        """How many runs it may run at once."""
        return obj.concurrency

    @admin.display(description=_("queues"))
    def queue_names(self, obj: Worker) -> str:
        """The queues it claims from."""
        return plain(", ".join(_snapshot(obj).queues)) or str(_("all"))

    @admin.display(description=_("process"))
    def process(self, obj: Worker) -> str:
        """Where it runs."""
        return plain(f"{obj.host} {obj.pid}")

    @admin.display(description=_("started"), ordering="started_at")
    def started(self, obj: Worker) -> SafeString:
        """When it started."""
        return look.moment(obj.started_at, form="SHORT_DATETIME_FORMAT")

    @admin.display(description=_("version"))
    def version(self, obj: Worker) -> str:
        """The version of this package that it runs."""
        return plain(obj.package_version)


def _snapshot(obj: Worker) -> house.WorkerSnapshot:
    return house.worker(obj, held=obj.held_now)  # type: ignore[attr-defined]  # annotated by get_queryset()
