"""The middleware around what producers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar
from uuid import UUID

from django_tasks_durable.authoring.middleware import CHAINS, Call, EnqueueContext
from django_tasks_durable.authoring.options import TaskOptions
from django_tasks_durable.authoring.tasks import options_of
from django_tasks_durable.compat import Task
from django_tasks_durable.exceptions import MiddlewareMisused

from . import vendors

T = TypeVar("T")


def admitted(
    task: Task[..., Any],
    calls: Sequence[Call],
    insert: Callable[[Mapping[str, Any]], T],
    ids: Callable[[T], Sequence[UUID]],
    *,
    backend_alias: str,
    using: str | None = None,
) -> T:
    """Put runs into the store through the middleware of their alias, whatever these add to the metadata.

    On a database, both are one transaction: a middleware that raises leaves nothing behind. Raise MiddlewareMisused when
    one does not ask for the outcome, for then there is no run.
    """
    options: TaskOptions = options_of(task)
    chain = CHAINS[backend_alias]
    if chain is None:
        return insert(options.metadata)
    made: list[T] = []

    def enter(metadata: Mapping[str, Any]) -> Sequence[UUID]:
        made.append(insert(metadata))
        return ids(made[0])

    context = EnqueueContext(task, calls, options.metadata).insert_with(enter)
    with nullcontext() if using is None else vendors.write_transaction(using):
        chain(context)
        if not made:
            raise MiddlewareMisused(
                f"A middleware did not call get_outcome, so {task.module_path} was not enqueued: let it raise instead."
            )
    return made[0]
