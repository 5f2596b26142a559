"""What may be done to the state of a class workflow from outside: look at it, and change it under the row's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from django_tasks_durable.exceptions import RunNotFound
from django_tasks_durable.models import TaskRun
from django_tasks_durable.primitives.standing import Standing, StateChange
from django_tasks_durable.primitives.status import FINISHED, UNHURRIED, RunStatus, WakeReason
from django_tasks_durable.primitives.writes import Line, Stage

from . import changes

COLUMNS = (
    "task_path", "status", "kwargs", "workflow_state", "workflow_step", "visit", "visit_sequence", "state_version",
)  # fmt: skip


def look(run_id: UUID, *, using: str) -> Standing:
    """Read where a workflow stands, without a lock. Raise RunNotFound."""
    try:
        return _standing(TaskRun.objects.using(using).only(*COLUMNS).get(pk=run_id))
    except TaskRun.DoesNotExist:
        raise RunNotFound(run_id) from None


@contextmanager
def changing(run_id: UUID, *, using: str, by: str = "") -> Iterator[StateChange]:
    """Lock a run and hand out the change to fill; an error writes nothing. Joins the caller's transaction.

    Raise RunNotFound, or InvalidTransition for a run that has ended.
    """
    with changes.changing(run_id, using, act="change the state", by=by) as change:
        if change.run.status in FINISHED:
            raise change.refusal()
        yield _Change(change)


class _Change:
    """See StateChange."""

    def __init__(self, change: changes.Change) -> None:
        self._change = change
        self.standing = _standing(change.run)

    def keep(self, state: str | None, lines: Sequence[Line], *, wakes: bool) -> None:
        """See StateChange.keep()."""
        run = self._change.run
        if state is not None:
            self._change.set(workflow_state=state, state_version=run.state_version + 1, inbox=run.inbox + 1)
        for line in lines:
            self._change.say(line.kind, line.message, level=line.level, path=line.path, data=line.data)
        if not wakes:
            return
        if run.status == RunStatus.WAITING:
            self._change.move(RunStatus.READY)
            self._change.wake(WakeReason.MESSAGE)
        elif run.status == RunStatus.READY and run.wake_reason in UNHURRIED:
            self._change.wake(WakeReason.MESSAGE)


def _standing(run: TaskRun) -> Standing:
    return Standing(
        run_id=run.id,
        task_path=run.task_path,
        status=RunStatus(run.status),
        kwargs="{}" if run.workflow_state is not None else run.kwargs,
        stage=Stage(
            state=run.workflow_state,
            step=run.workflow_step,
            visit=run.visit,
            sequence=run.visit_sequence,
            version=run.state_version,
        ),
    )
