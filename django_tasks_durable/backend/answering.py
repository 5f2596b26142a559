"""How a person answers through a door: with the permission and in the form that the question asks for.

Code that calls ``result.resume()`` answers for itself and is asked for neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_tasks_durable.authoring.forms import form_named, value_of
from django_tasks_durable.exceptions import AmbiguousResume, InvalidAnswer, MayNotAnswer, NotWaiting

if TYPE_CHECKING:
    from django_tasks_durable.snapshots.parts import WaitSnapshot
    from django_tasks_durable.snapshots.policy import User


def question_for(run_id: UUID, token: str | None, *, using: str) -> WaitSnapshot:
    """Return the question that an answer is for: the one with the token, else the only open one.

    Where none is open, it is the newest whose answer the run has not taken up: the same answer may be given again.
    Raise RunNotFound, NotWaiting, or AmbiguousResume.
    """
    from django_tasks_durable.snapshots import read, waits  # imports models, see backend.py

    if token is not None:
        wait = waits.wait_of(run_id, token, using=using)
    else:
        pending = waits.waits(run_id, using=using)
        if len(pending) > 1:
            raise AmbiguousResume(run_id, [(each.path, each.token) for each in pending])
        wait = pending[0] if pending else waits.answered_last(run_id, using=using)
    if wait is None:
        raise NotWaiting(run_id, read.one(run_id, using=using).state.value, token)
    return wait


def expect_permitted(wait: WaitSnapshot, user: User) -> None:
    """Raise MayNotAnswer for somebody who lacks the permission that a question asks for."""
    from django_tasks_durable.snapshots import policy  # imports models, see backend.py

    if not policy.may_answer(user, wait.permission):
        raise MayNotAnswer(wait.permission, user.get_username())


def in_form(wait: WaitSnapshot, said: Any) -> Any:
    """Return the answer that a question's form makes of what was said; as it was said where there is no form.

    Raise UnknownForm, or InvalidAnswer.
    """
    if not wait.form:
        return said
    form = form_named(wait.form)
    if not isinstance(said, Mapping):
        raise InvalidAnswer({"__all__": ["Give an object with the form's fields."]})
    return value_of(form(said))
