"""How somebody from outside calls a workflow by name: its commands and its queries, with arguments that fit."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.authoring.workflow_tasks import workflow_of
from django_tasks_durable.exceptions import CommandFailed, DurableError, InvalidCall, NotSerializable, UnknownWord
from django_tasks_durable.primitives import codec

if TYPE_CHECKING:
    from django_tasks_durable.authoring.workflow import Workflow
    from django_tasks_durable.snapshots.shapes import RunSummary

logger = logging.getLogger("django_tasks_durable.outside")


def command(run: RunSummary, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, by: str) -> Any:
    """Call a command of a run's workflow and return what it returns, as plain JSON.

    Raise UnknownWord, InvalidCall, CommandFailed for whatever it raises itself, and InvalidTransition for a run that has ended.
    """
    workflow = _workflow_of(run)
    return _called(workflow, "command", () if workflow is None else workflow.plan.commands, run, name, args, kwargs, by)


def query(run: RunSummary, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, by: str) -> Any:
    """Call a query of a run's workflow and return what it returns, as plain JSON. See command()."""
    workflow = _workflow_of(run)
    return _called(workflow, "query", () if workflow is None else workflow.plan.queries, run, name, args, kwargs, by)


def _workflow_of(run: RunSummary) -> type[Workflow] | None:
    task = registered().get(run.task_path)
    return None if task is None else workflow_of(task)


def _called(
    workflow: type[Workflow] | None,
    kind: str,
    known: Collection[str],
    run: RunSummary,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    by: str,
) -> Any:
    if workflow is None or name not in known:
        raise UnknownWord(kind, name, list(known))
    try:
        inspect.signature(getattr(workflow, name)).bind(None, *args, **kwargs)
    except TypeError as error:
        raise InvalidCall(name, str(error)) from error
    try:
        return _plain(getattr(workflow.of(run.id, by=by), name)(*args, **kwargs))
    except (DurableError, PermissionDenied, DatabaseError):
        raise
    except Exception as error:
        # The author's own code refuses by raising, and may be wrong as well.
        logger.exception("%s() of run %s raised", name, run.id)
        raise CommandFailed(name, error) from error


def _plain(value: Any) -> Any:
    try:
        return codec.readable(codec.encode(value))
    except NotSerializable:
        return str(value)
