"""Runs that are enqueued by the clock."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_tasks_durable.authoring.schedules import LONGEST_JITTER, LONGEST_NAME
from django_tasks_durable.exceptions import DurableError, InvalidSchedule
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.policies import DaylightSaving, Missed, Overlap, ScheduleSource, TickOutcome
from django_tasks_durable.primitives.timing import LONGEST_CRON, Timing

# Which column the parts of a schedule stand in, where the words of code are shorter.
COLUMNS = {"tz": "time_zone", "interval": "interval_seconds"}


class Schedule(models.Model):
    """When runs of a task are enqueued by themselves: written in code and kept in step here, or written here."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=LONGEST_NAME, unique=True)
    task_path = models.CharField(_("task"), max_length=255)
    cron = models.CharField(
        _("cron"),
        max_length=LONGEST_CRON,
        default="",
        blank=True,
        help_text=_("Minute, hour, day of month, month, day of week; six fields begin with the second."),
    )
    interval_seconds = models.PositiveIntegerField(
        _("interval"), null=True, blank=True, help_text=_("Seconds between two ticks, instead of a cron line.")
    )
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    dst = models.CharField(
        _("daylight saving"), max_length=10, choices=DaylightSaving.choices, default=DaylightSaving.AUTO
    )
    args = models.TextField(_("arguments"), default="[]", help_text=_("A JSON list."))
    kwargs = models.TextField(_("keyword arguments"), default="{}", help_text=_("A JSON object."))
    queue_name = models.CharField(
        _("queue"), max_length=64, default="", blank=True, help_text=_("The task's own, if empty.")
    )
    priority = models.SmallIntegerField(
        _("priority"),
        null=True,
        blank=True,
        validators=[MinValueValidator(-100), MaxValueValidator(100)],
        help_text=_("The task's own, if empty."),
    )
    missed = models.CharField(_("missed ticks"), max_length=10, choices=Missed.choices, default=Missed.LATEST)
    overlap = models.CharField(
        _("when the last run is open"), max_length=20, choices=Overlap.choices, default=Overlap.ALLOW
    )
    jitter_seconds = models.PositiveIntegerField(
        _("jitter"),
        default=0,
        validators=[MaxValueValidator(LONGEST_JITTER)],
        help_text=_("Seconds by which runs are spread after their tick."),
    )
    paused = models.BooleanField(_("paused"), default=False)
    source = models.CharField(_("written in"), max_length=4, choices=ScheduleSource.choices, default=ScheduleSource.ROW)
    position = models.PositiveIntegerField(default=0, help_text=_("Place among the schedules of its task in code."))
    vanished_at = models.DateTimeField(_("vanished from code"), null=True, blank=True)
    next_at = models.DateTimeField(_("next tick"), null=True, blank=True)
    last_at = models.DateTimeField(_("last tick"), null=True, blank=True)

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        ordering = ("name",)
        default_permissions = ("view", "add", "change", "delete")
        permissions = [("run_schedule", _("Can pause, unpause and run schedules"))]

    def __str__(self) -> str:
        return self.name

    def timing(self) -> Timing:
        """Return when it ticks. Raise InvalidSchedule."""
        return Timing(
            cron=self.cron,
            interval_seconds=self.interval_seconds,
            zone=self.time_zone,
            dst=DaylightSaving(self.dst),
        )

    def clean(self) -> None:
        """Say what is wrong with the schedule, beside the field that is."""
        try:
            self.timing()
        except InvalidSchedule as error:
            raise ValidationError({COLUMNS.get(error.field, error.field): error.problem}) from None
        except ValueError:
            return  # a policy that is none, which its field says
        for name, kind in (("args", list), ("kwargs", dict)):
            _expect_json(name, getattr(self, name), kind)


class Tick(models.Model):
    """One tick of a schedule that was decided: the ledger by which no tick is ever run twice. Retention never prunes it."""

    id = models.BigAutoField(primary_key=True)
    # The name rather than a key: a schedule that is made again under its name goes on from what it has done.
    schedule = models.CharField(_("schedule"), max_length=LONGEST_NAME)
    tick = models.DateTimeField(_("tick"))
    run_id = models.UUIDField(_("task"), null=True)
    outcome = models.CharField(_("outcome"), max_length=10, choices=TickOutcome.choices)
    reason = models.CharField(_("reason"), max_length=500, default="", blank=True)
    created_at = models.DateTimeField(_("decided"))

    class Meta:
        verbose_name = _("tick")
        verbose_name_plural = _("ticks")
        ordering = ("-tick",)
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=("schedule", "tick"), name="dtd_tick_once")]

    def __str__(self) -> str:
        return f"{self.schedule} {self.tick.isoformat()}"


def _expect_json(name: str, text: str, kind: type) -> None:
    try:
        value = codec.decode(text)
        codec.encode(value, where=name)
    except (DurableError, ValueError, RecursionError) as error:
        raise ValidationError({name: _("This is not JSON: %(problem)s") % {"problem": error}}) from None
    if not isinstance(value, kind):
        raise ValidationError({name: _("A JSON list.") if kind is list else _("A JSON object.")})
