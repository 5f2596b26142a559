"""What the body of a call may say."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from .parameters import Instant, Strict


class Value(serializers.JSONField):
    """Any JSON value, null as well."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_internal_value(self, data: Any) -> Any:
        """Take it as it is; the store says what cannot be stored."""
        return data


class Named(serializers.DictField):
    """Values by name; what they are is the task's business."""

    child = Value()


class Listed(serializers.ListField):
    """Values in order."""

    child = Value()


class NothingSaid(Strict):
    """Nothing."""


class Call(Strict):
    """A task and its arguments."""

    task = serializers.CharField(max_length=255, help_text="The path of an exposed task.")
    args = Listed(required=False, default=list)
    kwargs = Named(required=False, default=dict)
    run_after = Instant(required=False, allow_null=True, default=None, help_text="Not before this instant.")


class Reason(Strict):
    """Why."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, default="")


class Answer(Strict):
    """The answer to a question; with several open ones, the path of the one that is meant."""

    value = Value()
    path = serializers.CharField(required=False, max_length=400, default="")


class Signal(Strict):
    """A message."""

    name = serializers.CharField(max_length=200)
    payload = Value(required=False, default=None)


class Place(Strict):
    """A place in a history, and other values for what is kept of it."""

    path = serializers.CharField(max_length=400)
    values = Named(required=False, default=dict)


class Arguments(Strict):
    """The arguments of a command."""

    args = Listed(required=False, default=list)
    kwargs = Named(required=False, default=dict)


class Limits(Strict):
    """What limits a queue; what is not named stays."""

    concurrency = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=1_000_000)
    rate = serializers.CharField(required=False, allow_null=True, max_length=32, help_text="Such as 10/minute.")


class IdempotencyKey(serializers.Serializer[Any]):
    """The header of this name."""

    idempotency_key = serializers.CharField(required=False, allow_null=True, max_length=200)
