"""Schedules as they stand in code: ``@task(schedule=cron("0 6 * * *", tz="Europe/Paris"))``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict, Unpack

from django.conf import settings

from django_tasks_durable.conf import nearest
from django_tasks_durable.exceptions import InvalidSchedule
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.policies import DaylightSaving, Missed, Overlap
from django_tasks_durable.primitives.timing import Timing

LONGEST_NAME = 255
LONGEST_JITTER = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSchedule:
    """When runs of a task are enqueued by themselves, with which arguments, and what becomes of ticks that cannot be kept.

    Made by ``cron()`` and ``every()``. ``args`` and ``kwargs`` are JSON text.
    """

    timing: Timing
    name: str = ""
    args: str = "[]"
    kwargs: str = "{}"
    queue_name: str = ""
    priority: int | None = None
    missed: Missed = Missed.LATEST
    overlap: Overlap = Overlap.ALLOW
    jitter_seconds: int = 0


class Policies(TypedDict, total=False):
    """What ``cron()`` and ``every()`` both take, beside the time."""

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue_name: str
    priority: int | None
    missed: str
    overlap: str
    jitter: float | timedelta


def cron(
    expression: str, *, tz: str = "", dst: str = DaylightSaving.AUTO, **policies: Unpack[Policies]
) -> DeclaredSchedule:
    """Tick by a cron line in a time zone, by default that of the settings.

    ``missed`` is skip, latest or all; ``overlap`` allow, skip or cancel_previous; ``dst`` auto, once, skip or every; ``jitter``
    the seconds by which runs are spread; ``name``, ``args``, ``kwargs``, ``queue_name`` and ``priority`` are of the runs.
    Raise InvalidSchedule.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidSchedule("cron", expression, "Give a cron line, such as '0 6 * * *'.")
    line = " ".join(expression.split())
    daylight = DaylightSaving(_chosen("dst", dst, DaylightSaving.values))
    return _declared(Timing(cron=line, zone=tz or settings.TIME_ZONE, dst=daylight), policies)


def every(
    *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, **policies: Unpack[Policies]
) -> DeclaredSchedule:
    """Tick at each multiple of an interval since 1970 in UTC, so every five minutes is at :00, :05, :10. See cron()."""
    interval = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if interval % timedelta(seconds=1):
        raise InvalidSchedule("interval", interval.total_seconds(), "Give whole seconds.")
    return _declared(Timing(interval_seconds=interval // timedelta(seconds=1)), policies)


def _declared(timing: Timing, policies: Policies) -> DeclaredSchedule:
    for option in policies:
        if option not in Policies.__annotations__:
            raise InvalidSchedule(option, policies[option], nearest(option, [*Policies.__annotations__]))  # type: ignore[literal-required]
    name, priority = policies.get("name", ""), policies.get("priority")
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise InvalidSchedule("name", name, f"Give a text of at most {LONGEST_NAME} characters.")
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > 100):
        raise InvalidSchedule("priority", priority, "Give a whole number from -100 to 100.")
    return DeclaredSchedule(
        timing=timing,
        name=name,
        args=codec.encode(list(policies.get("args", ())), where="args"),
        kwargs=codec.encode(dict(policies.get("kwargs", {})), where="kwargs"),
        queue_name=policies.get("queue_name", ""),
        priority=priority,
        missed=Missed(_chosen("missed", policies.get("missed", Missed.LATEST), Missed.values)),
        overlap=Overlap(_chosen("overlap", policies.get("overlap", Overlap.ALLOW), Overlap.values)),
        jitter_seconds=_whole_seconds(policies.get("jitter", 0)),
    )


def several(given: object) -> tuple[DeclaredSchedule, ...]:
    """Read what ``@task(schedule=...)`` was given: one schedule, some, or none. Raise InvalidSchedule."""
    if given is None:
        return ()
    each = tuple(given) if isinstance(given, Iterable) and not isinstance(given, DeclaredSchedule | str) else (given,)
    for schedule in each:
        if not isinstance(schedule, DeclaredSchedule):
            raise InvalidSchedule("schedule", schedule, "Give cron(...), every(...) or a list of them.")
    return each


def _chosen(name: str, value: object, values: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in values:
        raise InvalidSchedule(name, value, f"Give one of {', '.join(map(str, values))}.")
    return value


def _whole_seconds(jitter: object) -> int:
    seconds = jitter.total_seconds() if isinstance(jitter, timedelta) else jitter
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_JITTER:
        raise InvalidSchedule("jitter", jitter, "Give seconds, from none to a day.")
    return int(seconds)
