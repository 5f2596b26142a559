"""What a run asks a person for: a value, from somebody who may give it, in the form that it asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.forms import BaseForm

from django_tasks_durable.authoring.forms import name_of
from django_tasks_durable.primitives.status import CheckpointKind

from .effects import Act
from .frame import Frame
from .replay import Perform
from .waits import Question, settle

LONGEST_PERMISSION = 255


def approval(
    frame: Frame,
    key: str,
    request: Any,
    *,
    permission: str | None,
    form: str | type[BaseForm] | None,
    timeout: timedelta | None,
    default: Any,
) -> Act[Any]:
    """Ask for a value. Permission and form are decided once, when the question is put."""
    place = frame.begin("approval", key)
    try:
        decision = frame.decide(place, CheckpointKind.WAIT)
        asks_anew = isinstance(decision, Perform)
        question = Question(
            kind="approval",
            key=key,
            request=request,
            timeout=timeout,
            default=default,
            permission=_checked(permission) if asks_anew and permission is not None else "",
            form=name_of(form) if asks_anew and form is not None else "",
        )
        return (yield from settle(frame, place, question, decision))
    finally:
        frame.end()


def _checked(permission: str) -> str:
    app, dot, codename = permission.partition(".") if isinstance(permission, str) else ("", "", "")
    if not (app and dot and codename) or len(permission) > LONGEST_PERMISSION:
        raise ValueError(f"permission={permission!r}: give it as 'app_label.codename'.")
    return permission
