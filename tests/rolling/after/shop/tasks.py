"""The tasks after the release: one is new, one is gone, two have changed their steps."""

from __future__ import annotations

from typing import Any

from django_tasks_durable import task
from tests.probe import journal


@task
def both() -> str:
    """Do what both releases do."""
    return "after"


@task
def added() -> str:
    """Do what the old release does not know."""
    return "after"


@task
def checkout(context: Any) -> list[str]:
    """Check before anything is loaded, which no run of the old release did."""
    context.step("check", _check)
    loaded = context.step("load", _load)
    context.interrupt("go on?")
    return [loaded, context.step("charge", _charge)]


@task(version=2, pin_version=True)
def pinned(context: Any) -> list[str]:
    """Do the same, and leave runs of the old release to it."""
    context.step("check", _check)
    context.interrupt("go on?")
    return ["after", context.step("charge", _charge)]


def _check() -> None:
    journal.deed("check", release="after")


def _load() -> str:
    journal.deed("load", release="after")
    return "after"


def _charge() -> str:
    journal.deed("charge", release="after")
    return "after"
