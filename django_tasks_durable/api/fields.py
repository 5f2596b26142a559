"""The kinds of fields that answers are made of, for the OpenAPI."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Shape(serializers.Serializer[Any]):
    """An object of the OpenAPI, under a name that a project's own are not likely to have."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.Meta = type("Meta", (), {"ref_name": f"Durable{cls.__name__}"})  # type: ignore[attr-defined]


def text(help_text: str = "") -> Any:
    """Return a field: text, which may be empty."""
    return serializers.CharField(help_text=help_text, allow_blank=True)


def number(help_text: str = "") -> Any:
    """Return a field: a whole number."""
    return serializers.IntegerField(help_text=help_text)


def fraction(help_text: str = "") -> Any:
    """Return a field: a number, or null."""
    return serializers.FloatField(help_text=help_text, allow_null=True)


def instant(help_text: str = "") -> Any:
    """Return a field: an instant, or null."""
    return serializers.DateTimeField(help_text=help_text, allow_null=True)


def identity(help_text: str = "") -> Any:
    """Return a field: the id of a task, or null."""
    return serializers.UUIDField(help_text=help_text, allow_null=True)


def anything(help_text: str = "") -> Any:
    """Return a field: any JSON value."""
    return serializers.JSONField(help_text=help_text, allow_null=True)


def texts(help_text: str = "") -> Any:
    """Return a field: texts."""
    return serializers.ListField(child=serializers.CharField(allow_blank=True), help_text=help_text)


def counts(help_text: str = "") -> Any:
    """Return a field: whole numbers by name."""
    return serializers.DictField(child=serializers.IntegerField(), help_text=help_text)
