"""What a project wraps around each enqueue and each attempt: callables of ``get_outcome``, as Django's middleware is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from django_tasks_durable.compat import Task
from django_tasks_durable.conf import InvalidOptions, Problem, get_options
from django_tasks_durable.exceptions import MiddlewareMisused

Call = tuple[Sequence[Any], Mapping[str, Any]]
#: What a middleware is made with, and what it is itself: a function of a context; in its asynchronous form a coroutine function.
GetOutcome = Callable[[Any], Any]


class _Wrapped:
    """What is given to a middleware, and by it to ``get_outcome``: once, as it is."""

    __slots__ = ("_perform", "is_begun")

    def __init__(self, perform: Callable[[], Any]) -> None:
        self._perform = perform
        #: Whether a middleware has asked for the outcome.
        self.is_begun = False

    def begin(self) -> Any:
        """Do what the middleware stand around. Raise MiddlewareMisused the second time."""
        if self.is_begun:
            raise MiddlewareMisused("get_outcome was called twice: a middleware calls it once, or raises.")
        self.is_begun = True
        return self._perform()


class EnqueueContext(_Wrapped):
    """Runs of a task that are about to be enqueued: one, or those of one ``enqueue_many()``.

    What is put into ``metadata`` before ``get_outcome`` is called is kept with each of them. The outcome is their ids.
    """

    __slots__ = ("calls", "metadata", "task")

    def __init__(self, task: Task[..., Any], calls: Sequence[Call], metadata: Mapping[str, Any]) -> None:
        super().__init__(tuple)
        self.task = task
        self.calls = tuple(calls)
        self.metadata = dict(metadata)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.task.module_path}>"

    def insert_with(self, insert: Callable[[Mapping[str, Any]], Sequence[UUID]]) -> EnqueueContext:
        """Say how the runs are put into the store, with the metadata as it is then."""
        self._perform = lambda: tuple(insert(self.metadata))
        return self


class AttemptContext(_Wrapped):
    """An attempt of a run, from its claim to its end or its next wait. The outcome is what the task returns.

    ``metadata`` is what the enqueue left. With ``is_undoing`` the run has come to a bad end, and what is wrapped are the
    compensations of its steps; the outcome is None then.
    """

    __slots__ = ("attempt", "is_undoing", "metadata", "run_id", "task")

    def __init__(
        self,
        task: Task[..., Any],
        run_id: UUID,
        attempt: int,
        metadata: Mapping[str, Any],
        perform: Callable[[], Any],
        *,
        is_undoing: bool = False,
    ) -> None:
        super().__init__(perform)
        self.task = task
        self.run_id = run_id
        self.attempt = attempt
        self.metadata = metadata
        self.is_undoing = is_undoing

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.attempt} of run {self.run_id}, {self.task.module_path}>"


def within(get_outcome: GetOutcome, scope: Callable[[Any], AbstractContextManager[object]]) -> GetOutcome:
    """Return a middleware that asks for each outcome within the scope of its context, in the form that ``get_outcome`` has."""
    if iscoroutinefunction(get_outcome):

        async def amiddleware(context: Any) -> Any:
            with scope(context):
                return await get_outcome(context)

        return amiddleware

    def middleware(context: Any) -> Any:
        with scope(context):
            return get_outcome(context)

    return middleware


def unusable(path: str, *, is_async: bool) -> Problem | None:
    """Say what keeps a middleware from being used around synchronous or asynchronous code; None when nothing does."""
    try:
        factory = import_string(path)
    except ImportError as error:
        hint = "Give the dotted path of a function of get_outcome, in a module that can be imported."
        return Problem("middleware", f"The middleware {path!r} cannot be imported: {error}.", hint)
    except Exception as error:
        said = f"The middleware {path!r} cannot be imported: {type(error).__name__}: {error}."
        return Problem("middleware", said, "Mend its module.")
    if not callable(factory):
        return Problem("middleware", f"The middleware {path!r} cannot be called.", "Give a function of get_outcome.")
    if not is_async and not getattr(factory, "sync_capable", True):
        hint = "Decorate it with django.utils.decorators.sync_and_async_middleware and give it both forms."
        return Problem("middleware", f"The middleware {path!r} is asynchronous only, and enqueue() is not.", hint)
    if is_async and not getattr(factory, "async_capable", False):
        hint = "Decorate it with django.utils.decorators.sync_and_async_middleware and give it both forms."
        return Problem(
            "middleware", f"The middleware {path!r} is synchronous only: it cannot stand around a coroutine.", hint
        )
    return None


class _Chains(dict[str, GetOutcome | None]):
    """The middleware of each alias as one function of a context; None where there is none. Made when first asked for."""

    def __init__(self, innermost: GetOutcome) -> None:
        super().__init__()
        self._innermost = innermost
        self._is_async = iscoroutinefunction(innermost)
        self._lock = threading.RLock()

    def __missing__(self, alias: str) -> GetOutcome | None:
        with self._lock:
            if alias not in self:
                self[alias] = self._made(alias)
            return self[alias]

    def _made(self, alias: str) -> GetOutcome | None:
        paths = get_options(alias).middleware
        made = self._innermost
        for path in reversed(paths):
            if (problem := unusable(path, is_async=self._is_async)) is not None:
                raise InvalidOptions(alias, [problem])
            try:
                around = import_string(path)(made)
            except MiddlewareNotUsed:
                continue
            if not callable(around) or iscoroutinefunction(around) is not self._is_async:
                wanted = "a coroutine function" if self._is_async else "a synchronous function"
                said = f"The middleware {path!r} returned {around!r} for a get_outcome that is {wanted}."
                raise InvalidOptions(alias, [Problem("middleware", said, f"Return {wanted} of the context.")])
            made = around
        return made if paths else None


def _begin(context: _Wrapped) -> Any:
    return _as_given(context).begin()


async def _abegin(context: _Wrapped) -> Any:
    return await _as_given(context).begin()


def _as_given(context: object) -> _Wrapped:
    if not isinstance(context, _Wrapped):
        raise MiddlewareMisused(f"get_outcome was called with {context!r}: pass on the context that was given.")
    return context


#: By alias: what stands around synchronous code and every enqueue, and what stands around coroutines.
CHAINS = _Chains(_begin)
ASYNC_CHAINS = _Chains(_abegin)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "TASKS":
        CHAINS.clear()
        ASYNC_CHAINS.clear()


setting_changed.connect(_forget, dispatch_uid="django_tasks_durable.middleware")
