"""One enqueued call of a task, from enqueue to its end."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.primitives.ids import new_id
from django_tasks_durable.primitives.status import RunStatus, WakeReason


class TaskRun(models.Model):
    """One enqueued call of a task. In the admin, over REST and on the wire simply "task".

    Payloads are JSON *text*: a JSON column would change numbers and the order of keys, and a replay would see other values
    than the first pass did.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    task_path = models.CharField(_("task"), max_length=255)
    backend = models.CharField(_("backend"), max_length=64, default="default")
    queue_name = models.CharField(_("queue"), max_length=64, default="default")
    priority = models.SmallIntegerField(_("priority"), default=0)
    # RANK is a reserved word of MySQL, so the column has another name.
    rank = models.SmallIntegerField(
        default=0, db_column="ready_rank", help_text=_("The priority negated, so that the ready order is ascending.")
    )
    status = models.CharField(_("status"), max_length=10, choices=RunStatus.choices, default=RunStatus.READY)
    wake_reason = models.CharField(max_length=12, choices=WakeReason.choices, default=WakeReason.NONE, blank=True)
    version = models.PositiveIntegerField(default=1, help_text=_("Rises with every change of this row."))

    code_version = models.PositiveIntegerField(
        default=1, help_text=_("Version of the task's code that its history is of.")
    )

    args = models.TextField(default="[]")
    kwargs = models.TextField(default="{}")
    options = models.TextField(default="{}")
    metadata = models.TextField(default="{}")
    result = models.TextField(null=True)

    enqueued_at = models.DateTimeField(_("enqueued"))
    run_after = models.DateTimeField(_("run after"), null=True, blank=True)
    due_at = models.DateTimeField(_("due"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    last_attempted_at = models.DateTimeField(_("last attempted"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    attempts = models.PositiveIntegerField(
        _("attempts"), default=0, help_text=_("Attempts that ended in an exception.")
    )
    max_attempts = models.PositiveIntegerField(default=1)
    crashes = models.PositiveIntegerField(
        default=0,
        help_text=_("Times that its worker was lost since the last checkpoint; such a run is never prefetched."),
    )
    deliveries = models.PositiveIntegerField(default=0, help_text=_("Of these, the times that its body was running."))
    max_deliveries = models.PositiveIntegerField(default=3)
    worker_ids = models.TextField(default="[]", help_text=_("Workers of the attempts that failed."))
    errors = models.TextField(default="[]", help_text=_("The last 20 errors."))
    error_code = models.CharField(_("error code"), max_length=32, default="", blank=True)

    lease_worker = models.CharField(_("worker"), max_length=128, default="", blank=True)
    lease_token = models.BigIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_reason = models.CharField(max_length=500, default="", blank=True)

    dedupe_key = models.TextField(_("dedupe key"), default="", blank=True)
    supersede_key = models.TextField(_("supersede key"), default="", blank=True)
    idempotency_key = models.TextField(_("idempotency key"), default="", blank=True)
    caller_id = models.TextField(_("the caller's id"), default="", blank=True)

    last_sequence = models.PositiveIntegerField(default=0)
    first_sequence = models.PositiveIntegerField(default=1)
    inbox = models.PositiveIntegerField(default=0, help_text=_("Counts answers and messages from outside."))

    # No foreign key: neither a parent nor a child is kept for the sake of the other.
    parent_id = models.UUIDField(_("parent"), null=True, editable=False)
    parent_path = models.CharField(
        max_length=400, default="", blank=True, help_text=_("Where in its code the parent started this one.")
    )
    outlives_parent = models.BooleanField(
        default=False, help_text=_("Whether it goes on when its parent fails or is cancelled.")
    )
    awaited = models.TextField(default="", blank=True, help_text=_("The children whose news this one waits for."))

    concurrency_key = models.CharField(_("concurrency key"), max_length=1000, db_default="", blank=True)
    slots = models.CharField(
        max_length=28, db_default="", blank=True, help_text=_("What it counts towards while it is held: see Slot.")
    )
    lane = models.CharField(
        max_length=40,
        db_default="",
        blank=True,
        help_text=_("What it waits in line for; empty for a run without limits."),
    )

    # NULL and the database's own defaults: a run of a function, and its enqueue, say nothing of these.
    workflow_state = models.TextField(
        _("state"), null=True, help_text=_("The state of a class workflow that has begun.")
    )
    state_version = models.PositiveIntegerField(
        db_default=0, help_text=_("Rises with each change of the state from outside.")
    )
    workflow_step = models.CharField(_("workflow step"), max_length=100, db_default="", blank=True)
    visit = models.PositiveIntegerField(_("visit"), db_default=0, help_text=_("Steps that the workflow has entered."))
    visit_sequence = models.PositiveIntegerField(
        db_default=0, help_text=_("The last line of the timeline before this visit.")
    )

    forked_from = models.UUIDField(
        _("forked from"), null=True, editable=False, help_text=_("The run whose history this one began with.")
    )

    progress_percent = models.FloatField(_("progress"), null=True)
    progress_label = models.CharField(max_length=200, default="", blank=True)
    progress_meta = models.TextField(default="", blank=True)
    stalled_at = models.DateTimeField(
        _("stalled"), null=True, help_text=_("Since when it has given no sign, or has lost its worker.")
    )
    progress_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ("-id",)
        default_permissions = ("view", "delete")
        permissions = [
            ("view_payload", _("Can see the payloads of tasks")),
            ("enqueue_task", _("Can enqueue tasks")),
            ("retry_task", _("Can retry tasks")),
            ("cancel_task", _("Can cancel tasks")),
            ("resume_task", _("Can answer waiting tasks")),
            ("run_task", _("Can make delayed tasks due now")),
            ("copy_task", _("Can run tasks again as a copy")),
            ("fork_task", _("Can fork tasks from a place in their history")),
            ("message_task", _("Can send tasks messages and commands")),
        ]
        indexes = [
            models.Index(
                fields=("queue_name", "rank", "lane", "due_at", "id"),
                name="dtd_run_ready",
                condition=Q(status=RunStatus.READY),
            ),
            models.Index(
                fields=("slots",),
                name="dtd_run_slots",
                condition=Q(slots__gt="", status__in=(RunStatus.CLAIMED, RunStatus.RUNNING)),
            ),
            models.Index(
                fields=("lease_worker",),
                name="dtd_run_leased",
                condition=Q(status__in=(RunStatus.CLAIMED, RunStatus.RUNNING)),
            ),
            models.Index(
                fields=("due_at",),
                name="dtd_run_deadline",
                condition=Q(status=RunStatus.WAITING, due_at__isnull=False),
            ),
            models.Index(
                fields=("status", "id"),
                name="dtd_run_attention",
                condition=Q(status__in=(RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.WAITING)),
            ),
            models.Index(fields=("status", "parent_id"), name="dtd_run_children", condition=Q(parent_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.task_path} {self.id}"
