"""Acts that people ask for in the admin: who may, what is called, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots.policy import PERMISSIONS as PERMISSIONS
from django_tasks_durable.snapshots.shapes import Act
from django_tasks_durable.store import control, forks

# What cannot be undone, or begins something new, is asked about on a page of its own.
CONFIRMED = frozenset({Act.CANCEL, Act.COPY, Act.FORK})
DONE = {
    Act.CANCEL: _("The task was cancelled, or will be at its next step."),
    Act.RETRY: _("The task will be run again; finished steps are not repeated."),
    Act.RESUME: _("The answer was given; the task goes on."),
    Act.RUN_NOW: _("The task is due now."),
    Act.COPY: _("This is the copy; it begins anew with the same arguments."),
    Act.FORK: _("This is the fork; it goes on from the chosen place."),
}

# Written to the admin's history, which stores and translates nothing.
LOGGED = {
    Act.CANCEL: "Cancelled the task.",
    Act.RETRY: "Retried the task.",
    Act.RESUME: "Answered the task.",
    Act.RUN_NOW: "Made the task due now.",
    Act.COPY: "Ran the task again as a copy.",
    Act.FORK: "Forked the task.",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one act on one run. ``refusal`` is empty when it was done; ``made`` is the run that it made."""

    run_id: UUID
    refusal: str = ""
    made: UUID | None = None

    @property
    def is_done(self) -> bool:
        """Whether the act was done."""
        return not self.refusal


def perform(act: Act, run_id: UUID, *, using: str, by: str, **details: Any) -> Outcome:
    """Do one act to one run and tell what became of it."""
    calls: dict[Act, Callable[..., RunStatus | UUID]] = {
        Act.CANCEL: control.cancel,
        Act.RETRY: control.retry,
        Act.RESUME: control.resume,
        Act.RUN_NOW: control.run_now,
        Act.COPY: forks.copy,
        Act.FORK: forks.fork,
    }
    try:
        answer = calls[act](run_id, using=using, by=by, **details)
    except DurableError as error:
        return Outcome(run_id=run_id, refusal=str(error))
    return Outcome(run_id=run_id, made=answer if isinstance(answer, UUID) else None)


def may(user: Any, act: Act) -> bool:
    """Tell whether a user may do an act."""
    return bool(user.has_perm(PERMISSIONS[act]))


def named(slug: str) -> Act | None:
    """Return the act that an address names."""
    return next((known for known in Act if known.slug == slug), None)
