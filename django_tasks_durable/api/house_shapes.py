"""What is answered about the house, field by field, for the OpenAPI. The values themselves are those of the snapshots."""

from __future__ import annotations

from rest_framework import serializers

from .fields import Shape, anything, counts, fraction, identity, instant, number, text, texts


class Worker(Shape):
    """A process that claims."""

    v = number()
    id = text()
    host = text()
    pid = number()
    queues = texts("None means all.")
    concurrency = number()
    package_version = text()
    started_at = serializers.DateTimeField()
    heartbeat_at = serializers.DateTimeField()
    condition = text("alive late dead stopped")
    held = number("Tasks that it holds, of those that you may see.")


class Workers(Shape):
    """Processes that claim, the newest first."""

    v = number()
    results = Worker(many=True)


class Queue(Shape):
    """What is open in a queue, of the tasks that you may see."""

    v = number()
    queue_name = text()
    due = number()
    later = number()
    held = number("By workers.")
    running = number("Of these, running.")
    waiting = number()
    oldest_due_seconds = fraction("How long the first has been due.")
    workers_alive = number("Living workers that serve it.")
    paused_at = instant()
    paused_by = text()
    concurrency = serializers.IntegerField(allow_null=True, help_text="Tasks at a time; null for any number.")
    rate = serializers.CharField(allow_null=True, help_text="Such as 10/minute; null for any.")
    is_overruled = serializers.BooleanField(help_text="Whether somebody set a limit beside the settings.")
    changed_at = instant()
    changed_by = text()


class Queues(Shape):
    """Queues by name."""

    v = number()
    results = Queue(many=True)


class Schedule(Shape):
    """When runs are enqueued by themselves."""

    v = number()
    name = text()
    task_path = text()
    words = text("When it ticks, in words.")
    cron = text()
    interval_seconds = fraction()
    time_zone = text()
    dst = text()
    missed = text()
    overlap = text()
    jitter_seconds = fraction()
    queue_name = text()
    priority = serializers.IntegerField(allow_null=True)
    args = anything()
    kwargs = anything()
    source = text()
    paused = serializers.BooleanField()
    vanished_at = instant()
    next_at = instant()
    last_at = instant()
    last_outcome = text()
    last_reason = text()
    last_run_id = identity()
    last_state = serializers.CharField(allow_null=True)


class Schedules(Shape):
    """Schedules by name."""

    v = number()
    results = Schedule(many=True)


class Enqueued(Shape):
    """The task that was enqueued."""

    v = number()
    id = serializers.UUIDField()


class Returned(Shape):
    """What a command or a query returned."""

    v = number()
    value = anything()


class Health(Shape):
    """How it is."""

    v = number()
    status = text("ok unavailable")


class Finding(Shape):
    """One thing that is not as it should be."""

    code = text("Stable, for machines.")
    severity = text("error warning info")
    message = text()
    hint = text("What to do.")


class Findings(Shape):
    """What keeps work from being done, the worst first."""

    v = number()
    results = Finding(many=True)


class Point(Shape):
    """What tasks did in a minute or an hour; waits and durations in seconds."""

    at = serializers.DateTimeField()
    started = number()
    succeeded = number()
    failed = number()
    cancelled = number()
    retried = number()
    stale = number()
    wait_p50 = fraction()
    wait_p95 = fraction()
    duration_p50 = fraction()
    duration_p95 = fraction()


class Chart(Shape):
    """A window of points without gaps, the oldest first."""

    v = number()
    window = text()
    grain_seconds = number()
    points = Point(many=True)
    total = Point()
    failures_by_task = counts()
    failures_by_exception = counts()
