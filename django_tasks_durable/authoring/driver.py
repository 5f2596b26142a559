"""The way from a task to what runs it in process, which stands on a higher floor and registers itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from uuid import UUID

    from django_tasks_durable.primitives.standing import Standing, StateChange

    from .streaming import AsyncRunStream, RunOutcome, RunStream, SliceResult
    from .tasks import DurableTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a call runs: in which store, under which name, from which snapshot."""

    run_id: str | None = None
    store: Any = None
    snapshot: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer to a question of a run: which run, in which store, and which of its questions."""

    run_id: str
    value: Any
    token: str | None = None
    path: str | None = None
    store: Any


class Driver(Protocol):
    """Runs tasks in this process, without a worker."""

    def call(self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the task to its end, its primitives at once and remembering nothing."""

    async def acall(self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See call()."""

    def stream(
        self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> RunStream[Any]:
        """Run the task from its checkpoints on and return the iterator of what it yields."""

    def astream(
        self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> AsyncRunStream[Any]:
        """See stream()."""

    def invoke_with_state(
        self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> tuple[RunOutcome[Any], dict[str, Any] | None]:
        """Run the task and return how it went, with its portable snapshot. Raise nothing that is an Exception."""

    async def ainvoke_with_state(
        self, task: DurableTask[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], place: Place
    ) -> tuple[RunOutcome[Any], dict[str, Any] | None]:
        """See invoke_with_state()."""

    def resume(self, task: DurableTask[..., Any], answer: Answer) -> RunStream[Any]:
        """Give the answer that a run waits for and return the iterator of what it yields then."""

    def aresume(self, task: DurableTask[..., Any], answer: Answer) -> AsyncRunStream[Any]:
        """See resume()."""

    def look(self, task: DurableTask[..., Any], run_id: UUID | str, store: Any) -> Standing:
        """Read where a run of a workflow stands. Raise RunNotFound, also for a run of another task."""

    def changing(
        self, task: DurableTask[..., Any], run_id: UUID | str, store: Any, by: str
    ) -> AbstractContextManager[StateChange]:
        """Lock a run of a workflow and hand out the change to fill. See look()."""

    def advance(self, task: DurableTask[..., Any], run_id: str, store: Any) -> SliceResult:
        """Run one slice of a run."""

    async def aadvance(self, task: DurableTask[..., Any], run_id: str, store: Any) -> SliceResult:
        """See advance()."""


_make: Callable[[], Driver] | None = None


def install(make: Callable[[], Driver]) -> None:
    """Let this make the driver of all tasks when one is first asked for: a worker, which claims its runs, never asks."""
    global _make
    _make = cache(make)


def installed() -> Driver:
    """Return the driver. Raise ImproperlyConfigured when the app is not installed."""
    if _make is None:
        raise ImproperlyConfigured(
            "Tasks cannot be run here yet: add 'django_tasks_durable' to INSTALLED_APPS, and call django.setup() first."
        )
    return _make()
