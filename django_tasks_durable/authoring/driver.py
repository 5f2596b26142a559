"""The way from a task to what runs it in process, which stands on a higher floor and registers itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from uuid import UUID

    from django_tasks_durable.primitives.standing import Standing, StateChange

    from .streaming import AsyncRunStream, RunStream
    from .tasks import DurableTask


class Driver(Protocol):
    """Runs tasks in this process, without a worker."""

    def call(self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the task to its end, its primitives at once and remembering nothing."""

    async def acall(self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See call()."""

    def stream(
        self,
        task: DurableTask[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        run_id: str | None,
        store: Any,
    ) -> RunStream[Any]:
        """Run the task from its checkpoints on and return the iterator of what it yields."""

    def astream(
        self,
        task: DurableTask[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        run_id: str | None,
        store: Any,
    ) -> AsyncRunStream[Any]:
        """See stream()."""

    def resume(
        self, task: DurableTask[..., Any], run_id: str, answer: Any, token: str | None, store: Any
    ) -> RunStream[Any]:
        """Give the answer that a run waits for and return the iterator of what it yields then."""

    def aresume(
        self, task: DurableTask[..., Any], run_id: str, answer: Any, token: str | None, store: Any
    ) -> AsyncRunStream[Any]:
        """See resume()."""

    def look(self, task: DurableTask[..., Any], run_id: UUID | str, store: Any) -> Standing:
        """Read where a run of a workflow stands. Raise RunNotFound, also for a run of another task."""

    def changing(
        self, task: DurableTask[..., Any], run_id: UUID | str, store: Any, by: str
    ) -> AbstractContextManager[StateChange]:
        """Lock a run of a workflow and hand out the change to fill. See look()."""


_driver: Driver | None = None


def install(driver: Driver) -> None:
    """Make this the driver of all tasks."""
    global _driver
    _driver = driver


def installed() -> Driver:
    """Return the driver. Raise ImproperlyConfigured when the app is not installed."""
    if _driver is None:
        raise ImproperlyConfigured(
            "Tasks cannot be run here yet: add 'django_tasks_durable' to INSTALLED_APPS, and call django.setup() first."
        )
    return _driver
