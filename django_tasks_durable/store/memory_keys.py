"""The names that runs in this process's memory hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django_tasks_durable.authoring.keys import DEBOUNCE, REJECT
from django_tasks_durable.exceptions import DuplicateTask, IdempotencyConflict, Superseded
from django_tasks_durable.primitives.keys import Key, KeyKind
from django_tasks_durable.primitives.status import FINISHED, Level, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import Line

from .memory_run import MemoryRun
from .unique import Call

Runs = Mapping[UUID, MemoryRun]


@dataclass(frozen=True, slots=True)
class _Held:
    run_id: UUID
    digest: str
    until: datetime | None


class MemoryKeys:
    """Which run a call with keys stands for. A name is held while its run is open, an idempotency key for its window too.

    A run's own name (``run_id``) is the store's business.
    """

    def __init__(self) -> None:
        self._held: dict[Key, _Held] = {}

    def find(self, call: Call, runs: Runs, now: datetime) -> UUID | None:
        """Return the run that a call stands for, if there is one. Raise DuplicateTask or IdempotencyConflict."""
        return self._asked_before(call, runs, now) or self._duplicate(call, runs, now)

    def _asked_before(self, call: Call, runs: Runs, now: datetime) -> UUID | None:
        named = call.names.get(KeyKind.IDEMPOTENCY)
        held = None if named is None else self._held.get(named.key)
        if named is None or held is None:
            return None
        is_open = runs[held.run_id].status not in FINISHED
        if not is_open and (held.until is None or held.until <= now):
            return None
        if held.digest != named.digest:
            raise IdempotencyConflict(named.text, held.run_id, is_open=is_open)
        return held.run_id

    def _duplicate(self, call: Call, runs: Runs, now: datetime) -> UUID | None:
        run = self._open_run(call, KeyKind.DEDUPE, runs)
        if run is None:
            return None
        if call.keys.on_duplicate == REJECT:
            raise DuplicateTask(call.names[KeyKind.DEDUPE].text, run.name)
        if call.keys.on_duplicate == DEBOUNCE:
            if run.status is not RunStatus.READY or run.token:
                return None
            assert call.keys.debounce is not None, "only a debounced run is put off"
            run.args, run.kwargs = call.args, call.kwargs
            run.due_at = min(now + call.keys.debounce, run.enqueued_at + call.keys.longest_wait)
            run.lines.append(Line(kind=StepKind.ENQUEUED, message="Enqueued again: put off, with new arguments"))
        return run.id

    def take(self, call: Call, run_id: UUID, runs: Runs, now: datetime) -> None:
        """Give the names of a call to its new run, and cancel the run that it takes the place of."""
        victim = self._open_run(call, KeyKind.SUPERSEDE, runs)
        if victim is not None:
            victim.status, victim.wake_reason, victim.error_code = RunStatus.CANCELLED, WakeReason.NONE, Superseded.code
            victim.due_at, victim.finished_at, victim.cancel_requested = None, now, True
            line = Line(kind=StepKind.CANCELLED, level=Level.WARN, message=f"Superseded by {run_id}")
            victim.lines.append(line)
        for named in call.names.values():
            self._held[named.key] = _Held(run_id, named.digest, now + named.keeps if named.keeps else None)

    def _open_run(self, call: Call, kind: KeyKind, runs: Runs) -> MemoryRun | None:
        named = call.names.get(kind)
        held = None if named is None else self._held.get(named.key)
        run = None if held is None else runs[held.run_id]
        return None if run is None or run.status in FINISHED else run
