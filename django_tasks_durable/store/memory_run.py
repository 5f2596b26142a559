"""One run in this process's memory, and how what an attempt hands over changes it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django_tasks_durable.authoring.options import keeps_every_line
from django_tasks_durable.exceptions import AmbiguousResume, NotWaiting
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.marks import POLLED, TRY
from django_tasks_durable.primitives.status import FINISHED, RunStatus, StepKind, WakeReason
from django_tasks_durable.primitives.writes import (
    UNSTAGED,
    Awaited,
    CheckpointRecord,
    ClaimedRun,
    Line,
    MessageRecord,
    Stage,
    StateRecord,
    WaitRecord,
    WaitRequest,
)

from .deltas import Delta


@dataclass(slots=True, kw_only=True)
class MemoryRun:
    """One run, with all that the database would hold of it. ``lines`` is its timeline, in sequence from 1."""

    id: UUID
    name: str
    task_path: str
    args: str
    kwargs: str
    options: str
    backend: str
    queue_name: str
    priority: int
    max_attempts: int
    enqueued_at: datetime
    run_after: datetime | None
    due_at: datetime | None
    status: RunStatus = RunStatus.READY
    wake_reason: WakeReason = WakeReason.NONE
    token: int = 0
    attempts: int = 0
    crashes: int = 0
    inbox: int = 0
    code_version: int = 1
    metadata: str = "{}"
    worker_ids: str = "[]"
    errors: str = "[]"
    error_code: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: str | None = None
    percent: float | None = None
    label: str = ""
    meta: str = ""
    cancel_requested: bool = False
    parent_id: UUID | None = None
    outlives_parent: bool = False
    awaited: tuple[Awaited, ...] = ()
    stage: Stage = UNSTAGED
    claimed: ClaimedRun | None = None
    lines: list[Line] = field(default_factory=list)
    checkpoints: dict[str, CheckpointRecord] = field(default_factory=dict)
    waits: dict[str, WaitRecord] = field(default_factory=dict)
    messages: dict[int, MessageRecord] = field(default_factory=dict)
    sent: int = 0

    @property
    def partials(self) -> list[Any]:
        """The partial results, in order."""
        return [codec.decode(line.data) for line in self.lines if line.kind is StepKind.PARTIAL]

    @property
    def open_waits(self) -> list[WaitRecord]:
        """The questions that nobody has answered and that the run has not gone on without."""
        return [wait for wait in self.waits.values() if wait.answer is None and wait.path not in self.checkpoints]

    def wait_for(self, token: str | None, path: str | None = None) -> WaitRecord:
        """Choose the question that an answer is for. Raise NotWaiting, or AmbiguousResume without a token or path."""
        is_over = self.status in FINISHED
        state = self.status.lower()
        if token is not None or path is not None:
            chosen = next(
                (wait for wait in self.waits.values() if token in (None, wait.token) and path in (None, wait.path)),
                None,
            )
            if chosen is None or (chosen.answer is None and (is_over or chosen.path in self.checkpoints)):
                raise NotWaiting(self.name, state, token or path)
            return chosen
        unread = [] if is_over else [wait for wait in self.waits.values() if wait.path not in self.checkpoints]
        candidates = [wait for wait in unread if wait.answer is None] or unread[-1:]
        if not candidates:
            raise NotWaiting(self.name, state)
        if len(candidates) > 1:
            raise AmbiguousResume(self.name, [(wait.path, wait.token) for wait in candidates])
        return candidates[0]


def first_lines(options: str) -> list[Line]:
    """Return the timeline of a run that was enqueued with these options."""
    return [Line(kind=StepKind.ENQUEUED)] if keeps_every_line(options) else []


def merge(run: MemoryRun, delta: Delta, status: RunStatus | None, now: datetime) -> None:
    """Change a run by what an attempt handed over; ``status`` is None while the attempt goes on."""
    if delta.rewritten is not None:
        run.code_version = delta.rewritten.code_version
        run.checkpoints.clear()
        run.waits = {wait.path: wait for wait in delta.rewritten.waits}
    if any(record.path in run.checkpoints for record in delta.checkpoints):
        raise AssertionError(f"Run {run.id}: a checkpoint is never changed.")
    for path in delta.forget:
        for known in [
            each for each in run.checkpoints if each == path or each.startswith((f"{path}{TRY}", f"{path}{POLLED}"))
        ]:
            del run.checkpoints[known]
    for path in delta.abandon:
        if (wait := run.waits.get(path)) is not None and wait.answer is None:
            del run.waits[path]
    if delta.state is not None:
        run.stage = _entered(run, delta, delta.state)
    run.checkpoints.update((record.path, record) for record in delta.checkpoints)
    run.waits.update((wait.path, _opened(wait)) for wait in delta.waits)
    for message_id, _ in delta.consumed:
        del run.messages[message_id]
    run.lines.extend(delta.lines)
    if delta.started:
        run.status = RunStatus.RUNNING
        run.started_at = run.started_at or now
    if delta.checkpoints:
        run.crashes = 0
    if delta.lost is not None:
        run.crashes += 1
    run.percent = run.percent if delta.percent is None else delta.percent
    run.label = run.label if delta.label is None else delta.label
    run.meta = run.meta if delta.meta is None else delta.meta
    if status is not None:
        _end(run, delta, status, now)


def _entered(run: MemoryRun, delta: Delta, state: StateRecord) -> Stage:
    before = run.stage
    return Stage(
        state=before.state if state.state is None else state.state,
        step=state.step,
        visit=state.visit,
        sequence=before.sequence if delta.lines_before_visit is None else len(run.lines) + delta.lines_before_visit,
        version=before.version,
    )


def _end(run: MemoryRun, delta: Delta, status: RunStatus, now: datetime) -> None:
    run.status, run.wake_reason, run.error_code = status, delta.reason, delta.error_code
    run.due_at = delta.due_at or (now if status is RunStatus.READY else None)
    run.result = delta.result
    run.awaited = delta.awaited
    if delta.attempts:
        run.attempts += delta.attempts
        run.errors, run.worker_ids, run.crashes = delta.errors or "[]", delta.worker_ids or "[]", 0
        if status is RunStatus.READY:  # the next attempt tells its own progress
            run.percent, run.label, run.meta = None, "", ""
    if status in FINISHED:
        run.finished_at = now


def _opened(wait: WaitRequest) -> WaitRecord:
    return WaitRecord(**{each.name: getattr(wait, each.name) for each in fields(wait)})
