"""What a task is given to work with, and the same words for code that is given nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload
from uuid import UUID

from django.forms import BaseForm
from django.utils import timezone

from django_tasks_durable.authoring.tasks import BoundTask
from django_tasks_durable.compat import Task, TaskContext, TaskResult, TaskResultStatus
from django_tasks_durable.exceptions import RunCancelled
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.links import APPROVAL, WEBHOOK
from django_tasks_durable.primitives.writes import ClaimedRun

from . import approvals, children, links, messages, nesting, notes, patches, polls, steps, waits
from .bodies import CURRENT
from .children import ChildHandle
from .drive import arun, run
from .effects import Act
from .frame import Frame
from .inline import InlineSlice
from .nested_calls import AsyncNestedCall, NestedCall
from .step_words import AsyncStepWord, StepWord
from .waits import MISSING, Missing, Question, duration, duration_or_none

__all__ = [
    "DurableContext",
    "approval",
    "approval_url",
    "get_context",
    "interrupt",
    "join",
    "log",
    "patched",
    "pause",
    "poll",
    "progress",
    "recv",
    "register_result_factory",
    "sleep",
    "spawn",
    "step",
    "wait",
    "wait_event",
    "webhook",
    "webhook_url",
]

P = ParamSpec("P")
R = TypeVar("R")
# Spelled loosely, because the framework of Django 6 cannot be subscripted when the program runs.
ResultFactory = Callable[[ClaimedRun, Any], Any]
_result_factory: ResultFactory | None = None


def register_result_factory(factory: ResultFactory | None) -> None:
    """Let the backend, which stands on a higher floor, make ``context.task_result`` when somebody asks for it."""
    global _result_factory
    _result_factory = factory


class DurableContext(TaskContext):  # type: ignore[type-arg]
    """What a run may ask of the engine: to remember, to wait, to call others, to tell how far it is.

    Each word that can wait has a twin for coroutines, whose name begins with ``a``.
    """

    __slots__ = ("_frame", "_given_result", "_made_result")

    # Django's context is a frozen dataclass; this one keeps its own attributes and no field.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__
    __hash__ = object.__hash__

    def __init__(self, frame: Frame, task_result: TaskResult[..., Any] | None = None) -> None:
        self._frame = frame
        self._given_result = task_result
        self._made_result: TaskResult[..., Any] | None = None

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of run {self.run_id}>"

    def __reduce__(self) -> Any:
        raise TypeError("A context belongs to one attempt of one run on this machine: it cannot be pickled.")

    # --- what it is

    @property
    def task_result(self) -> TaskResult[..., Any]:  # type: ignore[override]
        """Django's view of the run, as it was when the attempt began; made when it is first asked for."""
        if self._given_result is not None:
            return self._given_result
        if self._made_result is None:
            slice = self._frame.slice
            assert slice.task is not None
            self._made_result = (_result_factory or _plain_result)(slice.claimed, slice.task)
        return self._made_result

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1. Waiting, sleeping and a worker's end do not count."""
        return self._frame.slice.attempt

    @property
    def max_attempts(self) -> int:
        """The number of attempts that may end in an exception."""
        return self._frame.slice.claimed.max_attempts

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the enqueue left with the run: the metadata of the task, of the call and of the middleware."""
        return self._frame.slice.metadata

    @property
    def run_id(self) -> UUID:
        """The id of the run."""
        return self._frame.slice.claimed.run_id

    @property
    def task_path(self) -> str:
        """The path of the task that runs."""
        return self._frame.slice.claimed.task_path

    @property
    def idempotency_key(self) -> str:
        """A name for what is being done just now, the same each time it is tried: the run's id and the step's path."""
        busy = self._frame.scope.busy
        return f"{self.run_id}:{busy}" if busy else str(self.run_id)

    @property
    def suspending(self) -> bool:
        """Whether the body is being left because it waits; ``finally`` blocks run then, too."""
        return self._frame.strand.suspended() is not None

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the run to be cancelled; a long computation may look here, a primitive raises by itself."""
        return isinstance(self._frame.slice.control.reason, RunCancelled)

    # --- what it remembers

    if TYPE_CHECKING:

        @property
        def step(self) -> StepWord:
            """See below."""

        @property
        def astep(self) -> AsyncStepWord:
            """See below."""

    else:

        def step(self, key: Any, /, *args: Any, **kwargs: Any) -> Any:
            """Call a function and remember its value under a key, so that it is not called again.

            At least once; with ``atomic=True`` its ORM writes and its value are committed together: exactly once.
            Without a key the function's name is the key. A try that takes longer than ``timeout`` (seconds) has failed. With
            ``cache=False`` the function is called at each replay, too. ``compensate`` undoes the step when the run fails for
            good: it is called with the value, and with the exception as ``error`` if it takes that. ``pure=True`` promises
            that the function returns the same value for the same arguments and does nothing else: the body goes on before the
            value is durable, which it is before the next step that is not pure begins, and before anybody sees what follows.
            """
            return run(self._frame.slice, self._step(key, args, kwargs))

        async def astep(self, key: Any, /, *args: Any, **kwargs: Any) -> Any:
            """See step(). The function may be a coroutine function; another one runs on a thread."""
            return await arun(self._frame.slice, self._step(key, args, kwargs))

    def _step(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Act[Any]:
        function, *rest = (key, *args) if callable(key) and not isinstance(key, str) else (args or (None,))
        said = {name: kwargs.pop(name) for name in steps.OPTIONS if name in kwargs}
        name = key if isinstance(key, str) or not callable(key) else steps.key_for(key)
        return steps.step(self._frame, name, function, rest, kwargs, **said)

    def patched(self, name: str) -> bool:
        """Tell whether this run takes the new way where its code was changed; the answer never changes.

        True for a run that had not come this far, False for one that has gone past here without being asked.
        """
        return patches.patched(self._frame, name)

    # --- what it waits for

    def sleep(
        self,
        key: str | float | timedelta = "sleep",
        seconds: float = 0,
        *,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        until: datetime | None = None,
    ) -> datetime:
        """Sleep, with the worker's slot free meanwhile; return the instant at which it was over."""
        return run(self._frame.slice, self._sleep(key, seconds, minutes, hours, days, until))

    async def asleep(
        self,
        key: str | float | timedelta = "sleep",
        seconds: float = 0,
        *,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        until: datetime | None = None,
    ) -> datetime:
        """See sleep()."""
        return await arun(self._frame.slice, self._sleep(key, seconds, minutes, hours, days, until))

    def _sleep(
        self,
        key: str | float | timedelta,
        seconds: float,
        minutes: float,
        hours: float,
        days: float,
        until: datetime | None,
    ) -> Act[datetime]:
        length = timedelta(days=days, hours=hours, minutes=minutes) + duration(seconds, "seconds")
        name = key if isinstance(key, str) else "sleep"
        if not isinstance(key, str):
            length += duration(key, "sleep")
        if until is None:
            return waits.sleep(self._frame, name, duration(length, "sleep"))
        if length:
            raise ValueError("sleep() takes a duration or until=, not both.")
        if not isinstance(until, datetime) or timezone.is_naive(until):
            raise ValueError(f"until={until!r}: give an aware datetime.")
        return waits.sleep(self._frame, name, until)

    def interrupt(
        self,
        payload: Any = None,
        *,
        key: str = "interrupt",
        timeout: float | timedelta | None = None,
        default: Any = MISSING,
    ) -> Any:
        """Put a question to a person and return the answer. After ``timeout`` (seconds) the default is the answer."""
        return run(self._frame.slice, self._wait("interrupt", key, payload, timeout, default))

    async def ainterrupt(
        self,
        payload: Any = None,
        *,
        key: str = "interrupt",
        timeout: float | timedelta | None = None,
        default: Any = MISSING,
    ) -> Any:
        """See interrupt()."""
        return await arun(self._frame.slice, self._wait("interrupt", key, payload, timeout, default))

    def wait(
        self, key: str, request: Any = None, *, timeout: float | timedelta | None = None, default: Any = MISSING
    ) -> Any:
        """Wait for an answer to ``request`` under a key. Without a default, WaitTimeout is raised after ``timeout``."""
        return run(self._frame.slice, self._wait("wait", key, request, timeout, default))

    async def await_(
        self, key: str, request: Any = None, *, timeout: float | timedelta | None = None, default: Any = MISSING
    ) -> Any:
        """See wait(). (``await`` is a word of Python's.)"""
        return await arun(self._frame.slice, self._wait("wait", key, request, timeout, default))

    def _wait(self, kind: str, key: str, request: Any, timeout: float | timedelta | None, default: Any) -> Act[Any]:
        length = duration_or_none(timeout, "timeout")
        question = Question(kind=kind, key=key, request=request, timeout=length, default=default)
        return waits.wait(self._frame, question)

    def approval(
        self, key: str, request: Any = None, *, permission: str | None = None, form: str | type[BaseForm] | None = None,
        timeout: float | timedelta | None = None, default: Any = MISSING,
    ) -> Any:  # fmt: skip
        """Ask a person and return what they say: True or False, a choice, or the cleaned data of a registered form.

        ``permission`` ("app.codename") is asked of whoever answers in the admin, by a link or with ``--user``.
        """
        return run(self._frame.slice, self._approval(key, request, permission, form, timeout, default))

    async def aapproval(
        self, key: str, request: Any = None, *, permission: str | None = None, form: str | type[BaseForm] | None = None,
        timeout: float | timedelta | None = None, default: Any = MISSING,
    ) -> Any:  # fmt: skip
        """See approval()."""
        return await arun(self._frame.slice, self._approval(key, request, permission, form, timeout, default))

    def _approval(
        self, key: str, request: Any, permission: str | None, form: str | type[BaseForm] | None,
        timeout: float | timedelta | None, default: Any,
    ) -> Act[Any]:  # fmt: skip
        length = duration_or_none(timeout, "timeout")
        return approvals.approval(
            self._frame, key, request, permission=permission, form=form, timeout=length, default=default
        )

    def approval_url(self, key: str, *, valid_for: float | timedelta | None = None) -> str:
        """Return the address of a page where the next ``approval(key)`` is answered, for an e-mail. Make it before."""
        return run(self._frame.slice, self._link(APPROVAL, key, valid_for))

    async def aapproval_url(self, key: str, *, valid_for: float | timedelta | None = None) -> str:
        """See approval_url()."""
        return await arun(self._frame.slice, self._link(APPROVAL, key, valid_for))

    def webhook_url(self, key: str, *, valid_for: float | timedelta | None = None) -> str:
        """Return the address that a program posts JSON to, once, as the answer of the next ``webhook(key)``."""
        return run(self._frame.slice, self._link(WEBHOOK, key, valid_for))

    async def awebhook_url(self, key: str, *, valid_for: float | timedelta | None = None) -> str:
        """See webhook_url()."""
        return await arun(self._frame.slice, self._link(WEBHOOK, key, valid_for))

    def _link(self, kind: str, key: str, valid_for: float | timedelta | None) -> Act[str]:
        return links.link(self._frame, kind, key, duration_or_none(valid_for, "valid_for"))

    def webhook(self, key: str, *, timeout: float | timedelta | None = None, default: Any = MISSING) -> Any:
        """Wait for the JSON that is posted to ``webhook_url(key)``. It may have come before."""
        return run(self._frame.slice, self._webhook(key, timeout, default))

    async def awebhook(self, key: str, *, timeout: float | timedelta | None = None, default: Any = MISSING) -> Any:
        """See webhook()."""
        return await arun(self._frame.slice, self._webhook(key, timeout, default))

    def _webhook(self, key: str, timeout: float | timedelta | None, default: Any) -> Act[Any]:
        return links.webhook(self._frame, key, duration_or_none(timeout, "timeout"), default)

    def recv(self, name: str, *, timeout: float | timedelta | None = None, default: Any = MISSING) -> Any:
        """Take the oldest message of a name that was sent to this run, or wait for one. Each is received once."""
        return run(self._frame.slice, self._recv(name, timeout, default))

    async def arecv(self, name: str, *, timeout: float | timedelta | None = None, default: Any = MISSING) -> Any:
        """See recv()."""
        return await arun(self._frame.slice, self._recv(name, timeout, default))

    def _recv(self, name: str, timeout: float | timedelta | None, default: Any) -> Act[Any]:
        return messages.receive(self._frame, name, duration_or_none(timeout, "timeout"), default)

    def wait_event(self, name: str, *, timeout: float | timedelta | None = None, default: Any = MISSING) -> Any:
        """Wait for the next broadcast of an event. One that was told before the run waited is not heard."""
        return run(self._frame.slice, self._wait_event(name, timeout, default))

    async def await_event(self, name: str, *, timeout: float | timedelta | None = None, default: Any = MISSING) -> Any:
        """See wait_event()."""
        return await arun(self._frame.slice, self._wait_event(name, timeout, default))

    def _wait_event(self, name: str, timeout: float | timedelta | None, default: Any) -> Act[Any]:
        return messages.listen(self._frame, name, duration_or_none(timeout, "timeout"), default)

    def poll(
        self, key: str, function: Callable[..., Any], /, *args: Any, every: float | timedelta,
        timeout: float | timedelta | None = None, max_polls: int | None = None,
        until: Callable[[Any], Any] | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call a function ``every`` so often, with the slot free in between, and remember its first value that will do.

        That is one that is not None, or one that ``until`` accepts. PollTimeout is raised after ``timeout`` or ``max_polls``.
        """
        question = polls.Question.of(function, args, kwargs, every, timeout, max_polls, until)
        return run(self._frame.slice, polls.poll(self._frame, key, question))

    async def apoll(
        self, key: str, function: Callable[..., Any], /, *args: Any, every: float | timedelta,
        timeout: float | timedelta | None = None, max_polls: int | None = None,
        until: Callable[[Any], Any] | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """See poll(). The function may be a coroutine function."""
        question = polls.Question.of(function, args, kwargs, every, timeout, max_polls, until)
        return await arun(self._frame.slice, polls.poll(self._frame, key, question))

    def pause(self, key: str = "pause") -> None:
        """Give the worker's slot back and go on when others have had their turn."""
        run(self._frame.slice, polls.pause(self._frame, key))

    async def apause(self, key: str = "pause") -> None:
        """See pause()."""
        await arun(self._frame.slice, polls.pause(self._frame, key))

    # --- whom it calls

    @overload
    def call(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> NestedCall[R]: ...
    @overload
    def call(self, task: BoundTask[R], /, *args: Any, **kwargs: Any) -> NestedCall[R]: ...
    def call(self, task: Any, /, *args: Any, **kwargs: Any) -> NestedCall[Any]:
        """Run another task inside this one, in a scope of its own: an iterator of its partials, then its ``value``."""
        return NestedCall(self._frame, nesting.call(self._frame, task, args, kwargs))

    @overload
    def acall(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AsyncNestedCall[R]: ...
    @overload
    def acall(self, task: BoundTask[R], /, *args: Any, **kwargs: Any) -> AsyncNestedCall[R]: ...
    def acall(self, task: Any, /, *args: Any, **kwargs: Any) -> AsyncNestedCall[Any]:
        """See call(). Iterate over it with ``async for``, or await its value."""
        return AsyncNestedCall(self._frame, nesting.call(self._frame, task, args, kwargs))

    def gather(self, *branches: Any, return_exceptions: bool = False) -> Any:
        """Run branches side by side, each in a scope of its own: tasks with ``bind(...)``, or functions.

        A function whose first argument is named ``context`` is given that of its branch, another one nothing.
        Takes a mapping of names to branches and returns a dict, or takes branches and returns a list. Each branch goes
        on to its own end or wait, then the run suspends once with all waits. The first failure is raised when all rest.
        """
        named, has_names = nesting.named(branches)
        values = run(self._frame.slice, nesting.gather(self._frame, named, return_exceptions))
        return values if has_names else list(values.values())

    async def agather(self, *branches: Any, return_exceptions: bool = False) -> Any:
        """See gather()."""
        named, has_names = nesting.named(branches)
        values = await arun(self._frame.slice, nesting.gather(self._frame, named, return_exceptions))
        return values if has_names else list(values.values())

    @overload
    def spawn(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> ChildHandle[R]: ...
    @overload
    def spawn(
        self, task: Task[..., R], /, *args: Any, key: str | None, abandon: bool = False, **kwargs: Any
    ) -> ChildHandle[R]: ...
    @overload
    def spawn(
        self, task: Task[..., R], /, *args: Any, key: str | None = None, abandon: bool, **kwargs: Any
    ) -> ChildHandle[R]: ...
    @overload
    def spawn(
        self, task: BoundTask[R], /, *args: Any, key: str | None = None, abandon: bool = False, **kwargs: Any
    ) -> ChildHandle[R]: ...
    def spawn(  # type: ignore[misc]  # a task that has a parameter of one of these names is given it by bind()
        self, task: Any, /, *args: Any, key: str | None = None, abandon: bool = False, **kwargs: Any
    ) -> ChildHandle[Any]:
        """Start a task as a child with a run of its own, once, and go on at once with a handle to it.

        The child is cancelled when this run fails or is cancelled, unless ``abandon``. Without a key the task's name is the key.
        """
        return run(self._frame.slice, children.spawn(self._frame, task, args, kwargs, key, abandon))

    @overload
    async def aspawn(self, task: Task[P, R], /, *args: P.args, **kwargs: P.kwargs) -> ChildHandle[R]: ...
    @overload
    async def aspawn(
        self, task: Task[..., R], /, *args: Any, key: str | None, abandon: bool = False, **kwargs: Any
    ) -> ChildHandle[R]: ...
    @overload
    async def aspawn(
        self, task: Task[..., R], /, *args: Any, key: str | None = None, abandon: bool, **kwargs: Any
    ) -> ChildHandle[R]: ...
    @overload
    async def aspawn(
        self, task: BoundTask[R], /, *args: Any, key: str | None = None, abandon: bool = False, **kwargs: Any
    ) -> ChildHandle[R]: ...
    async def aspawn(  # type: ignore[misc]  # a task that has a parameter of one of these names is given it by bind()
        self, task: Any, /, *args: Any, key: str | None = None, abandon: bool = False, **kwargs: Any
    ) -> ChildHandle[Any]:
        """See spawn()."""
        return await arun(self._frame.slice, children.spawn(self._frame, task, args, kwargs, key, abandon))

    def join(self, *handles: ChildHandle[Any], return_exceptions: bool = False) -> list[Any]:
        """Wait until these children have ended, suspended once, and return their results in order."""
        return run(self._frame.slice, children.join(self._frame, handles, return_exceptions))

    async def ajoin(self, *handles: ChildHandle[Any], return_exceptions: bool = False) -> list[Any]:
        """See join()."""
        return await arun(self._frame.slice, children.join(self._frame, handles, return_exceptions))

    # --- what it tells

    def progress(
        self,
        percent: float | None = None,
        label: str | Missing | None = MISSING,
        *,
        meta: Mapping[str, Any] | Missing | None = MISSING,
        **more: Any,
    ) -> None:
        """Say how far the run is, from 0 to 100. What is not given stays as it was; a label or meta of None is cleared."""
        notes.progress(self._frame, percent, label, meta, more)

    def log(
        self,
        message: str = "step",
        /,
        *,
        kind: str = "log",
        level: str = "info",
        percent: float | None = None,
        **data: Any,
    ) -> None:
        """Write a line into the run's timeline; a percent also says how far the run is.

        ``kind`` is log, step, event, checkpoint or custom; ``level`` debug, info, success, warn, error or custom.
        """
        notes.log(self._frame, message, kind, level, percent, data)

    def finish(self, value: Any) -> None:
        """Say what an async generator returns, which Python does not let it do by ``return``."""
        self._frame.finished = (value,)


def _plain_result(claimed: ClaimedRun, task: Task[..., Any]) -> TaskResult[..., Any]:
    return TaskResult(
        task=task,
        id=str(claimed.run_id),
        status=TaskResultStatus.RUNNING,
        enqueued_at=claimed.enqueued_at,
        started_at=claimed.started_at,
        finished_at=None,
        last_attempted_at=None,
        args=codec.readable(claimed.args),
        kwargs=codec.readable(claimed.kwargs),
        backend=claimed.backend,
        errors=[],
        worker_ids=[],
    )


# --- the same words for code that is given no context: the current one's, or at once and remembering nothing


def get_context() -> DurableContext:
    """Return the context of the task that runs just now; outside of one, a context that remembers nothing."""
    frame = CURRENT.get()
    if frame is not None:
        return frame.context
    return InlineSlice(DurableContext).root.context


def step(key: Any, /, *args: Any, **kwargs: Any) -> Any:
    """See DurableContext.step()."""
    return get_context().step(key, *args, **kwargs)


def sleep(key: str | float | timedelta = "sleep", seconds: float = 0, **options: Any) -> datetime:
    """See DurableContext.sleep(). Outside of a task it does not sleep."""
    return get_context().sleep(key, seconds, **options)


def interrupt(payload: Any = None, **options: Any) -> Any:
    """See DurableContext.interrupt(). Outside of a task it raises Interrupted, or takes the default."""
    return get_context().interrupt(payload, **options)


def wait(key: str, request: Any = None, **options: Any) -> Any:
    """See DurableContext.wait(). Outside of a task it raises Interrupted, or takes the default."""
    return get_context().wait(key, request, **options)


def patched(name: str) -> bool:
    """See DurableContext.patched(). Outside of a task it is the new way."""
    return get_context().patched(name)


def approval(key: str, request: Any = None, **options: Any) -> Any:
    """See DurableContext.approval(). Outside of a task it raises Interrupted, or takes the default."""
    return get_context().approval(key, request, **options)


def approval_url(key: str, **options: Any) -> str:
    """See DurableContext.approval_url(). Outside of a task it leads nowhere."""
    return get_context().approval_url(key, **options)


def webhook_url(key: str, **options: Any) -> str:
    """See DurableContext.webhook_url(). Outside of a task it leads nowhere."""
    return get_context().webhook_url(key, **options)


def webhook(key: str, **options: Any) -> Any:
    """See DurableContext.webhook(). Outside of a task it raises Interrupted, or takes the default."""
    return get_context().webhook(key, **options)


def recv(name: str, **options: Any) -> Any:
    """See DurableContext.recv(). Outside of a task it raises Interrupted, or takes the default."""
    return get_context().recv(name, **options)


def wait_event(name: str, **options: Any) -> Any:
    """See DurableContext.wait_event(). Outside of a task it raises Interrupted, or takes the default."""
    return get_context().wait_event(name, **options)


def progress(percent: float | None = None, label: str | Missing | None = MISSING, **more: Any) -> None:
    """See DurableContext.progress()."""
    get_context().progress(percent, label, **more)


def log(message: str = "step", /, **options: Any) -> None:
    """See DurableContext.log()."""
    get_context().log(message, **options)


def spawn(task: Any, /, *args: Any, **options: Any) -> ChildHandle[Any]:
    """See DurableContext.spawn(). Outside of a task the child runs to its end at once."""
    return get_context().spawn(task, *args, **options)


def join(*handles: ChildHandle[Any], return_exceptions: bool = False) -> list[Any]:
    """See DurableContext.join()."""
    if CURRENT.get() is None:
        return [handle.join(return_exceptions=return_exceptions) for handle in handles]
    return get_context().join(*handles, return_exceptions=return_exceptions)


def poll(key: str, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """See DurableContext.poll(). Outside of a task it does not wait between two polls."""
    return get_context().poll(key, function, *args, **options)


def pause(key: str = "pause") -> None:
    """See DurableContext.pause(). Outside of a task it does nothing."""
    get_context().pause(key)
