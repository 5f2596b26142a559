"""Acts that people ask for in the admin: who may, what is called, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots.shapes import Act
from django_tasks_durable.store import control

PERMISSIONS = {
    Act.CANCEL: "durable_tasks.cancel_task",
    Act.RETRY: "durable_tasks.retry_task",
    Act.RESUME: "durable_tasks.resume_task",
    Act.RUN_NOW: "durable_tasks.retry_task",
}
DONE = {
    Act.CANCEL: _("The task was cancelled, or will be at its next step."),
    Act.RETRY: _("The task will be run again; finished steps are not repeated."),
    Act.RESUME: _("The answer was given; the task goes on."),
    Act.RUN_NOW: _("The task is due now."),
}

# Written to the admin's history, which stores and translates nothing.
LOGGED = {
    Act.CANCEL: "Cancelled the task.",
    Act.RETRY: "Retried the task.",
    Act.RESUME: "Answered the task.",
    Act.RUN_NOW: "Made the task due now.",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one act on one run. ``refusal`` is empty when it was done."""

    run_id: UUID
    refusal: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the act was done."""
        return not self.refusal


def perform(act: Act, run_id: UUID, *, using: str, by: str, **details: Any) -> Outcome:
    """Do one act to one run and tell what became of it."""
    calls: dict[Act, Callable[..., RunStatus]] = {
        Act.CANCEL: control.cancel,
        Act.RETRY: control.retry,
        Act.RESUME: control.resume,
        Act.RUN_NOW: control.run_now,
    }
    try:
        calls[act](run_id, using=using, by=by, **details)
    except DurableError as error:
        return Outcome(run_id=run_id, refusal=str(error))
    return Outcome(run_id=run_id)
