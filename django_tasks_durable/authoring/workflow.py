"""The workflow: a class whose state lives on between its steps, and can be changed and asked from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from django_tasks_durable.exceptions import AlreadyAttached, InvalidWorkflow, NotAttached
from django_tasks_durable.primitives import codec

from . import driver, graphs
from .handles import Handle, Outside
from .plans import Plan, plan_of
from .states import NoState
from .streaming import AsyncRunStream, RunStream
from .words import ALIASES
from .workflow_tasks import WorkflowTask, task_of

if TYPE_CHECKING:
    from typing import Self

    from django_tasks_durable.backend.results import DurableTaskResult

T = TypeVar("T")
_UNSAID: Any = object()


class Attachment(Protocol):
    """What a workflow instance belongs to: an attempt of its run, or a look at it from outside."""

    @property
    def run_id(self) -> UUID | str:
        """The id of the run."""

    @property
    def step(self) -> str:
        """The name of the step that the run stands at."""

    @property
    def visit(self) -> int:
        """How many steps the run has entered."""

    @property
    def context(self) -> Any:
        """The context of the visit under way. Raise NotAttached when there is none."""

    def audit(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write a line of kind audit into the run's timeline."""

    def commanded(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, wakes: bool) -> None:
        """Hear that a command has changed the state."""


class Workflow:
    """A state machine whose state outlives its worker.

    A subclass declares a dataclass ``State`` and marks methods with @transition, @command and @query. The class keywords are
    the options of @task; ``audit=False`` leaves transitions and finished steps out of the timeline, and ``abstract=True`` makes
    a base for others. Every word of the context is a word of ``self`` in a step.
    """

    State: ClassVar[type] = NoState
    #: What makes the implementation that the steps find as ``self.tasks``: a class, or a function without arguments.
    tasks_class: ClassVar[Callable[[], Any] | None] = None
    task: ClassVar[WorkflowTask]
    plan: ClassVar[Plan]

    state: Any

    def __init_subclass__(cls, *, abstract: bool = False, audit: bool = True, **options: Any) -> None:
        super().__init_subclass__()
        if abstract:
            return
        if "<locals>" in cls.__qualname__:
            raise InvalidWorkflow(cls.__qualname__, "define it at the top level of a module, where workers find it.")
        cls.plan = plan_of(cls, base=Workflow, audit=audit)
        cls.task = task_of(cls, cls.plan, options)

    def __init__(self, state: Any = None) -> None:
        self.state = self.plan.shape.given(state)
        self._attachment: Attachment | None = None
        self._tasks: Any = _UNSAID

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} {self.state!r}>"

    def __reduce__(self) -> Any:
        raise TypeError("A workflow instance belongs to one attempt on this machine: pass its run's id instead.")

    # --- runs

    @classmethod
    def using(cls, **options: Any) -> WorkflowTask:
        """Return the task of this class with other options; enqueue there."""
        found: Any = cls.task.using(**options)
        return found  # type: ignore[no-any-return]

    @classmethod
    def enqueue(cls, state: Any = None) -> DurableTaskResult[..., Any]:
        """Put a run into the queue, in the caller's transaction. ``state`` is a State or a mapping of its fields."""
        return cls.task.enqueue(state=state)

    @classmethod
    async def aenqueue(cls, state: Any = None) -> DurableTaskResult[..., Any]:
        """See enqueue()."""
        return await cls.task.aenqueue(state=state)

    @classmethod
    def enqueue_many(cls, states: Iterable[Any]) -> list[DurableTaskResult[..., Any]]:
        """Put a run into the queue for each state, all or none."""
        return cls.task.enqueue_many(((), {"state": state}) for state in states)

    @classmethod
    def stream(
        cls, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> RunStream[Any]:
        """Run in this process, from a snapshot if one is given, and hand out what the steps yield."""
        found: RunStream[Any] = cls.task.stream(state=state, run_id=run_id, store=store, snapshot=snapshot)
        return found

    @classmethod
    def astream(
        cls, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> AsyncRunStream[Any]:
        """See stream()."""
        found: AsyncRunStream[Any] = cls.task.astream(state=state, run_id=run_id, store=store, snapshot=snapshot)
        return found

    @classmethod
    def invoke(cls, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None) -> Any:
        """Run in this process and return the final state. Raise Interrupted when it waits for an answer."""
        return cls.task.invoke(state=state, run_id=run_id, store=store, snapshot=snapshot)

    @classmethod
    async def ainvoke(
        cls, state: Any = None, *, run_id: str | None = None, store: Any = None, snapshot: Any = None
    ) -> Any:
        """See invoke()."""
        return await cls.task.ainvoke(state=state, run_id=run_id, store=store, snapshot=snapshot)

    @classmethod
    def resume(cls, run_id: str, answer: Any, *, token: str | None = None, store: Any) -> RunStream[Any]:
        """Answer the question that a run in a store waits with, and go on streaming it."""
        return cls.task.resume(run_id, answer, token=token, store=store)

    @classmethod
    def aresume(cls, run_id: str, answer: Any, *, token: str | None = None, store: Any) -> AsyncRunStream[Any]:
        """See resume()."""
        return cls.task.aresume(run_id, answer, token=token, store=store)

    # --- from outside

    @classmethod
    def of(cls, run_id: UUID | str, *, store: Any = None, by: str = "") -> Handle[Self]:
        """Return a handle on a run, whose commands and queries are called by name. ``by`` is who acts, for the timeline."""
        return Handle(cls, run_id, store=store, by=by)

    @classmethod
    @contextmanager
    def transaction(cls, run_id: UUID | str, *, store: Any = None, by: str = "") -> Iterator[Self]:
        """Lock a run, hand out the workflow to read and change, and store its state with what it told on leaving.

        An exception changes nothing. Inside the caller's transaction the change holds if and only if that commits.
        Raise RunNotFound, also for a run of another class, or InvalidTransition for one that has ended.
        """
        with driver.installed().changing(cls.task, run_id, store, by) as change:
            workflow, before = cls._loaded(change.standing)
            outside = Outside(cls.plan.workflow, change.standing, by)
            workflow.attach(outside)
            yield workflow
            after = cls.task.encoded(workflow.state)
            change.keep(None if after == before else codec.seal(after), outside.lines, wakes=outside.wakes)

    @classmethod
    def _loaded(cls, standing: Any) -> tuple[Self, str]:
        stage = standing.stage
        shape = cls.plan.shape
        if stage.state is not None:
            workflow = cls(shape.decode(stage.state))
        else:
            workflow = cls(shape.made(codec.decode(standing.kwargs).get("state", {})))
        return workflow, cls.task.encoded(workflow.state)

    # --- what the class is

    @classmethod
    def graph(cls) -> dict[str, Any]:
        """Return the steps, the moves between them and the keys they use, read from the class and its source."""
        return graphs.graph_of(cls.__qualname__, cls.plan)

    @classmethod
    def as_mermaid(cls) -> str:
        """Return the graph as a Mermaid state diagram."""
        return graphs.mermaid_of(cls.plan)

    # --- within a step

    def attach(self, attachment: Attachment) -> None:
        """Make this instance the one of a run. Raise AlreadyAttached when it is one already."""
        if self._attachment is not None:
            raise AlreadyAttached(self.plan.workflow, self._attachment.run_id)
        self._attachment = attachment

    @property
    def context(self) -> Any:
        """The context of the visit under way."""
        if self._attachment is None:
            raise NotAttached(self.plan.workflow, "The context")
        return self._attachment.context

    @property
    def run_id(self) -> UUID | str:
        """The id of the run."""
        if self._attachment is None:
            raise NotAttached(self.plan.workflow, "run_id")
        return self._attachment.run_id

    @property
    def visit(self) -> int:
        """The number of the visit under way, from 1; every change of step counts. 0 before the workflow begins."""
        return 0 if self._attachment is None else self._attachment.visit

    @property
    def current_step(self) -> str:
        """The name of the step that the run stands at; empty before the workflow begins."""
        return "" if self._attachment is None else self._attachment.step

    @property
    def tasks(self) -> Any:
        """The implementation that was injected with ``tasks_class``: made anew in every attempt, never stored."""
        if self._tasks is _UNSAID:
            make = type(self).tasks_class
            if make is None:
                raise NotAttached(self.plan.workflow, "self.tasks, with no tasks_class to make them,")
            self._tasks = make()
        return self._tasks

    @classmethod
    def implemented_by(cls, tasks_class: T) -> T:
        """Make a class the ``tasks_class`` of this workflow, as a decorator."""
        cls.tasks_class = tasks_class  # type: ignore[assignment]
        return tasks_class

    def audit(self, kind: str, /, **values: Any) -> None:
        """Write a line of kind audit into the run's timeline; at an instance that belongs to no run, do nothing."""
        if self._attachment is not None:
            self._attachment.audit(kind, values)

    def wait_ms(self, key: str, milliseconds: float) -> Any:
        """Sleep for so many milliseconds. See DurableContext.sleep()."""
        return self.context.sleep(key, milliseconds / 1000)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or name in {"state", "plan", "task"}:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            word = ALIASES.get(name, name)
            if self._attachment is None:
                raise NotAttachedAttribute(self.plan.workflow, name)
            return getattr(self._attachment.context, word)

    else:

        def __getattr__(self, name: str) -> Any: ...


class NotAttachedAttribute(NotAttached, AttributeError):
    """See NotAttached. An AttributeError too, so that hasattr() has its answer."""

    def __init__(self, workflow: str, asked: str) -> None:
        NotAttached.__init__(self, workflow, f"self.{asked}")
