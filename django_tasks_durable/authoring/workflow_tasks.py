"""The task that runs a workflow class, registered under the class's own path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_tasks_durable.compat import Task, TaskContext
from django_tasks_durable.conf import get_options
from django_tasks_durable.exceptions import InvalidWorkflow

from .options import DEFAULTS, NAMES, TaskOptions, refuse_unknown
from .plans import Plan
from .tasks import DurableTask

if TYPE_CHECKING:
    from django_tasks_durable.backend.results import DurableTaskResult

    from .workflow import Workflow

# Django 6.0 has no defaults for the fields of its Task.
DJANGO_DEFAULTS: Mapping[str, Any] = {"priority": 0, "queue_name": "default", "backend": "default", "run_after": None}
CLASS_KEYWORDS = ("priority", "queue_name", "backend", "audit", "abstract", *NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTask(DurableTask[..., Any]):
    """The task of a workflow class. Its one argument is the initial ``state``, checked where it is given."""

    @property
    def workflow(self) -> type[Workflow]:
        """The class."""
        found: type[Workflow] = self.func.workflow  # type: ignore[attr-defined]
        return found

    def encoded(self, state: Any) -> str:
        """Return the JSON text of a state. Raise InvalidState, NotSerializable or PayloadTooLarge."""
        return self.workflow.plan.shape.text(state, limit=get_options(self.backend).max_payload_bytes)

    def enqueue(self, state: Any = None) -> DurableTaskResult[..., Any]:
        """Put a run of the workflow into the queue, in the caller's transaction."""
        return DurableTask.enqueue(self, **self._given(state))

    async def aenqueue(self, state: Any = None) -> DurableTaskResult[..., Any]:
        """See enqueue()."""
        return await DurableTask.aenqueue(self, **self._given(state))

    def enqueue_many(
        self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]
    ) -> list[DurableTaskResult[..., Any]]:
        """Put many runs into the queue, all or none, and return their results in order."""
        given = [((), self._given(*args, **kwargs)) for args, kwargs in calls]
        return DurableTask.enqueue_many(self, given)

    def call(self, *given: Any, state: Any = None) -> Any:
        """Run the workflow here and now, remembering nothing, and return its final state.

        A backend that runs tasks at once gives its context first, and gets the fields of the state: it knows plain JSON only.
        """
        result = DurableTask.call(self, *_context_of(given), **self._given(state))
        return self._returned(result, to_backend=bool(given))

    async def acall(self, *given: Any, state: Any = None) -> Any:
        """See call()."""
        result = await DurableTask.acall(self, *_context_of(given), **self._given(state))
        return self._returned(result, to_backend=bool(given))

    def stream(  # type: ignore[override]
        self, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> Any:
        """See DurableTask.stream()."""
        return DurableTask.stream(self, **self._begun(state, snapshot), run_id=run_id, store=store, snapshot=snapshot)

    def astream(  # type: ignore[override]
        self, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> Any:
        """See stream()."""
        return DurableTask.astream(self, **self._begun(state, snapshot), run_id=run_id, store=store, snapshot=snapshot)

    def invoke(  # type: ignore[override]
        self, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> Any:
        """See DurableTask.invoke()."""
        result = DurableTask.invoke(self, **self._begun(state, snapshot), run_id=run_id, store=store, snapshot=snapshot)
        return self.workflow.plan.shape.of_result(result)

    async def ainvoke(  # type: ignore[override]
        self, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> Any:
        """See invoke()."""
        result = await DurableTask.ainvoke(
            self, **self._begun(state, snapshot), run_id=run_id, store=store, snapshot=snapshot
        )
        return self.workflow.plan.shape.of_result(result)

    def _begun(self, state: Any, snapshot: Any) -> dict[str, Any]:
        """Return the initial state; none for a run that a snapshot knows already, unless it is repeated."""
        return {} if state is None and snapshot is not None else self._given(state)

    def _returned(self, result: Any, *, to_backend: bool) -> Any:
        shape = self.workflow.plan.shape
        state = shape.of_result(result)
        return shape.parts(state) if to_backend else state

    def _given(self, state: Any = None) -> dict[str, Any]:
        shape = self.workflow.plan.shape
        return {"state": shape.parts(shape.given(state))}


def workflow_of(task: Task[..., Any]) -> type[Workflow] | None:
    """Return the workflow class of a task; None for a task of a function."""
    return task.workflow if isinstance(task, WorkflowTask) else None


def task_of(cls: type[Workflow], plan: Plan, options: Mapping[str, Any]) -> WorkflowTask:
    """Make the task of a workflow class of its class keywords, and register it."""
    try:
        refuse_unknown(options, CLASS_KEYWORDS, cls.__qualname__)
        own = {name: value for name, value in options.items() if name in NAMES}
        django = {name: value for name, value in options.items() if name not in NAMES}
        return WorkflowTask(
            func=_function(cls, is_async=any(step.is_async for step in plan.steps.values())),
            takes_context=True,
            options=TaskOptions(**own) if own else DEFAULTS,
            **{**DJANGO_DEFAULTS, **django},
        )
    except (TypeError, ValueError) as error:
        raise InvalidWorkflow(plan.workflow, str(error)) from error


def _context_of(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if not all(isinstance(each, TaskContext) for each in given):
        raise TypeError("Give the initial state by its name: call(state=...).")
    return given


def _function(cls: type[Workflow], *, is_async: bool) -> Callable[..., Any]:
    """Make what stands for the class where Django wants a function; the engine runs the steps instead."""

    def refuse() -> Any:
        raise InvalidWorkflow(cls.__qualname__, "it needs a run of its own: enqueue it, or invoke it in this process.")

    def function(context: Any, state: Any = None) -> Any:
        return refuse()

    async def coroutine(context: Any, state: Any = None) -> Any:
        return refuse()

    made: Any = coroutine if is_async else function
    made.__module__, made.__qualname__, made.__name__ = cls.__module__, cls.__qualname__, cls.__name__
    made.__doc__ = cls.__doc__
    made.workflow = cls
    return made  # type: ignore[no-any-return]
