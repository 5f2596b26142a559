"""The probe app."""

from __future__ import annotations

from django.apps import AppConfig


class ProbeConfig(AppConfig):
    """Tables and tasks that tests look into."""

    name = "tests.probe"
    label = "probe"
    default_auto_field = "django.db.models.BigAutoField"
