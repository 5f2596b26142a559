"""The airports app."""

from __future__ import annotations

from django.apps import AppConfig


class AirportsConfig(AppConfig):
    """The world's airports, and the task that imports them."""

    name = "example_project.airports"
    label = "airports"
    verbose_name = "Airports"
    default_auto_field = "django.db.models.BigAutoField"
