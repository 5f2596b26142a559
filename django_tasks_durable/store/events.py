"""What anybody may tell all runs at once: an event, which answers every question that waits for it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import F

from django_tasks_durable import signals
from django_tasks_durable.exceptions import PayloadTooLarge
from django_tasks_durable.models import Step, TaskRun, Wait
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.names import check_name
from django_tasks_durable.primitives.status import OPEN, RunStatus, StepKind, WakeReason

from . import vendors
from .changes import NAME_LENGTH
from .news import tell

BATCH = 500


def broadcast(name: str, payload: Any = None, *, using: str, limit: int, by: str = "") -> int:
    """Answer every open wait for an event, in the caller's transaction, and return how many there were.

    A run that begins to wait later does not get it. Takes runs in batches, always in the order of their ids, so that two
    broadcasts cannot wait for each other. Raise InvalidKey for the name, NotSerializable or PayloadTooLarge (``limit``).
    """
    check_name(name)
    answer = codec.encode(payload, where="payload")
    if (size := len(answer.encode())) > limit:
        raise PayloadTooLarge("payload", size, limit)
    found, after = 0, UUID(int=0)
    with vendors.write_transaction(using):
        while run_ids := _listeners(name, after, using):
            found += _Telling(name, answer, using, by).tell(run_ids)
            after = run_ids[-1]
    return found


def _listeners(name: str, after: UUID, using: str) -> list[UUID]:
    waits = Wait.objects.using(using).filter(event=name, run_id__gt=after)
    return list(waits.order_by("run_id").values_list("run_id", flat=True).distinct()[:BATCH])


class _Telling:
    """One event told to one batch of runs, at one instant."""

    def __init__(self, name: str, answer: str, using: str, by: str) -> None:
        self.name = name
        self.answer = answer
        self.using = using
        self.by = by

    def tell(self, run_ids: Sequence[UUID]) -> int:
        """Lock the runs, then answer their waits. Return how many were answered."""
        runs = {run.pk: run for run in self._locked(run_ids)}
        at = vendors.session(self.using).now_at()
        waits = self._open(runs, at)
        heard: dict[UUID, list[Wait]] = defaultdict(list)
        for wait in waits:
            heard[wait.run_id].append(wait)
        Wait.objects.using(self.using).filter(pk__in=[wait.pk for wait in waits]).update(
            answer=self.answer, answered_at=at, answered_by=self.by[:NAME_LENGTH], event=""
        )
        self._wake([(runs[run_id], len(answered)) for run_id, answered in heard.items()], at)
        Step.objects.using(self.using).bulk_create(
            self._line(runs[run_id], number, wait, at)
            for run_id, answered in heard.items()
            for number, wait in enumerate(answered, 1)
        )
        self._announce([runs[run_id] for run_id in heard])
        return len(waits)

    def _locked(self, run_ids: Sequence[UUID]) -> Iterable[TaskRun]:
        weakly = connections[self.using].features.has_select_for_no_key_update
        rows = TaskRun.objects.using(self.using).filter(pk__in=run_ids, status__in=OPEN).order_by("pk")
        return rows.only("status", "queue_name", "last_sequence", "attempts").select_for_update(no_key=weakly)

    def _open(self, runs: Iterable[UUID], at: datetime) -> list[Wait]:
        """Read the waits that still take an answer, now that nobody else can give one.

        What is past its deadline never will, not even after a retry: no later broadcast looks at it again.
        """
        waits = Wait.objects.using(self.using).filter(run_id__in=list(runs), event=self.name)
        found = list(waits.only("run_id", "path", "deadline").order_by("run_id", "id"))
        late = {wait.pk for wait in found if wait.deadline is not None and wait.deadline <= at}
        if late:
            Wait.objects.using(self.using).filter(pk__in=late).update(event="")
        return [wait for wait in found if wait.pk not in late]

    def _wake(self, heard: Sequence[tuple[TaskRun, int]], at: datetime) -> None:
        groups: dict[tuple[bool, int], list[UUID]] = defaultdict(list)
        for run, count in heard:
            groups[run.status == RunStatus.WAITING, count].append(run.pk)
        for (is_waiting, count), run_ids in groups.items():
            woken = {"status": RunStatus.READY, "due_at": at, "wake_reason": WakeReason.MESSAGE} if is_waiting else {}
            TaskRun.objects.using(self.using).filter(pk__in=run_ids).update(
                inbox=F("inbox") + count, last_sequence=F("last_sequence") + count, version=F("version") + 1, **woken
            )

    def _line(self, run: TaskRun, number: int, wait: Wait, at: datetime) -> Step:
        return Step(
            run_id=run.pk,
            sequence=run.last_sequence + number,
            kind=StepKind.RESUMED,
            attempt=run.attempts,
            path=wait.path,
            data=json.dumps({"act": "broadcast", "by": self.by}) if self.by else "",
            created_at=at,
        )

    def _announce(self, runs: Sequence[TaskRun]) -> None:
        if not runs:
            return
        news = [partial(signals.run_changed.send, None, using=self.using, run_ids=[run.pk for run in runs])]
        for queue_name in {run.queue_name for run in runs}:
            news.append(partial(signals.work_available.send, None, using=self.using, queue_name=queue_name))
        for each in news:
            tell(each, self.using)
