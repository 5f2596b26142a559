"""What an address may say after its question mark, each part checked and named when it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers

from django_tasks_durable.backend.bodies import json_of
from django_tasks_durable.conf import nearest
from django_tasks_durable.exceptions import NotJson
from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.primitives.status import RunStatus, State, StepKind
from django_tasks_durable.snapshots.bootstrap import TaskQuery
from django_tasks_durable.snapshots.charts import Window

from .fields import Shape

MOST_IDS = 500
MOST_VALUES = 100
MOST_POSITIONS = 1000
MOST_ROWS = 100
MOST_LINES = 500
# Beyond these, databases and time zones have no common idea of an instant.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
LARGEST = 2**31 - 1


class Strict(Shape):
    """Fields, and no others: a name that is written wrong must not be taken for one that is not there."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse names that there are not."""
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                hints = {name: [f"There is no such name. {nearest(name, list(self.fields))}"] for name in unknown[:10]}
                raise serializers.ValidationError(hints)
        return super().to_internal_value(data)


class Instant(serializers.DateTimeField):
    """An instant that every database can hold."""

    def to_internal_value(self, value: Any) -> datetime:
        """Read it. Raise ValidationError."""
        try:
            read = super().to_internal_value(value)
            is_held = EARLIEST <= read <= LATEST
        except (OverflowError, TypeError):
            is_held = False
        if not is_held:
            raise serializers.ValidationError(f"Give an instant from {EARLIEST.year} to {LATEST.year - 1}.")
        return read


class Pair(serializers.CharField):
    """Two parts with a colon between."""

    def to_internal_value(self, data: Any) -> Any:
        """Read both. Raise ValidationError."""
        left, colon, right = super().to_internal_value(data).partition(":")
        try:
            if not colon or not right:
                raise ValueError
            return self.made(left, right)
        except ValueError:
            raise serializers.ValidationError(self.wanted) from None

    wanted = "Give two parts with a colon between."

    def made(self, left: str, right: str) -> Any:
        """Make the value of both parts. Raise ValueError."""
        raise NotImplementedError


class KeyPair(Pair):
    """A kind of key and its text."""

    wanted = f"Give kind:text; kinds are {', '.join(KeyKind)}."

    def made(self, left: str, right: str) -> tuple[KeyKind, str]:
        """See Pair."""
        return KeyKind(left), right


class Position(Pair):
    """A run and how far its timeline is known."""

    wanted = "Give <task id>:<sequence>."

    def made(self, left: str, right: str) -> tuple[UUID, int]:
        """See Pair."""
        if not right.isascii() or not right.isdecimal() or len(right) > 10 or int(right) > LARGEST:
            raise ValueError
        return UUID(left), int(right)


def _several(child: serializers.Field[Any, Any, Any, Any], *, most: int = MOST_VALUES, help_text: str) -> Any:
    return serializers.ListField(child=child, required=False, max_length=most, help_text=help_text)


class RunQuery(Strict):
    """Which tasks are meant: those that fit every part, any of the values inside a part."""

    id = _several(serializers.UUIDField(), most=MOST_IDS, help_text="Ids of tasks.")
    task_path = _several(serializers.CharField(max_length=255), help_text="Paths of task functions.")
    queue_name = _several(serializers.CharField(max_length=64), help_text="Queues.")
    channel = _several(serializers.CharField(max_length=300), help_text="Channels, such as workspace:42.")
    state = _several(serializers.ChoiceField(State.values), help_text="States.")
    status = _several(serializers.ChoiceField(RunStatus.values), help_text="Stored statuses.")
    parent_id = _several(serializers.UUIDField(), help_text="Ids of tasks that started them.")
    key = _several(KeyPair(max_length=1100), most=len(KeyKind), help_text="Keys, such as dedupe:report:42.")
    enqueued_from = Instant(required=False, help_text="Enqueued at this instant or later.")
    enqueued_until = Instant(required=False, help_text="Enqueued before this instant.")

    @staticmethod
    def query(told: Mapping[str, Any]) -> TaskQuery:
        """Return what was asked for."""
        return TaskQuery(
            ids=told.get("id", ()),
            task_paths=told.get("task_path", ()),
            queue_names=told.get("queue_name", ()),
            channels=told.get("channel", ()),
            states=[State(each) for each in told.get("state", ())],
            statuses=[RunStatus(each) for each in told.get("status", ())],
            parent_ids=told.get("parent_id", ()),
            keys=dict(told.get("key", ())),
            enqueued_from=told.get("enqueued_from"),
            enqueued_until=told.get("enqueued_until"),
        )


class ListQuery(RunQuery):
    """A page of tasks."""

    search = serializers.CharField(
        required=False, min_length=4, max_length=64, help_text="The beginning or the end of an id."
    )
    cursor = serializers.CharField(required=False, max_length=200, help_text="From the last page's next or previous.")
    limit = serializers.IntegerField(required=False, min_value=1, max_value=MOST_ROWS, default=50)


class BootstrapQuery(RunQuery):
    """What somebody who begins to watch is given."""

    after = _several(Position(max_length=60), most=MOST_POSITIONS, help_text="<task id>:<sequence> of what is known.")
    steps = serializers.IntegerField(required=False, min_value=0, max_value=200, default=20)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=500, default=100)
    aggregate = serializers.BooleanField(required=False, default=False)


class LinesQuery(Strict):
    """Lines of a timeline."""

    after = serializers.IntegerField(
        required=False, min_value=0, max_value=LARGEST, help_text="The lines behind this one; else the last ones."
    )
    before = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST)
    kind = serializers.ChoiceField(StepKind.values, required=False)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=MOST_LINES, default=100)


class LimitQuery(Strict):
    """How many at most."""

    limit = serializers.IntegerField(required=False, min_value=1, max_value=MOST_LINES, default=MOST_LINES)


class WindowQuery(Strict):
    """How far back, and of which tasks."""

    window = serializers.ChoiceField([window.slug for window in Window], default=Window.HOUR.slug)
    task_path = serializers.CharField(required=False, max_length=255)
    queue_name = serializers.CharField(required=False, max_length=64)


class NothingAsked(Strict):
    """No parameters."""


class JsonText(serializers.CharField):
    """A JSON value, written in an address."""

    def __init__(self, kind: type[Any], **options: Any) -> None:
        self.kind = kind
        super().__init__(required=False, max_length=10_000, **options)

    def to_internal_value(self, data: Any) -> Any:
        """Read it. Raise ValidationError."""
        try:
            read = json_of(super().to_internal_value(data).encode())
        except NotJson as error:
            raise serializers.ValidationError(str(error)) from None
        if not isinstance(read, self.kind):
            raise serializers.ValidationError(f"Give a JSON {'list' if self.kind is list else 'object'}.")
        return read


class ArgumentsQuery(Strict):
    """The arguments of a query, as JSON."""

    args = JsonText(list, default=list, help_text="A JSON list.")
    kwargs = JsonText(dict, default=dict, help_text="A JSON object.")
