"""The words in which a schedule says what is to become of its ticks."""

from __future__ import annotations

from django.db import models
from django.utils.translation import pgettext_lazy


class Missed(models.TextChoices):
    """What becomes of ticks that passed while no scheduler ran."""

    SKIP = "skip", pgettext_lazy("Missed", "Skip them")
    LATEST = "latest", pgettext_lazy("Missed", "Run the latest one")
    ALL = "all", pgettext_lazy("Missed", "Run all, up to a hundred")


class Overlap(models.TextChoices):
    """What becomes of a tick while the run of the one before is still open."""

    ALLOW = "allow", pgettext_lazy("Overlap", "Run beside it")
    SKIP = "skip", pgettext_lazy("Overlap", "Skip the tick")
    CANCEL_PREVIOUS = "cancel_previous", pgettext_lazy("Overlap", "Cancel the one before")


class DaylightSaving(models.TextChoices):
    """What becomes of local times that a change of the clocks leaves out or shows twice."""

    AUTO = "auto", pgettext_lazy("Daylight saving", "Once for fixed times, every time for wildcards")
    ONCE = "once", pgettext_lazy("Daylight saving", "Once: right after the gap, at the first of two")
    SKIP = "skip", pgettext_lazy("Daylight saving", "At most once: not in the gap, at the first of two")
    EVERY = "every", pgettext_lazy("Daylight saving", "Whenever the clock shows the time")


class ScheduleSource(models.TextChoices):
    """Where a schedule is written."""

    CODE = "code", pgettext_lazy("Schedule", "Code")
    ROW = "row", pgettext_lazy("Schedule", "Database")


class TickOutcome(models.TextChoices):
    """What became of a tick."""

    ENQUEUED = "enqueued", pgettext_lazy("Tick", "Enqueued")
    SKIPPED = "skipped", pgettext_lazy("Tick", "Skipped: the one before was still open")
    REFUSED = "refused", pgettext_lazy("Tick", "Refused")
    BACKFILLED = "backfilled", pgettext_lazy("Tick", "Enqueued afterwards")
    MANUAL = "manual", pgettext_lazy("Tick", "Enqueued by hand")
