"""The step: a function's value, remembered under a key."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django_tasks_durable.authoring.options import BackoffLike
from django_tasks_durable.exceptions import InvalidWorkflow
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import CheckpointKind

from .effects import Act
from .frame import Frame
from .replay import Perform, Place, Replayed, ReplayedFailure
from .tries import NO_COROUTINE, Work, tried
from .unwinding import Compensation
from .waits import duration

OPTIONS = ("atomic", "backoff", "cache", "compensate", "max_attempts", "pure", "timeout")


def step(
    frame: Frame,
    key: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    atomic: bool = False,
    max_attempts: int = 1,
    backoff: BackoffLike | None = None,
    timeout: float | timedelta | None = None,
    cache: bool = True,
    compensate: Callable[..., Any] | None = None,
    pure: bool = False,
) -> Act[Any]:
    """Return what the function returned the first time; call it if there was none, or always without ``cache``.

    Whoever calls a ``pure`` step does not wait until its value is durable: running it again does no harm.
    """
    _expect_usable(function, atomic, max_attempts)
    _expect_harmless(pure, atomic=atomic, compensate=compensate)
    if compensate is not None:
        _expect_usable(compensate, atomic, max_attempts)
        _expect_no_workflow(frame, key)
    fingerprint = codec.fingerprint(args, kwargs) if cache else ""
    seconds = _seconds(timeout)
    place = frame.begin("step", key, fingerprint)
    try:
        decision = frame.decide(place, CheckpointKind.STEP)
        if cache and compensate is None and isinstance(decision, Replayed):
            return codec.decode(decision.text)  # thousands of these begin a resume
        work = Work(
            kind=CheckpointKind.STEP if compensate is None else CheckpointKind.UNDOABLE,
            function=function,
            args=args,
            kwargs=kwargs,
            fingerprint=fingerprint,
            atomic=atomic,
            max_attempts=max_attempts,
            backoff=backoff,
            timeout=seconds,
            is_recorded=not isinstance(decision, Perform),
            pure=pure,
        )
        is_answered = cache or frame.slice.is_rehearsal
        if is_answered and isinstance(decision, Replayed):
            value = codec.decode(decision.text)
            _note(frame, place, work, value, compensate)
            return value
        if is_answered and isinstance(decision, ReplayedFailure):
            raise frame.slice.remember(codec.decode_error(decision.text), place.path)
        value = yield from tried(frame, place, work, decision.tries if isinstance(decision, Perform) else ())
        _note(frame, place, work, value, compensate)
        return value
    finally:
        frame.end()


def _note(frame: Frame, place: Place, work: Work, value: Any, compensate: Callable[..., Any] | None) -> None:
    """Keep in mind how a step that has finished is undone."""
    if compensate is not None:
        frame.slice.compensations[place.path] = Compensation(
            function=compensate,
            value=value,
            atomic=work.atomic,
            max_attempts=work.max_attempts,
            backoff=work.backoff,
            timeout=work.timeout,
        )
        frame.slice.learned(frame.strand, place.path)


def key_for(function: Callable[..., Any]) -> str:
    """Return the key of a step that was given none: its function's name."""
    found = function.func if isinstance(function, partial) else function
    return str(getattr(found, "__qualname__", type(found).__qualname__))


def _seconds(timeout: float | timedelta | None) -> float | None:
    if timeout is None:
        return None
    seconds = duration(timeout, "timeout").total_seconds()
    if not seconds:
        raise ValueError(f"timeout={timeout!r}: give the seconds that a try may take, or a timedelta.")
    return seconds


def _expect_usable(function: Callable[..., Any], atomic: bool, max_attempts: int) -> None:
    if not callable(function):
        raise TypeError(f"A step calls a function, and {type(function).__name__} is none: step(key, function, *args).")
    if atomic and (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        raise TypeError(NO_COROUTINE)
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
        raise ValueError(f"max_attempts={max_attempts!r}: give a whole number from 1.")


def _expect_harmless(pure: bool, *, atomic: bool, compensate: Callable[..., Any] | None) -> None:
    if not isinstance(pure, bool):
        raise TypeError(f"pure={pure!r}: give True or False.")
    if pure and (atomic or compensate is not None):
        raise ValueError(
            f"pure=True with {'atomic=True' if atomic else 'compensate='}: a pure step does nothing but return a value, so there "
            "is nothing to commit with it or to undo. Leave one of the two away."
        )


def _expect_no_workflow(frame: Frame, key: str) -> None:
    if frame.slice.machine is not None:
        raise InvalidWorkflow(
            frame.slice.machine.plan.workflow,
            f"{key!r} has a compensate=, and a workflow does not remember the steps of earlier visits. "
            "Undo it in a step that the workflow goes on to.",
        )
