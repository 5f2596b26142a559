"""Acting on one task: each act is one call of the store, by somebody who may."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from django_tasks_durable.backend import answering
from django_tasks_durable.exceptions import AmbiguousResume, InvalidTransition, UnknownPath
from django_tasks_durable.primitives.status import FINISHED, RunStatus
from django_tasks_durable.snapshots import policy, waits
from django_tasks_durable.snapshots.parts import WaitSnapshot
from django_tasks_durable.snapshots.shapes import Act, RunSnapshot
from django_tasks_durable.store import control, forks, messages

from . import bodies, errors, shapes
from .base import TasksView
from .schema import documented


class CancelView(TasksView):
    """Cancelling."""

    acting = policy.PERMISSIONS[Act.CANCEL]

    @documented(
        "Cancel a task; one that runs ends at its next step.",
        shapes.WholeTask,
        status=(200, 202),
        body=bodies.Reason,
        refusals=(404, 409),
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the task as it is then: 202 while it has still to end."""
        reason = self.given(bodies.Reason)["reason"]
        run = self.run_of(run_id)
        status = control.cancel(run.id, using=self.using, reason=reason, by=self.by)
        if status in FINISHED and status is not RunStatus.CANCELLED:
            raise InvalidTransition(run.id, "cancel", run.state.value)
        return self.shown(run.id, status=200 if status is RunStatus.CANCELLED else 202)


class RetryView(TasksView):
    """Retrying."""

    acting = policy.PERMISSIONS[Act.RETRY]

    @documented(
        "Run a failed or cancelled task again from its checkpoints.",
        shapes.WholeTask,
        status=202,
        body=bodies.NothingSaid,
        refusals=(404, 409),
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the task as it is then."""
        self.given(bodies.NothingSaid)
        run = self.run_of(run_id)
        control.retry(run.id, using=self.using, by=self.by)
        return self.shown(run.id, status=202)


class RunNowView(TasksView):
    """Hurrying."""

    acting = policy.PERMISSIONS[Act.RUN_NOW]

    @documented(
        "Make a delayed task due now.", shapes.WholeTask, status=202, body=bodies.NothingSaid, refusals=(404, 409)
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the task as it is then."""
        self.given(bodies.NothingSaid)
        run = self.run_of(run_id)
        control.run_now(run.id, using=self.using, by=self.by)
        return self.shown(run.id, status=202)


class CopyView(TasksView):
    """Running again beside what was."""

    acting = policy.PERMISSIONS[Act.COPY]

    @documented(
        "Enqueue the call of a task again, with nothing of its history.",
        shapes.WholeTask,
        status=202,
        body=bodies.NothingSaid,
        refusals=(404,),
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the copy."""
        self.given(bodies.NothingSaid)
        run = self.run_of(run_id)
        return self.made(forks.copy(run.id, using=self.using, by=self.by))


class ForkView(TasksView):
    """Going on from another place."""

    acting = policy.PERMISSIONS[Act.FORK]

    @documented(
        "Start a task that goes on from a place in the history of this one.",
        shapes.WholeTask,
        status=202,
        body=bodies.Place,
        refusals=(404, 409),
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the fork."""
        said = self.given(bodies.Place)
        run = self.run_of(run_id)
        return self.made(forks.fork(run.id, said["path"], values=said["values"], using=self.using, by=self.by))


class ResumeView(TasksView):
    """Answering."""

    acting = policy.PERMISSIONS[Act.RESUME]

    @documented(
        "Answer a question of a task.", shapes.WholeTask, status=202, body=bodies.Answer, refusals=(404, 409, 413)
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the task as it is then. The first answer stands, and the same again changes nothing."""
        said = self.given(bodies.Answer)
        run = self.run_of(run_id)
        try:
            wait = self._wait(run, said["path"])
        except AmbiguousResume as several:
            return self._ambiguous(several)
        answering.expect_permitted(wait, request.user)
        value = answering.in_form(wait, said["value"])
        control.resume(run.id, value, token=wait.token, using=self.using, by=self.by)
        return self.shown(run.id, status=202)

    def _wait(self, run: RunSnapshot, path: str) -> WaitSnapshot:
        if not path:
            return answering.question_for(run.id, None, using=self.using)
        wait = waits.wait_at(run.id, path, using=self.using)
        if wait is None:
            raise UnknownPath(run.id, path, [each.path for each in waits.waits(run.id, using=self.using)])
        return wait

    def _ambiguous(self, several: AmbiguousResume) -> Response:
        paths = several.paths
        said = f"The task waits for {len(paths)} answers; name the path of one: {', '.join(paths)}."
        return Response(errors.problem(AmbiguousResume.code, said, paths=paths), status=409)


class SignalView(TasksView):
    """Sending messages."""

    acting = policy.MESSAGE

    @documented(
        "Send a task a message, which it receives by name.",
        shapes.WholeTask,
        status=202,
        body=bodies.Signal,
        refusals=(404, 409),
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Answer with the task as it is then."""
        said = self.given(bodies.Signal)
        run = self.run_of(run_id)
        messages.send(run.id, said["name"], said["payload"], using=self.using, by=self.by)
        return self.shown(run.id, status=202)
