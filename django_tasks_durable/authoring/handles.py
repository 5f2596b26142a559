"""A workflow's run seen from outside: its commands, its queries, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async

from django_tasks_durable.exceptions import DurableError, NotAttached
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.standing import Standing
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.writes import Line

from . import driver

if TYPE_CHECKING:
    from .workflow import Workflow

W = TypeVar("W", bound="Workflow")


class Handle(Generic[W]):
    """A run of a workflow, for those outside of it. Each command and query is a method here, with an ``a``-twin.

    A command locks the run's row, changes the stored state and returns what the method returns. A query reads a copy.
    """

    def __init__(self, workflow: type[W], run_id: UUID | str, *, store: Any = None, by: str = "") -> None:
        self._workflow = workflow
        self._run_id = run_id
        self._store = store
        self._by = by

    def __repr__(self) -> str:
        return f"<{self._workflow.__qualname__} of run {self._run_id}>"

    def look(self) -> Standing:
        """Read where the run stands. Raise RunNotFound, also for a run of another class."""
        return driver.installed().look(self._workflow.task, self._run_id, self._store)

    async def alook(self) -> Standing:
        """See look()."""
        return await sync_to_async(self.look, thread_sensitive=True)()

    @property
    def state(self) -> Any:
        """A copy of the state as it is stored."""
        return self._copy().state

    @property
    def step(self) -> str:
        """The name of the step that the run stands at; empty before it begins."""
        return self.look().stage.step

    @property
    def visit(self) -> int:
        """How many steps the run has entered."""
        return self.look().stage.visit

    def _copy(self) -> W:
        standing = self.look()
        workflow, _ = self._workflow._loaded(standing)
        workflow.attach(Outside(workflow.plan.workflow, standing, self._by))
        return workflow

    def _command(self, name: str, *args: Any, **kwargs: Any) -> Any:
        with self._workflow.transaction(self._run_id, store=self._store, by=self._by) as workflow:
            return getattr(workflow, name)(*args, **kwargs)

    def _query(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._copy(), name)(*args, **kwargs)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if (method := self._method(name)) is not None:
            return method
        if name.startswith("a") and (method := self._method(name[1:])) is not None:
            return sync_to_async(method, thread_sensitive=True)
        plan = self._workflow.plan
        has = ", ".join([*plan.commands, *plan.queries]) or "none"
        raise AttributeError(f"{plan.workflow} has no command or query {name!r}. There are {has}.")

    def _method(self, name: str) -> Callable[..., Any] | None:
        plan = self._workflow.plan
        if name in plan.commands:
            return lambda *args, **kwargs: self._command(name, *args, **kwargs)
        if name in plan.queries:
            return lambda *args, **kwargs: self._query(name, *args, **kwargs)
        return None


class Outside:
    """What a workflow instance is attached to while it is looked at, or changed, from outside. See Attachment."""

    def __init__(self, workflow: str, standing: Standing, by: str) -> None:
        self._workflow = workflow
        self._standing = standing
        self._by = by
        self.lines: list[Line] = []
        self.wakes = False

    @property
    def run_id(self) -> UUID:
        """See Attachment."""
        return self._standing.run_id

    @property
    def step(self) -> str:
        """See Attachment."""
        return self._standing.stage.step

    @property
    def visit(self) -> int:
        """See Attachment."""
        return self._standing.stage.visit

    @property
    def context(self) -> Any:
        """See Attachment."""
        raise NotAttached(self._workflow, "The context")

    def audit(self, kind: str, values: Mapping[str, Any]) -> None:
        """See Attachment."""
        self.lines.append(audit_line(kind, values, path=self._standing.stage.prefix.rstrip("/")))

    def commanded(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, wakes: bool) -> None:
        """See Attachment."""
        self.wakes = self.wakes or wakes
        told: dict[str, Any] = {"command": name, "args": list(args), "kwargs": dict(kwargs)}
        who = {"by": self._by} if self._by else {}
        try:
            self.audit(name, told | who)
        except DurableError:  # arguments without a form as JSON are no business of the timeline's
            self.audit(name, {"command": name} | who)


def audit_line(kind: str, values: Mapping[str, Any], *, path: str) -> Line:
    """Make a line of kind audit. Raise NotSerializable for values that cannot be stored."""
    data = codec.encode(dict(values), where="audit") if values else ""
    return Line(kind=StepKind.AUDIT, message=str(kind), path=path, data=data)
