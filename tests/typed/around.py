"""What stands around tasks, as its users write it: no type checker has a word to say about it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.dispatch import receiver
from django.urls import include, path
from django.utils.decorators import sync_and_async_middleware

from django_tasks_durable import exceptions, logs, middleware, sentry, signals, task, telemetry, testing
from django_tasks_durable.authoring.flow import generate, read_flow
from django_tasks_durable.backend.results import DurableTaskResult
from django_tasks_durable.conf import Options
from django_tasks_durable.executors.base import Carried, Executor
from django_tasks_durable.live.routing import websocket_urlpatterns
from django_tasks_durable.live.tracker import Tracker
from django_tasks_durable.snapshots.bootstrap import TaskQuery, bootstrap
from django_tasks_durable.snapshots.charts import Window, chart

urlpatterns = [
    path("api/tasks/", include("django_tasks_durable.api.urls")),
    path("answers/", include("django_tasks_durable.answers.urls")),
]
application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))


@task
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@sync_and_async_middleware
def told(get_outcome: middleware.GetOutcome) -> middleware.GetOutcome:
    """Stand around attempts, with the ones that come ready further out."""
    inner = middleware.language_and_time_zone(middleware.enqueued_by(get_outcome))
    return sentry.sentry(telemetry.opentelemetry(inner))


def queue_of(context: middleware.EnqueueContext | middleware.AttemptContext) -> str:
    """Read what a middleware is given."""
    return context.task.queue_name


MIDDLEWARE = [middleware.remember_request]


def set_up_logging(handler: logging.Handler) -> None:
    """Let each line say which run it is about."""
    handler.addFilter(logs.RunFilter())
    handler.setFormatter(logs.JsonLines())


@receiver(signals.lifecycle)
def entry_came(entry: Any, **kwargs: Any) -> None:
    """Hear of a run's life."""


for signal in (
    signals.run_changed,
    signals.work_available,
    signals.step_completed,
    signals.run_started,
    signals.run_ended,
):
    signal.connect(entry_came)


def follow(frames: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep a copy of tasks."""
    tracker = Tracker("mine")
    for frame in frames:
        tracker.apply(frame)
    return tracker.tasks


def look(result: DurableTaskResult[[int, int], int]) -> int:
    """Read what the admin reads."""
    seen = bootstrap(TaskQuery(ids=[result.run_id]), using="default")
    drawn = chart(Window.DAY, using="default")
    return len(seen.runs) + len(drawn.points) + result.return_value


def scaffold(text: str) -> str:
    """Make a workflow of a flow."""
    return generate(read_flow(text), "flow.json").text


class Mine:
    """Carries attempts one after the other."""

    can_kill = False

    def __init__(self, slots: int, options: Options) -> None:
        self.slots = slots

    def start(self) -> None:
        """Begin."""

    def hand_over(self, batch: Iterable[Carried]) -> None:
        """Take runs."""
        for carried in batch:
            carried.begin()

    def stop(self) -> None:
        """End."""


def carrying(options: Options) -> Executor:
    """Hand it to the worker."""
    return Mine(1, options)


def in_a_test() -> None:
    """Look at what a test may expect."""
    with testing.frozen():
        try:
            look(add.enqueue(1, 2))
        except exceptions.DurableError as error:
            raise AssertionError(error.code) from error


EXCEPTIONS: tuple[type[BaseException], ...] = (
    exceptions.AlreadyAttached,
    exceptions.AlreadyResolved,
    exceptions.AlreadyRunning,
    exceptions.AmbiguousResume,
    exceptions.AttemptBroken,
    exceptions.BadLink,
    exceptions.ChildCancelled,
    exceptions.ChildFailed,
    exceptions.CommandFailed,
    exceptions.CompensationLost,
    exceptions.ConcurrentScope,
    exceptions.ControlFlow,
    exceptions.CpuTimeExceeded,
    exceptions.DatabaseAway,
    exceptions.DeadlinePassed,
    exceptions.Drift,
    exceptions.DuplicateTask,
    exceptions.DurableError,
    exceptions.EndOfHistory,
    exceptions.ExecutorUnfit,
    exceptions.FileChanged,
    exceptions.FlowInvalid,
    exceptions.FlowUnreadable,
    exceptions.IdempotencyConflict,
    exceptions.ImplementationUnfit,
    exceptions.InsideAtomicStep,
    exceptions.Interrupted,
    exceptions.InvalidAnswer,
    exceptions.InvalidCall,
    exceptions.InvalidChannel,
    exceptions.InvalidCursor,
    exceptions.InvalidKey,
    exceptions.InvalidLimit,
    exceptions.InvalidSchedule,
    exceptions.InvalidState,
    exceptions.InvalidTransition,
    exceptions.InvalidWorkflow,
    exceptions.KeyHeld,
    exceptions.LeaseLost,
    exceptions.LimitReached,
    exceptions.LinkExpired,
    exceptions.LinksNotRouted,
    exceptions.MayNotAnswer,
    exceptions.MiddlewareMisused,
    exceptions.NonRetryable,
    exceptions.NotAskedYet,
    exceptions.NotAttached,
    exceptions.NotIdempotent,
    exceptions.NotJson,
    exceptions.NotSerializable,
    exceptions.NotSpawnable,
    exceptions.NotWaiting,
    exceptions.PayloadTooLarge,
    exceptions.PersistenceFailed,
    exceptions.PollTimeout,
    exceptions.ProcessDied,
    exceptions.RunCancelled,
    exceptions.RunExists,
    exceptions.RunNotFound,
    exceptions.RunTooLong,
    exceptions.ScheduleNotFound,
    exceptions.ShuttingDown,
    exceptions.SnapshotDecode,
    exceptions.SnapshotFormat,
    exceptions.SnapshotMismatch,
    exceptions.StateMoved,
    exceptions.StepFailed,
    exceptions.StepTimeout,
    exceptions.Superseded,
    exceptions.Suspend,
    exceptions.SuspendInAtomic,
    exceptions.SuspensionSwallowed,
    exceptions.TakesNoMessages,
    exceptions.TaskCancelled,
    exceptions.TaskTimeout,
    exceptions.TooManyTicks,
    exceptions.TooOften,
    exceptions.UnknownForm,
    exceptions.UnknownPath,
    exceptions.UnknownQueue,
    exceptions.UnknownStep,
    exceptions.UnknownTask,
    exceptions.UnknownTransition,
    exceptions.UnknownWord,
    exceptions.Unreadable,
    exceptions.VersionMismatch,
    exceptions.WaitTimeout,
    exceptions.WorkerCrashed,
)
