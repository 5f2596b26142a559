"""Sentry: what a task raises is told with its run, task, queue and attempt. Does nothing where ``sentry_sdk`` is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.utils.decorators import sync_and_async_middleware

from .authoring.middleware import AttemptContext, EnqueueContext, GetOutcome, within
from .exceptions import ControlFlow


@sync_and_async_middleware
def sentry(get_outcome: GetOutcome) -> GetOutcome:
    """Give each attempt a scope of its own with tags, and report what ends it. What only suspends it is no error."""
    try:
        sdk = import_module("sentry_sdk")
    except ImportError:
        raise MiddlewareNotUsed("sentry_sdk is not installed.") from None

    def told(context: EnqueueContext | AttemptContext) -> AbstractContextManager[None]:
        return nullcontext() if isinstance(context, EnqueueContext) else _told(sdk, context)

    return within(get_outcome, told)


@contextmanager
def _told(sdk: Any, context: AttemptContext) -> Iterator[None]:
    with sdk.new_scope() as scope:
        scope.set_tag("durable.run_id", str(context.run_id))
        scope.set_tag("durable.task", context.task.module_path)
        scope.set_tag("durable.queue", context.task.queue_name)
        scope.set_tag("durable.attempt", context.attempt)
        try:
            yield
        except ControlFlow:
            raise
        except BaseException as error:
            # The worker logs it as well; Sentry drops the second report of one exception.
            sdk.capture_exception(error)
            raise
