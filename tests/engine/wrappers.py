"""Middleware that can be imported, as a project has them. They write what they see into HEARD."""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.utils.decorators import sync_and_async_middleware

from django_tasks_durable.middleware import AttemptContext, EnqueueContext, GetOutcome

HEARD: list[Any] = []


def _named(name: str) -> Any:
    """Make a middleware that tells when it is entered and how it is left."""

    @sync_and_async_middleware
    def factory(get_outcome: GetOutcome) -> GetOutcome:
        if iscoroutinefunction(get_outcome):

            async def amiddleware(context: Any) -> Any:
                _enter(name, context)
                try:
                    outcome = await get_outcome(context)
                except BaseException as error:
                    HEARD.append((name, "raised", type(error).__name__))
                    raise
                HEARD.append((name, "left", _told(context, outcome)))
                return outcome

            return amiddleware

        def middleware(context: Any) -> Any:
            _enter(name, context)
            try:
                outcome = get_outcome(context)
            except BaseException as error:
                HEARD.append((name, "raised", type(error).__name__))
                raise
            HEARD.append((name, "left", _told(context, outcome)))
            return outcome

        return middleware

    return factory


def _enter(name: str, context: Any) -> None:
    if isinstance(context, EnqueueContext):
        context.metadata.setdefault("seen_by", []).append(name)
        HEARD.append((name, "enqueue", context.calls))
    else:
        word = "undo" if context.is_undoing else "attempt"
        HEARD.append((name, word, context.attempt, context.metadata.get("seen_by")))


def _told(context: Any, outcome: Any) -> Any:
    return len(outcome) if isinstance(context, EnqueueContext) else outcome


outer, inner = _named("outer"), _named("inner")


def sync_only(get_outcome: GetOutcome) -> GetOutcome:
    """Have no form for coroutines."""
    return get_outcome


async def _never(context: Any) -> Any:
    raise AssertionError("nobody calls it")


def returns_a_coroutine(get_outcome: GetOutcome) -> GetOutcome:
    """Return the form that was not asked for."""
    return _never


def unused(get_outcome: GetOutcome) -> GetOutcome:
    """Stand aside, as Django lets a middleware do."""
    raise MiddlewareNotUsed


class Polite:
    """Be a class, as many a middleware is."""

    def __init__(self, get_outcome: GetOutcome) -> None:
        self.get_outcome = get_outcome

    def __call__(self, context: Any) -> Any:
        """Greet."""
        HEARD.append("polite")
        return self.get_outcome(context)


def _of_attempts(act: Any) -> Any:
    """Make a middleware that lets enqueues pass and does this with attempts."""

    @sync_and_async_middleware
    def factory(get_outcome: GetOutcome) -> GetOutcome:
        if iscoroutinefunction(get_outcome):

            async def amiddleware(context: Any) -> Any:
                if isinstance(context, EnqueueContext):
                    return await get_outcome(context)
                found = act(get_outcome, context)
                return await found if hasattr(found, "__await__") else found

            return amiddleware
        return lambda context: (
            get_outcome(context) if isinstance(context, EnqueueContext) else act(get_outcome, context)
        )

    return factory


def _raise(get_outcome: GetOutcome, context: AttemptContext) -> Any:
    raise RuntimeError(f"attempt {context.attempt} is refused")


def _twice(get_outcome: GetOutcome, context: AttemptContext) -> Any:
    get_outcome(context)
    return get_outcome(context)


raising = _of_attempts(_raise)
skipping = _of_attempts(lambda get_outcome, context: "skipped")


def _choose(get_outcome: GetOutcome, context: AttemptContext) -> Any:
    if context.metadata.get("refuse"):
        raise PermissionError("not here")
    return get_outcome(context)


choosy = _of_attempts(_choose)
keeping = _of_attempts(lambda get_outcome, context: None if context.is_undoing else get_outcome(context))
twice = _of_attempts(_twice)
foreign = _of_attempts(lambda get_outcome, context: get_outcome("another"))


def refusing(get_outcome: GetOutcome) -> GetOutcome:
    """Refuse every enqueue, before or after it."""

    def middleware(context: Any) -> Any:
        if isinstance(context, EnqueueContext):
            if context.task.queue_name == "after":
                get_outcome(context)
            raise PermissionError("not from here")
        return get_outcome(context)

    return middleware


def losing(get_outcome: GetOutcome) -> GetOutcome:
    """Enqueue nothing, and say nothing."""
    return lambda context: None if isinstance(context, EnqueueContext) else get_outcome(context)
