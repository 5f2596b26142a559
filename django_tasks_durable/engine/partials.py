"""What a body yields: told in the timeline once, and handed to whoever drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_tasks_durable.exceptions import (
    ControlFlow,
    Drift,
    NotSerializable,
    PayloadTooLarge,
    RunTooLong,
    SuspensionSwallowed,
    TaskTimeout,
)
from django_tasks_durable.primitives import codec
from django_tasks_durable.primitives.status import StepKind
from django_tasks_durable.primitives.writes import Append, Line

from .bodies import Body
from .effects import Act, Advance, Emit, Ended

if TYPE_CHECKING:
    from .slice import Slice


def told(slice: Slice, body: Body, path: str = "") -> Act[Any]:
    """Run a body to its end; emit the partials that nobody has seen yet, and return its value."""
    thrown: BaseException | None = None
    while True:
        turn = yield Advance(body, thrown)
        thrown = None
        if isinstance(turn, Ended):
            return turn.value
        suspended = slice.strand.suspended()
        if suspended is not None:
            raise SuspensionSwallowed(suspended.path)
        try:
            is_news, value = _tell(slice, turn.value, path)
            if is_news:
                yield Emit(value)
            slice.check()
        except (NotSerializable, PayloadTooLarge, ControlFlow, Drift, RunTooLong, TaskTimeout) as error:
            # Raised where the body yielded, so that it can clean up there.
            thrown = error


def _tell(slice: Slice, raw: Any, path: str) -> tuple[bool, Any]:
    """Write a partial into the timeline, unless an earlier slice has; return whether it is news, and its value."""
    slice.partials += 1
    if slice.partials <= slice.replay.partials.get(path, 0):
        return False, None
    text, value = codec.round_trip(raw, where="partial", limit=slice.limit)
    slice.allowance.line(f"{path}partial {slice.partials}", text)
    slice.store.submit(Append(lease=slice.claimed.lease, line=Line(kind=StepKind.PARTIAL, path=path, data=text)))
    return True, value
