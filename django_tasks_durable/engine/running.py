"""The body of a run: which function it is, what it is called with, and what it tells on its way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django_tasks_durable.authoring.tasks import get_task
from django_tasks_durable.exceptions import (
    ControlFlow,
    Drift,
    NotSerializable,
    PayloadTooLarge,
    SuspensionSwallowed,
    TaskTimeout,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.writes import Append, Line

from .bodies import Body
from .effects import Act, Advance, Emit, Ended
from .slice import Slice


@dataclass(frozen=True, slots=True)
class BodyCall:
    """What the body of a run is, and what it is called with."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]


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
    return BodyCall(task.func, args, kwargs)


def root(slice: Slice, call: BodyCall, *running: Any) -> Act[Any]:
    """Run the body of a run; emit the partials that nobody has seen yet, and return its value."""
    body = Body(slice.root, call.function, call.args, call.kwargs, *running)
    thrown: BaseException | None = slice.control.reason
    if thrown is not None:
        slice.check()
    while True:
        turn = yield Advance(body, thrown)
        thrown = None
        if isinstance(turn, Ended):
            return turn.value
        suspended = slice.strand.suspended()
        if suspended is not None:
            raise SuspensionSwallowed(suspended.path)
        try:
            is_news, value = tell_partial(slice, turn.value)
            if is_news:
                yield Emit(value)
            slice.check()
        except (NotSerializable, PayloadTooLarge, ControlFlow, Drift, TaskTimeout) as error:
            # Raised where the body yielded, so that it can clean up there.
            thrown = error


def tell_partial(slice: Slice, raw: Any) -> tuple[bool, Any]:
    """Write a partial into the timeline, unless an earlier slice has; return whether it is news, and its value."""
    slice.partials += 1
    if slice.partials <= slice.replay.partials.get("", 0):
        return False, None
    text, value = codec.round_trip(raw, where="partial", limit=slice.limit)
    slice.store.submit(Append(lease=slice.claimed.lease, line=Line(kind=StepKind.PARTIAL, data=text)))
    return True, value
