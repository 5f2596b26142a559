"""What Django's Tasks framework asks of a backend.

The store and the snapshots are imported inside the functions that use them: a backend is made while ``@task`` runs,
before the app registry is ready, and they import models.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DatabaseError

from django_tasks_durable.authoring.tasks import DurableTask, register
from django_tasks_durable.compat import (
    TASKS_LOGGER,
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResultDoesNotExist,
    is_only_logged,
    signals,
)
from django_tasks_durable.conf import Options, get_options
from django_tasks_durable.exceptions import RunNotFound

from . import advice, results
from .results import DurableTaskResult

LONGEST_PATH = 255
LONGEST_QUEUE_NAME = 64

_log = logging.getLogger(TASKS_LOGGER)


class DurableBackend(BaseTaskBackend):
    """Keeps what is enqueued in the database, in the caller's transaction, for ``manage.py runtasks`` to run."""

    task_class = DurableTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    is_durable: ClassVar[bool] = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        # Wrong options are told by check() and at enqueue: raised here, they would stop the import of every tasks
        # module.
        super().__init__(alias, advice.usable(params))
        self.params = params
        self._validated: Task[..., Any] | None = None

    @property
    def settings(self) -> Options:
        """The options of this alias. Raise InvalidOptions naming what is wrong with them."""
        return get_options(self.alias)

    def validate_task(self, task: Task[..., Any]) -> None:
        """Raise InvalidTask for a task that this backend cannot run, ImproperlyConfigured where the app is missing."""
        if apps.apps_ready and not apps.is_installed("django_tasks_durable"):
            # Without the app nobody looks at the checks, and no table can be made.
            missing = advice.not_installed(self.alias)
            raise ImproperlyConfigured(f"{missing.msg} {missing.hint}")
        if not isinstance(task.queue_name, str):
            raise InvalidTask(f"queue_name={task.queue_name!r}: give the name of one queue.")
        if self.queues and task.queue_name not in self.queues:
            raise InvalidTask(
                f"Queue {task.queue_name!r} is not valid for backend. {advice.about_queues(self.alias, self.queues)}"
            )
        super().validate_task(task)
        if len(task.queue_name) > LONGEST_QUEUE_NAME:
            raise InvalidTask(
                f"The name of a queue has at most {LONGEST_QUEUE_NAME} characters: {task.queue_name[:80]!r}."
            )
        if len(task.module_path) > LONGEST_PATH:
            raise InvalidTask(f"The path of a task has at most {LONGEST_PATH} characters: {task.module_path[:80]!r}.")

    def enqueue(  # type: ignore[override]  # the stubs want the types of a task that nobody names here
        self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> DurableTaskResult:
        """Put one run into the queue. Inside a transaction it exists if and only if that commits.

        A call with keys may find the run that is there already. Raise NotSerializable (a TypeError) or PayloadTooLarge,
        naming the place, for arguments that cannot be stored; DuplicateTask or IdempotencyConflict.
        """
        from django_tasks_durable.snapshots import read
        from django_tasks_durable.store import intake

        self._admit(task)
        try:
            accepted = intake.accept(task, args, kwargs, using=self.settings.database, backend_alias=self.alias)
        except DatabaseError as error:
            advice.note_missing_table(error)
            raise
        if isinstance(accepted, intake.Reused):
            result = results.of_reused(read.one(accepted.run_id, using=self.settings.database))
        else:
            result = results.of_accepted(
                task,
                self.alias,
                accepted.run_id,
                accepted.enqueued_at,
                accepted.args,
                accepted.kwargs,
                accepted.superseded,
            )
        self._tell_enqueued(result)
        return result

    def enqueue_many(
        self, task: Task[..., Any], calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]
    ) -> list[DurableTaskResult]:
        """Put many runs of one task into the queue, all or none, and return their results in order.

        When they were enqueued by the database's clock is known after ``refresh()``.
        """
        from django_tasks_durable.store import intake

        self._admit(task)
        try:
            calls = [(list(args), dict(kwargs)) for args, kwargs in calls]
        except (TypeError, ValueError) as error:
            raise TypeError(f"enqueue_many() takes pairs such as [((1,), {{}}), ((2,), {{}})]: {error}") from error
        run_ids = intake.enqueue_many(task, calls, using=self.settings.database, backend_alias=self.alias)
        made = [
            results.of_call(task, self.alias, run_id, args, kwargs)
            for run_id, (args, kwargs) in zip(run_ids, calls, strict=True)
        ]
        for result in made:
            self._tell_enqueued(result)
        return made

    def get_result(self, result_id: str) -> DurableTaskResult:
        """Return the result of a run as it stands, by its id or by the one that its caller gave it.

        A caller's id means the open run, else the newest finished one. Raise TaskResultDoesNotExist.
        """
        from django_tasks_durable.snapshots import read

        try:
            return results.of_snapshot(read.one(result_id, using=self.settings.database))
        except RunNotFound as error:
            raise TaskResultDoesNotExist(result_id) from error
        except SynchronousOnlyOperation as error:
            if _is_uuid(result_id):
                raise
            raise TaskResultDoesNotExist(
                f"{result_id!r} is no id of ours. An id of your own is looked for in the database: await aget_result()."
            ) from error

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Say what is wrong with the settings of this alias."""
        if not apps.is_installed("django_tasks_durable"):
            return [advice.not_installed(self.alias)]
        return advice.alias_messages(self.alias, self.params)

    def _admit(self, task: Task[..., Any]) -> None:
        # The settings cannot change under an instance, so one look at a task is enough.
        if task is self._validated:
            return
        self.validate_task(task)
        if task.func.__module__ == "__main__":
            raise InvalidTask(
                f"{task.name} is defined in the program that was started, where no worker finds it. "
                "Move it to a tasks.py."
            )
        if not isinstance(task, DurableTask):
            register(task)
        self._validated = task

    def _tell_enqueued(self, result: DurableTaskResult) -> None:
        framework = signals()
        task_enqueued = framework.task_enqueued
        # Sending only to have the framework's own receiver find its log turned off would cost as much as the result.
        if is_only_logged(task_enqueued, framework.log_task_enqueued) and not _log.isEnabledFor(logging.DEBUG):
            return
        if task_enqueued.receivers:
            task_enqueued.send(sender=type(self), task_result=result)


def _is_uuid(text: str) -> bool:
    try:
        UUID(str(text))
    except ValueError:
        return False
    return True
