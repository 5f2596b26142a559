"""Keep fewer runs of a queryset of ``read.runs()``: those with a key, in a channel, in a derived state, of an age."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db.models import Q, QuerySet, Subquery, UUIDField, Value
from django.db.models.functions import Coalesce

from django_tasks_durable.models import RunChannel, TaskRun
from django_tasks_durable.primitives.keys import KeyKind
from django_tasks_durable.primitives.status import UNHURRIED, RunStatus, State, WakeReason

from .instants import now

LOOKED_AMONG = 100_000
FIRST_ID = UUID(int=0)
STALLED = Q(status=RunStatus.RUNNING, stalled_at__isnull=False)
CONCURRENCY = "concurrency"
# In the words that people know them by.
KEY_COLUMNS: dict[str, str] = {
    KeyKind.DEDUPE.value: "dedupe_key",
    KeyKind.IDEMPOTENCY.value: "idempotency_key",
    KeyKind.RUN.value: "caller_id",
    KeyKind.SUPERSEDE.value: "supersede_key",
    CONCURRENCY: "concurrency_key",
}
DERIVED_FROM_KEYS = (KeyKind.DEDUPE.value, CONCURRENCY, KeyKind.SUPERSEDE.value)


def holding(queryset: QuerySet[TaskRun], kind: str, text: str) -> QuerySet[TaskRun]:
    """Keep the runs that were enqueued with this key, ended ones too. There is no index for it."""
    return queryset.filter(**{KEY_COLUMNS[kind]: text})


def in_any_channel(queryset: QuerySet[TaskRun], names: Iterable[str]) -> QuerySet[TaskRun]:
    """Keep the runs that are in one of these channels, be it one that they were given or one that follows from what they are."""
    names = [name.strip() for name in names]
    given = RunChannel.objects.using(queryset.db).filter(name__in=names)
    wanted = Q(pk__in=given.values("run_id"))
    for name in names:
        wanted |= _derived_condition(name)
    return queryset.filter(wanted)


def _derived_condition(name: str) -> Q:
    word, _, key = name.partition(":")
    if word == "task":
        try:
            return Q(pk=UUID(key))
        except ValueError:
            return Q()
    if word == "kind":
        return Q(task_path=key)
    return Q(**{KEY_COLUMNS[word]: key}) if word in DERIVED_FROM_KEYS and key else Q()


def in_state(queryset: QuerySet[TaskRun], state: State) -> QuerySet[TaskRun]:
    """Keep the runs of a queryset of ``runs()`` that are in one derived state."""
    return queryset.filter(condition_of(state))


def in_any_state(queryset: QuerySet[TaskRun], states: Iterable[State]) -> QuerySet[TaskRun]:
    """Keep the runs of a queryset of ``runs()`` that are in one of these derived states."""
    wanted = Q(pk__in=())
    for state in states:
        wanted |= condition_of(state)
    return queryset.filter(wanted)


def condition_of(state: State) -> Q:
    """Return the condition that keeps the runs of ``runs()`` that are in one derived state."""
    ready = Q(status=RunStatus.READY)
    sleeping = ready & Q(wake_reason__in=UNHURRIED, due_at__gt=now())
    match state:
        case State.STALE:
            return (ready & Q(wake_reason=WakeReason.STALE)) | STALLED
        case State.RUNNING:
            return Q(status=RunStatus.RUNNING) & ~STALLED
        case State.RETRYING:
            return ready & Q(wake_reason=WakeReason.RETRY)
        case State.QUEUED:
            return ready & ~Q(wake_reason__in=(WakeReason.STALE, WakeReason.RETRY)) & ~sleeping
        case State.WAITING:
            return Q(status=RunStatus.WAITING) | sleeping
        case State.SUCCEEDED:
            return Q(status=RunStatus.SUCCESSFUL)
        case _:
            return Q(status=RunStatus(state.value.upper()))


def ended_within(queryset: QuerySet[TaskRun], age: timedelta) -> QuerySet[TaskRun]:
    """Keep the runs that ended within this time up to now."""
    return queryset.filter(finished_at__gte=now() - age)


def failed_with(queryset: QuerySet[TaskRun], class_path: str) -> QuerySet[TaskRun]:
    """Keep the failed runs of which an attempt raised this exception, by the path of its class. There is no index for it."""
    return queryset.filter(status=RunStatus.FAILED, errors__contains=json.dumps(class_path))


def among_newest(queryset: QuerySet[TaskRun], number: int = LOOKED_AMONG) -> QuerySet[TaskRun]:
    """Keep the newest runs of all, so that looking for what has no index costs no more on a long table than on a short one."""
    nth = TaskRun.objects.using(queryset.db).order_by("-id").values("id")[number : number + 1]
    return queryset.filter(id__gt=Coalesce(Subquery(nth), Value(FIRST_ID, output_field=UUIDField())))
