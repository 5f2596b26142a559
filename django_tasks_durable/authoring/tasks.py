"""The task: a function with what there is to say about its runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from django_tasks_durable.compat import InvalidTask, InvalidTaskBackend, Task, TaskContext
from django_tasks_durable.primitives import clock

from . import driver, habits
from .keys import KEY_NAMES
from .options import DEFAULTS, NAMES, TaskOptions, refuse_unknown
from .registry import Migration, get_task, register, register_migration, registered
from .streaming import AsyncRunStream, RunOutcome, RunStream, SliceResult

if TYPE_CHECKING:
    from django_tasks_durable.backend.results import DurableTaskResult

__all__ = ["BoundTask", "DurableTask", "TaskOptions", "get_task", "options_of", "register", "registered", "task"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C", bound=TaskContext)  # type: ignore[type-arg]

OWN_BACKEND = "django_tasks_durable.DurableBackend"
DJANGO_NAMES = ("priority", "queue_name", "run_after", "backend")
DECORATOR_NAMES = ("priority", "queue_name", "backend", "takes_context", *NAMES)


@dataclass(frozen=True, slots=True)
class BoundTask(Generic[R_co]):
    """A task with its arguments, not yet run: a branch for ``context.gather()``."""

    task: Task[..., R_co]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None


if TYPE_CHECKING:
    TaskOf = Task
else:
    # Django's own cannot be subscripted when the program runs; type checkers know what it takes and returns.
    TaskOf = {(P, R): Task}


# Django's Task is a slots dataclass: zero-argument super() is broken in its subclasses before Python 3.14.
@dataclass(frozen=True, slots=True, kw_only=True)
class DurableTask(TaskOf[P, R], Generic[P, R]):
    """A task whose runs remember what they have done. ``options`` holds what Django's Task has no field for."""

    options: TaskOptions = DEFAULTS

    def __post_init__(self) -> None:
        try:
            Task.__post_init__(self)
        except InvalidTaskBackend as error:
            raise InvalidTaskBackend(f"{error} {_about_backends(self.backend)}") from error
        register(self)

    if not TYPE_CHECKING:  # type checkers are to know what there is

        def __getattr__(self, name: str) -> Any:
            """Say what a method of another library is called here."""
            # Its name is read only where it is told: a task that is being made again has none yet.
            hint = f" Here it is {self.name}.{habits.METHODS[name]}." if name in habits.METHODS else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}.{hint}", name=name)

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> DurableTask[P, R]:
        """Return a copy with other values; None changes nothing. A timedelta as ``run_after`` counts from now."""
        if own := next((name for name in ("schedule", "executor", "concurrency") if name in options), None):
            raise TypeError(f"{own} belongs to a task, not to a call: give it to @task.")
        refuse_unknown(options, (*DJANGO_NAMES, *NAMES, *KEY_NAMES), f"{self.name}.using()")
        if isinstance(run_after, timedelta):
            run_after = clock.host_now() + run_after
        elif run_after is not None:
            run_after = _instant(run_after)
        changes: dict[str, Any] = {
            name: value
            for name, value in zip(DJANGO_NAMES, (priority, queue_name, run_after, backend), strict=True)
            if value is not None
        }
        if chosen := {name: value for name, value in options.items() if value is not None}:
            changes["options"] = self.options.changed(chosen)
        return replace(self, **changes)

    def migrates(self, version: int) -> Callable[[Migration], Migration]:
        """Say how the history of a run of this version is led to the next: a function from a document to a document.

        Compose it of rename_key(), remove_key() and transform_value().
        """
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ValueError(f"migrates({version!r}): give the version that it begins with, a whole number from 1.")
        if version >= self.options.version:
            raise ValueError(
                f"{self.name}.migrates({version}) leads to version {version + 1}, its code is {self.options.version}."
            )

        def known(migration: Migration) -> Migration:
            register_migration(self.module_path, version, migration)
            return migration

        return known

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundTask[R]:
        """Return the task with its arguments, for context.gather()."""
        return BoundTask(self, args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> DurableTaskResult[P, R]:
        """Put a run of the task into the queue, in the caller's transaction."""
        return cast("DurableTaskResult[P, R]", Task.enqueue(self, *args, **kwargs))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> DurableTaskResult[P, R]:
        """See enqueue()."""
        return cast("DurableTaskResult[P, R]", await Task.aenqueue(self, *args, **kwargs))

    def enqueue_many(self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]) -> list[DurableTaskResult[P, R]]:
        """Put many runs into the queue, all or none on our backend, and return their results in order."""
        backend = self.get_backend()
        at_once = getattr(backend, "enqueue_many", None)
        if at_once is not None:
            return list(at_once(self, calls))
        made = [backend.enqueue(self, list(args), dict(kwargs)) for args, kwargs in calls]
        return cast("list[DurableTaskResult[P, R]]", made)

    def call(self, *args: Any, **kwargs: Any) -> R:
        """Run the task here and now, its primitives remembering nothing; a generator runs to its return value."""
        result: R = driver.installed().call(self, args, kwargs)
        return result

    async def acall(self, *args: Any, **kwargs: Any) -> R:
        """See call()."""
        result: R = await driver.installed().acall(self, args, kwargs)
        return result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the task as the function that it is, as a unit test does; an asynchronous one returns a coroutine."""
        if inspect.iscoroutinefunction(self.func) or inspect.isasyncgenfunction(self.func):
            return self.acall(*args, **kwargs)
        return self.call(*args, **kwargs)

    @overload
    def stream(self, *args: P.args, **kwargs: P.kwargs) -> RunStream[R]: ...
    @overload
    def stream(
        self, *args: Any, run_id: str, store: Any = None, snapshot: Any = None, **kwargs: Any
    ) -> RunStream[R]: ...
    @overload
    def stream(self, *args: Any, store: Any, snapshot: Any = None, **kwargs: Any) -> RunStream[R]: ...
    @overload
    def stream(self, *args: Any, snapshot: Any, **kwargs: Any) -> RunStream[R]: ...
    def stream(self, *args: Any, **kwargs: Any) -> RunStream[R]:
        """Run the task in this process and hand out what it yields, from where the run stands in the store.

        ``store`` is a MemoryStore, or ``"database"``: there the run is claimed with a lease, so that no worker takes it.
        ``run_id`` names the run; ``snapshot`` is one that it begins from.
        """
        return driver.installed().stream(self, args, *_parted(kwargs))

    @overload
    def astream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncRunStream[R]: ...
    @overload
    def astream(
        self, *args: Any, run_id: str, store: Any = None, snapshot: Any = None, **kwargs: Any
    ) -> AsyncRunStream[R]: ...
    @overload
    def astream(self, *args: Any, store: Any, snapshot: Any = None, **kwargs: Any) -> AsyncRunStream[R]: ...
    @overload
    def astream(self, *args: Any, snapshot: Any, **kwargs: Any) -> AsyncRunStream[R]: ...
    def astream(self, *args: Any, **kwargs: Any) -> AsyncRunStream[R]:
        """See stream()."""
        return driver.installed().astream(self, args, *_parted(kwargs))

    @overload
    def invoke(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def invoke(self, *args: Any, run_id: str, store: Any = None, snapshot: Any = None, **kwargs: Any) -> R: ...
    @overload
    def invoke(self, *args: Any, store: Any, snapshot: Any = None, **kwargs: Any) -> R: ...
    @overload
    def invoke(self, *args: Any, snapshot: Any, **kwargs: Any) -> R: ...
    def invoke(self, *args: Any, **kwargs: Any) -> R:
        """Run the task in this process and return what it returns. Raise Interrupted when it waits for an answer."""
        result: R = driver.installed().stream(self, args, *_parted(kwargs)).result()
        return result

    @overload
    async def ainvoke(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def ainvoke(self, *args: Any, run_id: str, store: Any = None, snapshot: Any = None, **kwargs: Any) -> R: ...
    @overload
    async def ainvoke(self, *args: Any, store: Any, snapshot: Any = None, **kwargs: Any) -> R: ...
    @overload
    async def ainvoke(self, *args: Any, snapshot: Any, **kwargs: Any) -> R: ...
    async def ainvoke(self, *args: Any, **kwargs: Any) -> R:
        """See invoke()."""
        result: R = await driver.installed().astream(self, args, *_parted(kwargs)).result()
        return result

    @overload
    def invoke_with_state(self, *args: P.args, **kwargs: P.kwargs) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    @overload
    def invoke_with_state(
        self, *args: Any, run_id: str, store: Any = None, snapshot: Any = None, **kwargs: Any
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    @overload
    def invoke_with_state(
        self, *args: Any, store: Any, snapshot: Any = None, **kwargs: Any
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    @overload
    def invoke_with_state(
        self, *args: Any, snapshot: Any, **kwargs: Any
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    def invoke_with_state(self, *args: Any, **kwargs: Any) -> tuple[RunOutcome[R], dict[str, Any] | None]:
        """Run the task in this process; return how it went and its portable snapshot, which ``snapshot=`` takes again.

        Raises no Exception, whatever happens. The snapshot is None when there is no run.
        """
        return driver.installed().invoke_with_state(self, args, *_parted(kwargs))

    @overload
    async def ainvoke_with_state(
        self, *args: P.args, **kwargs: P.kwargs
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    @overload
    async def ainvoke_with_state(
        self, *args: Any, run_id: str, store: Any = None, snapshot: Any = None, **kwargs: Any
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    @overload
    async def ainvoke_with_state(
        self, *args: Any, store: Any, snapshot: Any = None, **kwargs: Any
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    @overload
    async def ainvoke_with_state(
        self, *args: Any, snapshot: Any, **kwargs: Any
    ) -> tuple[RunOutcome[R], dict[str, Any] | None]: ...
    async def ainvoke_with_state(self, *args: Any, **kwargs: Any) -> tuple[RunOutcome[R], dict[str, Any] | None]:
        """See invoke_with_state()."""
        return await driver.installed().ainvoke_with_state(self, args, *_parted(kwargs))

    def resume(
        self, run_id: str, answer: Any, *, token: str | None = None, path: str | None = None, store: Any
    ) -> RunStream[R]:
        """Answer the question that a run waits with, and go on streaming it.

        With several questions open, the ``token`` or ``path`` of one says which is answered.
        """
        given = driver.Answer(run_id=run_id, value=answer, token=token, path=path, store=store)
        return driver.installed().resume(self, given)

    def aresume(
        self, run_id: str, answer: Any, *, token: str | None = None, path: str | None = None, store: Any
    ) -> AsyncRunStream[R]:
        """See resume()."""
        given = driver.Answer(run_id=run_id, value=answer, token=token, path=path, store=store)
        return driver.installed().aresume(self, given)

    def advance(self, run_id: str, *, store: Any) -> SliceResult:
        """Run a run that is in the store up to its next wait or its end, in this process; one not due stays as it is."""
        return driver.installed().advance(self, run_id, store)

    async def aadvance(self, run_id: str, *, store: Any) -> SliceResult:
        """See advance()."""
        return await driver.installed().aadvance(self, run_id, store)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = {each.name: getattr(self, each.name) for each in fields(self)}
        return _rebuilt, (type(self), {**arguments, "func": self.module_path})


def _instant(run_after: object) -> datetime:
    if not isinstance(run_after, datetime):
        raise TypeError(f"run_after={run_after!r}: give a datetime, or a timedelta from now.")
    if run_after.tzinfo is not None:
        return run_after
    if settings.USE_TZ:
        # Django's words first, which its own tests and users know.
        said = f"run_after={run_after!r} has no time zone: give timezone.now() + timedelta(...)."
        raise InvalidTask(f"run_after must be an aware datetime. {said}")
    return timezone.make_aware(run_after)


def _about_backends(alias: str) -> str:
    if alias not in settings.TASKS:
        return f"TASKS has {', '.join(map(repr, settings.TASKS))}."
    named = settings.TASKS[alias].get("BACKEND")
    return f"Give {OWN_BACKEND!r}." if str(named).startswith("django_tasks_durable") else ""


def _parted(kwargs: dict[str, Any]) -> tuple[dict[str, Any], driver.Place]:
    """Part the task's own arguments from those about the run."""
    about = {name: kwargs[name] for name in ("run_id", "store", "snapshot") if name in kwargs}
    return {name: value for name, value in kwargs.items() if name not in about}, driver.Place(**about)


def _rebuilt(kind: type[DurableTask[..., Any]], values: dict[str, Any]) -> DurableTask[..., Any]:
    """Make a pickled task again. It is not validated anew: QUEUES may have changed since."""
    path = values["func"]
    try:
        found = import_string(path)
        # A workflow class stands under its task's path.
        func = getattr(found, "task", found).func
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Expected {path!r} to point to a Task instance.") from error
    copy = object.__new__(kind)
    for name, value in {**values, "func": func}.items():
        object.__setattr__(copy, name, value)
    return copy


def options_of(task: Task[..., Any]) -> TaskOptions:
    """Return the options of a task; one that is not ours has the defaults."""
    return task.options if isinstance(task, DurableTask) else DEFAULTS


class _Decorator(Protocol):
    """What ``task(...)`` with options returns. The context, which the engine gives, is no argument of the caller's."""

    @overload
    def __call__(self, function: Callable[Concatenate[C, P], Generator[Any, Any, R]], /) -> DurableTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[C, P], Iterator[Any]], /) -> DurableTask[P, Any]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[C, P], AsyncIterator[Any]], /) -> DurableTask[P, Any]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[C, P], Coroutine[Any, Any, R]], /) -> DurableTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[C, P], R], /) -> DurableTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Generator[Any, Any, R]], /) -> DurableTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[Any]], /) -> DurableTask[P, Any]: ...
    @overload
    def __call__(self, function: Callable[P, AsyncIterator[Any]], /) -> DurableTask[P, Any]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> DurableTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> DurableTask[P, R]: ...


@overload
def task(function: Callable[Concatenate[C, P], Generator[Any, Any, R]], /) -> DurableTask[P, R]: ...
@overload
def task(function: Callable[Concatenate[C, P], Iterator[Any]], /) -> DurableTask[P, Any]: ...
@overload
def task(function: Callable[Concatenate[C, P], AsyncIterator[Any]], /) -> DurableTask[P, Any]: ...
@overload
def task(function: Callable[Concatenate[C, P], Coroutine[Any, Any, R]], /) -> DurableTask[P, R]: ...
@overload
def task(function: Callable[Concatenate[C, P], R], /) -> DurableTask[P, R]: ...
@overload
def task(function: Callable[P, Generator[Any, Any, R]], /) -> DurableTask[P, R]: ...
@overload
def task(function: Callable[P, Iterator[Any]], /) -> DurableTask[P, Any]: ...
@overload
def task(function: Callable[P, AsyncIterator[Any]], /) -> DurableTask[P, Any]: ...
@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> DurableTask[P, R]: ...
@overload
def task(function: Callable[P, R], /) -> DurableTask[P, R]: ...
@overload
def task(
    *,
    priority: int = 0,
    queue_name: str = "default",
    backend: str = "default",
    takes_context: bool | None = None,
    **options: Any,
) -> _Decorator: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    priority: int = 0,
    queue_name: str = "default",
    backend: str = "default",
    takes_context: bool | None = None,
    **options: Any,
) -> Any:
    """Make a task of a module-level function, generator, coroutine or async generator.

    A function whose first argument is named ``context`` is given one. The options are those of TaskOptions.
    """
    if own := next((name for name in ("run_after", *KEY_NAMES) if name in options), None):
        raise TypeError(f"{own} belongs to a call, not to a task: use .using({own}=...) where you enqueue.")
    refuse_unknown(options, DECORATOR_NAMES, "@task")
    if function is not None and not callable(function):
        raise TypeError(f"@task({function!r}): give options by name, such as @task(queue_name='mail').")

    def decorate(function: Callable[..., Any]) -> DurableTask[..., Any]:
        return DurableTask(
            func=function,
            priority=priority,
            queue_name=queue_name,
            backend=backend,
            run_after=None,  # Django 6.0 has no defaults for its fields.
            takes_context=_wants_context(function) if takes_context is None else takes_context,
            options=TaskOptions(**options) if options else DEFAULTS,
        )

    return decorate if function is None else decorate(function)


def _wants_context(function: Callable[..., Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and first.name == "context" and first.kind is not first.KEYWORD_ONLY
