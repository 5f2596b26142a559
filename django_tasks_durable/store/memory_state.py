"""The state of a class workflow in this process's memory, seen and changed from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from django_tasks_durable.primitives.standing import Standing
from django_tasks_durable.primitives.status import UNHURRIED, RunStatus, WakeReason
from django_tasks_durable.primitives.writes import Line

from .memory_run import MemoryRun


def standing(run: MemoryRun) -> Standing:
    """Tell where a workflow stands."""
    return Standing(run_id=run.id, task_path=run.task_path, status=run.status, kwargs=run.kwargs, stage=run.stage)


class MemoryChange:
    """See StateChange. Made, filled and left under the store's lock; ``now`` is its instant."""

    def __init__(self, run: MemoryRun, now: datetime) -> None:
        self._run = run
        self._now = now
        self.standing = standing(run)

    def keep(self, state: str | None, lines: Sequence[Line], *, wakes: bool) -> None:
        """See StateChange.keep()."""
        run = self._run
        if state is not None:
            run.stage = replace(run.stage, state=state, version=run.stage.version + 1)
            run.inbox += 1
        run.lines.extend(lines)
        rests = run.status is RunStatus.WAITING or (run.status is RunStatus.READY and run.wake_reason in UNHURRIED)
        if wakes and rests:
            run.status, run.wake_reason, run.due_at = RunStatus.READY, WakeReason.MESSAGE, self._now
