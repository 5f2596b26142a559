"""``manage.py tasks queues|pause|unpause``."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.probe import tasks
from tests.store import acts

pytestmark = pytest.mark.django_db


def asked(*arguments: str) -> str:
    """Run the command and return what it wrote."""
    out = StringIO()
    call_command("tasks", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def told(*arguments: str) -> list[dict[str, Any]]:
    """Run the command and return its JSON."""
    found: list[dict[str, Any]] = json.loads(asked(*arguments, "--json"))
    return found


def test_a_queue_is_paused_and_goes_on() -> None:
    acts.enqueue()
    acts.enqueue(tasks.elsewhere)
    (paused,) = told("pause", "default")
    assert (paused["queue_name"], paused["due"]) == ("default", 1)
    assert paused["paused_at"]
    assert "@" in paused["paused_by"]
    assert [each["paused_at"] is None for each in told("queues")] == [False, True]

    head, line, _ = asked("queues").splitlines()
    assert head.split() == ["QUEUE", "STATE", "DUE", "OLDEST", "DUE", "RUNNING", "LIMITS"]
    assert "paused by" in line
    (unpaused,) = told("unpause", "default")
    assert (unpaused["paused_at"], unpaused["paused_by"]) == (None, "")


def test_where_there_is_none_it_says_so() -> None:
    assert asked("queues") == "There are none.\n"
    assert told("queues") == []


def test_a_name_that_cannot_be_a_queue_is_refused() -> None:
    with pytest.raises(CommandError, match="There is no queue"):
        asked("pause", "x" * 100)


def test_a_queue_is_given_limits_and_goes_back_to_the_settings() -> None:
    (limited,) = told("limit", "default", "--concurrency", "3", "--rate", "10/min")
    assert (limited["concurrency"], limited["rate"], limited["is_overruled"]) == (3, "10/minute", True)
    assert "@" in limited["changed_by"]
    assert "3 at a time, 10/minute" in asked("queues")
    (wider,) = told("limit", "default", "--concurrency", "none")
    assert (wider["concurrency"], wider["rate"]) == (None, "10/minute")
    (reset,) = told("limit", "default", "--reset")
    assert (reset["concurrency"], reset["rate"], reset["is_overruled"]) == (None, None, False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--concurrency", "0"], "pause it"),
        (["--concurrency", "-1"], "whole number from 1"),
        (["--rate", "10/fortnight"], "'fortnight' is no period"),
        ([], "Give --concurrency"),
        (["--reset", "--rate", "1/day"], "Give --concurrency"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        asked("limit", "default", *arguments)
