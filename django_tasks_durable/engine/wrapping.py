"""The middleware around what an attempt does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from django_tasks_durable.authoring.middleware import AttemptContext, GetOutcome
from django_tasks_durable.exceptions import MiddlewareMisused

from .slice import Slice

T = TypeVar("T")


def around_body(slice: Slice, perform: Callable[[], Any]) -> AttemptContext:
    """Make what the middleware around a body are given. Their outcome is the value of the run."""
    return _context(slice, perform, is_undoing=False)


def undone_within(slice: Slice, chain: GetOutcome, undo: Callable[[], T]) -> T:
    """Undo a run within its middleware; what these return is of no account. Raise MiddlewareMisused when one does not let it."""
    ends: list[T] = []
    context = _context(slice, lambda: ends.append(undo()), is_undoing=True)
    chain(context)
    return _only(ends, context)


async def aundone_within(slice: Slice, chain: GetOutcome, undo: Callable[[], Awaitable[T]]) -> T:
    """See undone_within()."""
    ends: list[T] = []

    async def perform() -> None:
        ends.append(await undo())

    context = _context(slice, perform, is_undoing=True)
    await chain(context)
    return _only(ends, context)


def _context(slice: Slice, perform: Callable[[], Any], *, is_undoing: bool) -> AttemptContext:
    assert slice.task is not None, "a body is prepared before it is wrapped"
    run_id = slice.claimed.run_id
    return AttemptContext(slice.task, run_id, slice.attempt, slice.metadata, perform, is_undoing=is_undoing)


def _only(ends: list[T], context: AttemptContext) -> T:
    if not ends:
        raise MiddlewareMisused(
            f"A middleware kept {context!r} from being undone: it has to call get_outcome, or raise."
        )
    return ends[0]
