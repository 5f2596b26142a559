"""What one user may see of tasks and answer, as JSON: the tools of the server, without its protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django_tasks_durable.backend import answering
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import AmbiguousResume, DurableError, MayNotAnswer, UnknownPath
from django_tasks_durable.primitives.status import State
from django_tasks_durable.snapshots import narrowing, policy, read, waits
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.store import control

MOST = 100
LINES = 200

Told = dict[str, Any]


class NobodyThere(DurableError):
    """The user on whose behalf somebody asks is not there, or may not see tasks."""

    code = "FORBIDDEN"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name!r} is no active user with the permission {policy.VIEW}.")


class Desk:
    """Looks and answers for a user, who is looked up at each call: what was taken away meanwhile is gone."""

    def __init__(self, name: str, *, backend: str) -> None:
        self.name = name
        self.backend = backend
        self.using = get_options(backend).database

    @property
    def user(self) -> policy.User:
        """The user. Raise NobodyThere."""
        user = policy.user_named(self.name)
        if user is None or not policy.may(user, policy.VIEW):
            raise NobodyThere(self.name)
        return user

    def list_tasks(self, *, state: str = "", task: str = "", queue: str = "", limit: int = 20) -> Told:
        """Return the newest runs that fit."""
        user = self.user
        queryset = policy.visible_to(user, read.runs(using=self.using))
        if state:
            queryset = narrowing.in_state(queryset, _state(state))
        if task:
            queryset = queryset.filter(task_path__startswith=task)
        if queue:
            queryset = queryset.filter(queue_name=queue)
        veil = self._veil(user)
        found = read.summaries(queryset.order_by("-id")[: _at_most(limit)])
        return {"tasks": [run.as_dict(show=veil) for run in found]}

    def show_task(self, task_id: str, *, lines: int = 50) -> Told:
        """Return a run with its steps, the last lines of its timeline and its questions. Raise RunNotFound."""
        user = self.user
        veil = self._veil(user)
        run = read.one(task_id, using=self.using, narrow=partial(policy.visible_to, user))
        after = max(run.first_sequence - 1, run.last_sequence - min(max(lines, 1), LINES))
        timeline = read.timeline(run.id, after=after, limit=LINES, using=self.using)
        asked = waits.waits(run.id, using=self.using)
        return {
            "task": run.as_dict(show=veil),
            "checkpoints": [each.as_dict(show=veil) for each in read.checkpoints(run.id, limit=MOST, using=self.using)],
            "timeline": [line.as_dict(show=veil) for line in timeline],
            "questions": [wait.as_dict(show=veil, ask=_asking(wait, user, veil)) for wait in asked],
        }

    def list_questions(self, *, limit: int = 20) -> Told:
        """Return the open questions, the oldest first."""
        user = self.user
        veil = self._veil(user)
        seen = policy.visible_to(user, read.runs(using=self.using))
        found = waits.inbox(seen, limit=_at_most(limit), using=self.using)
        return {"questions": [each.as_dict(show=veil, ask=_asking(each.wait, user, veil)) for each in found]}

    def answer_question(self, task_id: str, value: Any, *, path: str = "") -> Told:
        """Answer a question of a run as the user, and return the run as it is then.

        Raise MayNotAnswer, InvalidAnswer, AlreadyResolved, NotWaiting, UnknownPath, RunNotFound, or ValueError where it is
        not clear which.
        """
        user = self.user
        resume = policy.PERMISSIONS[Act.RESUME]
        if not policy.may(user, resume):
            raise MayNotAnswer(resume, self.name)
        narrow = partial(policy.visible_to, user)
        run = read.one(task_id, using=self.using, narrow=narrow)
        wait = self._question(run, path)
        answering.expect_permitted(wait, user)
        answer = answering.in_form(wait, value)
        control.resume(run.id, answer, token=wait.token, using=self.using, by=self.name)
        return {"task": read.one(run.id, using=self.using, narrow=narrow).as_dict(show=self._veil(user))}

    def _question(self, run: RunSnapshot, path: str) -> WaitSnapshot:
        """Return the question that is meant."""
        if not path:
            try:
                return answering.question_for(run.id, None, using=self.using)
            except AmbiguousResume as several:
                paths = " or ".join(several.paths)
                raise ValueError(
                    f"The task waits for {len(several.paths)} answers: give the path of one, {paths}."
                ) from None
        wait = waits.wait_at(run.id, path, using=self.using)
        if wait is None:
            raise UnknownPath(run.id, path, [each.path for each in waits.waits(run.id, using=self.using)])
        return wait

    def _veil(self, user: policy.User) -> policy.Veil:
        return policy.veil(user, keys=get_options(self.backend).redact_keys)


def _asking(wait: WaitSnapshot, user: policy.User, veil: policy.Veil) -> Callable[[Any], Any] | None:
    may = policy.may(user, policy.PERMISSIONS[Act.RESUME]) and policy.may_answer(user, wait.permission)
    return veil.masked if may else None


def _state(name: str) -> State:
    if name not in State.values:
        raise ValueError(f"There is no state {name!r}: give one of {', '.join(State.values)}.")
    return State(name)


def _at_most(limit: int) -> int:
    return min(max(limit, 1), MOST)
