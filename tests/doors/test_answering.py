"""An answer through a door is for one question that was looked at, whatever is asked or answered meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from django_tasks_durable.exceptions import DurableError
from django_tasks_durable.management.mcp.desk import Desk
from django_tasks_durable.models import TaskRun, Wait
from django_tasks_durable.primitives.status import RunStatus
from django_tasks_durable.snapshots import waits

from . import callers, rows

pytestmark = pytest.mark.django_db


def over_rest(run: TaskRun, value: Any) -> str:
    """Answer as ann, and return what is said to it."""
    caller = callers.Caller(User.objects.get(username="ann"))
    return str(caller.post(f"{run.pk}/resume/", {"value": value}).content.decode())


def by_command(run: TaskRun, value: Any) -> str:
    """See over_rest()."""
    out = StringIO()
    try:
        call_command("tasks", "resume", str(run.pk), json.dumps(value), "--user", "ann", stdout=out)
    except CommandError as error:
        return f"{out.getvalue()} {error}"
    return out.getvalue()


def by_assistant(run: TaskRun, value: Any) -> str:
    """See over_rest()."""
    try:
        return json.dumps(Desk("ann", backend="default").answer_question(str(run.pk), value))
    except (DurableError, ValueError) as error:
        return str(error)


@pytest.fixture(params=[over_rest, by_command, by_assistant])
def answer(request: pytest.FixtureRequest) -> Callable[[TaskRun, Any], str]:
    """Answer through each door as ann, who may answer, and has no permission besides."""
    callers.a_user("ann", "view_taskrun", "resume_task")
    return request.param  # type: ignore[no-any-return]


def test_a_question_that_was_not_there_when_it_was_looked_for_is_not_answered(
    answer: Callable[[TaskRun, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rows.a_waiting_run()
    Wait.objects.update(permission="auth.change_user")
    monkeypatch.setattr(waits, "waits", lambda run_id, *, using: [])
    assert "does not wait for an answer" in answer(run, True)
    assert Wait.objects.get().answer is None


def test_the_same_answer_again_takes_the_permission_too(answer: Callable[[TaskRun, Any], str]) -> None:
    run = rows.a_waiting_run()
    TaskRun.objects.update(status=RunStatus.READY, due_at=rows.AT)
    Wait.objects.update(answer="true", answered_at=rows.AT, permission="auth.change_user")
    assert "auth.change_user" in answer(run, True)
    Wait.objects.update(permission="")
    assert "queued" in answer(run, True)
    assert "The first answer stands" in answer(run, False)


def test_of_several_questions_none_is_chosen(answer: Callable[[TaskRun, Any], str]) -> None:
    run = rows.a_waiting_run("first", "second")
    said = answer(run, True)
    assert "wait:0" in said
    assert "wait:1" in said
    assert set(Wait.objects.values_list("answer", flat=True)) == {None}


def test_what_has_been_answered_and_taken_up_takes_no_answer(answer: Callable[[TaskRun, Any], str]) -> None:
    run = rows.a_waiting_run(status=RunStatus.SUCCESSFUL, finished_at=rows.later(9), result="1")
    assert "does not wait for an answer" in answer(run, True)
