"""The tasks before the release."""

from __future__ import annotations

from typing import Any

from django_tasks_durable import task
from tests.probe import journal


@task
def both() -> str:
    """Do what both releases do."""
    return "before"


@task
def retired() -> str:
    """Do what the new release knows no more."""
    return "before"


@task
def checkout(context: Any) -> list[str]:
    """Load, ask, charge."""
    loaded = context.step("load", _load)
    context.interrupt("go on?")
    return [loaded, context.step("charge", _charge)]


@task(version=1, pin_version=True)
def pinned(context: Any) -> list[str]:
    """Do the same, and stay with this release."""
    loaded = context.step("load", _load)
    context.interrupt("go on?")
    return [loaded, context.step("charge", _charge)]


def _load() -> str:
    journal.deed("load", release="before")
    return "before"


def _charge() -> str:
    journal.deed("charge", release="before")
    return "before"
