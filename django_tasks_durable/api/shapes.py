"""What is answered about tasks, field by field, for the OpenAPI. The values themselves are those of the snapshots."""

from __future__ import annotations

from rest_framework import serializers

from .fields import Shape, anything, counts, fraction, identity, instant, number, text, texts


class Problem(Shape):
    """Why something is refused."""

    code = text("Stable, for machines.")
    message = text("For people; it names what is wrong.")
    fields = serializers.DictField(child=texts(), required=False, help_text="What is wrong with each field.")  # type: ignore[assignment]
    path = serializers.CharField(required=False, help_text="The place of what is wrong in a value.")
    paths = serializers.ListField(child=serializers.CharField(), required=False, help_text="Open questions.")
    near = serializers.ListField(child=serializers.CharField(), required=False, help_text="What may be meant.")


class Progress(Shape):
    """How far a task says it is."""

    percent = fraction()
    label = text()
    meta = anything()
    updated_at = instant()


class Task(Shape):
    """A task without its payloads."""

    v = number("The version of this format.")
    id = serializers.UUIDField()
    version = number("Rises with every change.")
    task_path = text()
    backend = text()
    queue_name = text()
    priority = number()
    status = text("READY CLAIMED RUNNING WAITING SUCCESSFUL FAILED CANCELLED")
    state = text("queued claimed running retrying waiting succeeded failed cancelled stale")
    wake_reason = text()
    enqueued_at = serializers.DateTimeField()
    run_after = instant("What the caller asked for.")
    due_at = instant("When it may next be claimed.")
    started_at = instant()
    last_attempted_at = instant()
    finished_at = instant()
    retry_at = instant("When it is tried again.")
    stale_at = instant("When its worker was seen to be lost.")
    stale_reason = text()
    worker = text("The worker that holds it, or held it last.")
    attempt = number("The attempt under way, or the last one.")
    attempts = number("Attempts that ended in an exception.")
    max_attempts = number()
    error_code = text()
    cancel_requested_at = instant()
    cancel_reason = text()
    first_sequence = number("Lines below this one were trimmed.")
    last_sequence = number("The last line of the timeline.")
    parent_id = identity("The task that started it.")
    forked_from = identity("The task whose history it began with, or whose copy it is.")
    keys = serializers.DictField(child=serializers.CharField(), help_text="The keys that it was enqueued with.")
    channels = texts("What it can be followed by.")
    progress = Progress()
    acts = texts("What may be asked of it as it stands.")


class Failure(Shape):
    """How one attempt failed."""

    exception_class_path = text()
    message = text()
    traceback = text()
    code = text()
    attempt = serializers.IntegerField(allow_null=True)


class Standing(Shape):
    """Where a class workflow stands."""

    step = text()
    visit = number()
    state = anything()


class WholeTask(Task):
    """A task with its payloads, as far as you may see them."""

    args = anything()
    kwargs = anything()
    metadata = anything()
    enqueued_by = text("Who enqueued it, where that was kept.")
    schedule = text("The schedule that it came from.")
    tick = instant()
    result = anything()
    workflow = Standing(allow_null=True)
    worker_ids = texts()
    errors = Failure(many=True)  # type: ignore[assignment]


class Accepted(WholeTask):
    """A task that was enqueued, or found."""

    disposition = text("created reused superseded")


class Line(Shape):
    """One line of a timeline."""

    sequence = number()
    kind = text()
    level = text()
    attempt = number()
    path = text()
    message = text()
    percent = fraction()
    data = anything()
    created_at = serializers.DateTimeField()


class Page(Shape):
    """A page of tasks, newest first."""

    v = number()
    results = Task(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class Lines(Shape):
    """Lines of a timeline, ascending."""

    v = number()
    first_sequence = number("Lines below this one were trimmed.")
    last_sequence = number("The last line that there is.")
    results = Line(many=True)


class Checkpoint(Shape):
    """The answer that a primitive left behind."""

    path = text()
    kind = text()
    position = number()
    failed = serializers.BooleanField()
    value = anything()
    attempt = number()
    seconds = fraction()
    created_at = serializers.DateTimeField()


class Checkpoints(Shape):
    """Checkpoints in the order in which they were left."""

    v = number()
    results = Checkpoint(many=True)


class Question(Shape):
    """A question of a task."""

    path = text()
    kind = text()
    request = anything()
    permission = text("Asked of who answers, beside the permission to answer.")
    form = text("The form that the answer has to fit.")
    has_default = serializers.BooleanField()
    deadline = instant()
    created_at = serializers.DateTimeField()
    is_pending = serializers.BooleanField()
    answer = anything()
    answered_at = instant()
    answered_by = text()


class Choice(Shape):
    """One of the values that a field may have."""

    value = text()
    words = text("What it is called.")


class FormField(Shape):
    """A field of the form that an answer has to fit."""

    name = text()
    label = text()
    kind = text(
        "text, long_text, integer, number, boolean, choice, choices, date, datetime, time, email, url, hidden or other."
    )
    is_required = serializers.BooleanField()
    help_text = text()
    choices = Choice(many=True, allow_null=True)
    initial = anything()
    least = serializers.CharField(allow_null=True)
    most = serializers.CharField(allow_null=True)
    longest = serializers.IntegerField(allow_null=True)


class FilledQuestion(Question):
    """A question with the fields of its form, for those who may answer it."""

    form_fields = FormField(many=True, allow_null=True)


class Questions(Shape):
    """Questions in the order in which they were asked."""

    v = number()
    results = FilledQuestion(many=True)


class AskedQuestion(Question):
    """A pending question with its task."""

    run_id = serializers.UUIDField()
    task_path = text()


class Inbox(Shape):
    """Pending questions, the oldest first."""

    v = number()
    results = AskedQuestion(many=True)


class Counts(Shape):
    """How many tasks there are, in all and of every kind."""

    v = number()
    total = number()
    by_state = counts()
    by_status = counts()
    by_task = counts()


class FollowedTask(WholeTask):
    """A task with lines of its timeline."""

    timeline = Line(many=True)


class Beginning(Shape):
    """What somebody who begins to watch is given."""

    v = number()
    runs = FollowedTask(many=True)
    aggregate = Counts(allow_null=True)


class Exposure(Shape):
    """A task that you may enqueue."""

    task = text("Its path.")
    queue_name = text()
    signature = text("What it takes.")
    doc = text()


class Exposures(Shape):
    """Tasks that you may enqueue, by path."""

    v = number()
    results = Exposure(many=True)
