"""How somebody from outside enqueues: only what was exposed, with arguments that fit, on behalf of a person.

Snapshots are imported inside the functions, see backend.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from django_tasks_durable.authoring.declarations import misfit
from django_tasks_durable.authoring.tasks import DurableTask, options_of, registered
from django_tasks_durable.compat import Task
from django_tasks_durable.conf import durable_aliases, get_options
from django_tasks_durable.exceptions import InvalidCall, NotIdempotent, UnknownTask
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.origins import ENQUEUED_BY

from .results import DurableTaskResult

if TYPE_CHECKING:
    from django_tasks_durable.snapshots.policy import User


def exposed(user: User) -> Iterator[tuple[str, Task[..., Any]]]:
    """Give the tasks that a user may enqueue from outside, by path."""
    from django_tasks_durable.snapshots import policy  # imports models, see backend.py

    if not policy.may(user, policy.ENQUEUE):
        return
    for path, task in sorted(registered().items()):
        asked = options_of(task).expose
        is_exposed = task.backend in durable_aliases() and (asked or _is_listed(path, task.backend))
        if is_exposed and (not isinstance(asked, str) or policy.may(user, asked)):
            yield path, task


def _is_listed(path: str, alias: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in get_options(alias).expose)


def exposed_task(path: str, user: User) -> Task[..., Any]:
    """Return a task that a user may enqueue from outside. Raise UnknownTask, also for one that is not exposed."""
    found = dict(exposed(user)).get(path)
    if found is None:
        raise UnknownTask(path)
    return found


def enqueue(
    path: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    user: User,
    run_after: datetime | None = None,
    idempotency_key: str | None = None,
) -> DurableTaskResult:
    """Enqueue an exposed task on behalf of a user, whose name is kept with the run and whose key is only theirs.

    Raise UnknownTask, InvalidCall for arguments that do not fit, NotIdempotent for a key of a task that takes none, and
    what enqueue() raises.
    """
    task = exposed_task(path, user)
    limit = get_options(task.backend).max_payload_bytes
    texts = (
        codec.encode(list(args), where="args", limit=limit),
        codec.encode(dict(kwargs), where="kwargs", limit=limit),
    )
    problem = "an argument cannot be named 'self'" if "self" in kwargs else misfit(task, *texts)
    if problem:
        raise InvalidCall(path, problem)
    result: Any = _on_behalf(task, user, run_after, idempotency_key).enqueue(*args, **kwargs)
    assert isinstance(result, DurableTaskResult), "only tasks of durable aliases are exposed"
    return result


def _on_behalf(
    task: Task[..., Any], user: User, run_after: datetime | None, idempotency_key: str | None
) -> Task[..., Any]:
    if isinstance(task, DurableTask):
        changes: dict[str, Any] = {"metadata": {**task.options.metadata, ENQUEUED_BY: user.get_username()}}
        if idempotency_key is not None:
            # The names of these keys are shared by all tasks and callers.
            changes["idempotency_key"] = f"{user.pk}:{idempotency_key}"
        task = task.using(**changes)
    elif idempotency_key is not None:
        raise NotIdempotent(task.module_path)
    if run_after is not None:
        task = task.using(run_after=run_after)
    hook = get_options(task.backend).enqueue_as
    return import_string(hook)(user, task) if hook else task
