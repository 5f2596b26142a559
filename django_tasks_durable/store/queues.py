"""What operators may do to queues while workers run: pause them, let them go on, change their limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from typing import Any

from django_tasks_durable import signals
from django_tasks_durable.conf import nearest, queues_of
from django_tasks_durable.exceptions import UnknownQueue
from django_tasks_durable.limits import NO_RATE, Rate, expect_count
from django_tasks_durable.models import Queue, TaskRun
from django_tasks_durable.models.queue import LONGEST_QUEUE

from . import audit, vendors
from .news import tell

NAME_LENGTH = 200


def pause(names: Iterable[str], *, using: str, by: str = "") -> None:
    """Let workers take nothing more of these queues until they are unpaused; what runs there goes on to its end.

    A queue that is paused already keeps who paused it first, and when. Raise UnknownQueue before any is paused.
    """
    with vendors.write_transaction(using):
        for row in _rows(names, using):
            if row.paused_at is None:
                row.paused_at, row.paused_by = vendors.session(using).now_at(), by[:NAME_LENGTH]
                _write(row, using, by, "paused the queue %s")


def unpause(names: Iterable[str], *, using: str, by: str = "") -> None:
    """Let workers take runs of these queues again. Raise UnknownQueue before any is unpaused."""
    with vendors.write_transaction(using):
        for row in _rows(names, using):
            if row.paused_at is not None:
                row.paused_at, row.paused_by = None, ""
                _write(row, using, by, "unpaused the queue %s")


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED = _Unchanged.UNCHANGED


def limit(
    name: str,
    *,
    using: str,
    by: str = "",
    concurrency: int | _Unchanged | None = UNCHANGED,
    rate: Rate | str | _Unchanged | None = UNCHANGED,
) -> None:
    """Change what limits a queue, from the next claim on, whatever the settings say; None is no limit.

    Raise UnknownQueue, or InvalidLimit for a limit that cannot be kept.
    """
    changes: dict[str, Any] = {}
    if not isinstance(concurrency, _Unchanged):
        changes["concurrency"] = expect_count("concurrency", concurrency) or 0
    if not isinstance(rate, _Unchanged):
        changes["rate"] = NO_RATE if rate is None else str(Rate.of(rate))
    told = ", ".join(f"{column}={value or 'no limit'}" for column, value in changes.items())
    _change(name, changes, using, by, f"limited the queue %s to {told}")


def unlimit(name: str, *, using: str, by: str = "") -> None:
    """Let the settings alone say what limits a queue. Raise UnknownQueue."""
    _change(name, {"concurrency": None, "rate": ""}, using, by, "gave the limits of the queue %s back to the settings")


def _change(name: str, changes: Mapping[str, Any], using: str, by: str, deed: str) -> None:
    with vendors.write_transaction(using):
        (row,) = _rows([name], using)
        for column, value in changes.items():
            setattr(row, column, value)
        _write(row, using, by, deed)


def _rows(names: Iterable[str], using: str) -> list[Queue]:
    """Lock the rows of these queues, in the order of their names; a queue without a row gets one to be written."""
    wanted = sorted(set(names))
    known = queues_of(using)
    for name in wanted:
        _expect_known(name, known, using)
    rows = Queue.objects.using(using).select_for_update().order_by("name").in_bulk(wanted)
    return [rows.get(name) or Queue(name=name) for name in wanted]


def _expect_known(name: str, known: frozenset[str] | None, using: str) -> None:
    if not 0 < len(name) <= LONGEST_QUEUE or not name.isprintable():
        raise UnknownQueue(name[:LONGEST_QUEUE], f"A name has from 1 to {LONGEST_QUEUE} printable characters.")
    if known is None or name in known or Queue.objects.using(using).filter(pk=name).exists():
        return
    if not TaskRun.objects.using(using).filter(queue_name=name, finished_at=None).exists():
        raise UnknownQueue(name, nearest(name, list(known)))


def _write(row: Queue, using: str, by: str, deed: str) -> None:
    row.changed_at, row.changed_by = vendors.session(using).now_at(), by[:NAME_LENGTH]
    columns: dict[str, Any] = {
        field.attname: getattr(row, field.attname) for field in Queue._meta.concrete_fields if not field.primary_key
    }
    # Somebody else may have entered the same queue meanwhile: who comes last has the last word.
    Queue.objects.using(using).update_or_create(pk=row.name, defaults=columns)
    audit.note(by, deed % row.name, using=using)
    news = partial(signals.work_available.send, None, using=using, queue_name=row.name)
    tell(news, using)
