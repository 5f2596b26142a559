"""The body of a run: which function it is, what it is called with, and what it tells on its way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.authoring.workflow import Workflow
from django_tasks_durable.authoring.workflow_tasks import workflow_of
from django_tasks_durable.primitives import codec

from .bodies import Body
from .effects import Act
from .partials import told
from .slice import Slice
from .workflows import course


@dataclass(frozen=True, slots=True)
class BodyCall:
    """What the body of a run is, and what it is called with."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]
    workflow: type[Workflow] | None = None


def prepare(slice: Slice) -> BodyCall:
    """Find the task and its arguments."""
    claimed = slice.claimed
    task = slice.task = get_task(claimed.task_path)
    args = codec.decode(claimed.args) if claimed.args != "[]" else []
    kwargs = codec.decode(claimed.kwargs) if claimed.kwargs != "{}" else {}
    if claimed.options != "{}":
        slice.start_timeout(json.loads(claimed.options).get("timeout"))
    if task.takes_context:
        args = [slice.root.context, *args]
    return BodyCall(task.func, args, kwargs, workflow_of(task))


def root(slice: Slice, call: BodyCall, *running: Any) -> Act[Any]:
    """Run the body of a run, or the steps of a workflow; emit the partials that nobody has seen, and return its value."""
    if slice.control.reason is not None:
        slice.check()
    if call.workflow is not None:
        return (yield from course(slice, call.workflow, call.kwargs))
    return (yield from told(slice, Body(slice.root, call.function, call.args, call.kwargs, *running)))
