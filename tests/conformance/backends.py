"""Our backend in the clothes of Django's two test backends, with what upstream's tests look for on those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django_tasks_durable import testing
from django_tasks_durable.backend import DurableBackend, DurableTaskResult
from django_tasks_durable.compat import Task
from django_tasks_durable.models import TaskRun


class AsDummy(DurableBackend):
    """Enqueues only. ``results`` and ``clear()`` are what the tests know of the DummyBackend.

    The table is read after each enqueue, on the same thread: the tests look at ``results`` from coroutines too.
    """

    table: ClassVar[list[DurableTaskResult]] = []

    @property
    def results(self) -> list[DurableTaskResult]:
        """What is in the table."""
        return self.table

    def enqueue(self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> DurableTaskResult:
        """Enqueue one task."""
        result = super().enqueue(task, args, kwargs)
        self._look()
        return result

    def clear(self) -> None:
        """Forget what was enqueued."""
        TaskRun.objects.all().delete()
        self._look()

    def _look(self) -> None:
        ids = TaskRun.objects.order_by("id").values_list("id", flat=True)
        type(self).table = [self.get_result(str(pk)) for pk in ids]


class AsImmediate(DurableBackend):
    """Enqueues, then runs what is due on the same thread."""

    def enqueue(self, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> DurableTaskResult:
        """Enqueue and run one task."""
        result = super().enqueue(task, args, kwargs)
        testing.drain(self.alias)
        return self.get_result(result.id)
