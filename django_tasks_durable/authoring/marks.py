"""What makes a method of a workflow a step, a command or a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from .workflow import Workflow

F = TypeVar("F", bound=Callable[..., Any])
MARK = "_durable_mark"


@dataclass(frozen=True, slots=True)
class StepMark:
    """What @transition says of a method."""

    name: str | None
    to: tuple[Any, ...]
    is_start: bool


@dataclass(frozen=True, slots=True)
class CommandMark:
    """What @command says of a method."""

    wakes: bool


@dataclass(frozen=True, slots=True)
class QueryMark:
    """What @query says of a method."""


def transition(name: str | None = None, *, to: Any = (), start: bool = False) -> Callable[[F], F]:
    """Make a method a step. ``to`` names the steps that it may go on to; None or "end" there: the workflow may end.

    The method returns the next step's name, or the method itself, and None to end. Without ``to`` it can only end.
    """
    if callable(name):
        raise TypeError("@transition takes arguments: @transition(to=[...]).")
    targets = (to,) if to is None or isinstance(to, str) or callable(to) else tuple(to)

    def mark(method: F) -> F:
        _expect_unmarked(method)
        setattr(method, MARK, StepMark(name, targets, start))
        return method

    return mark


@overload
def command(method: F, /) -> F: ...
@overload
def command(*, wakes: bool = False) -> Callable[[F], F]: ...
def command(method: Any = None, /, *, wakes: bool = False) -> Any:
    """Let a method change the state from outside, under the lock of the run's row; what it returns goes to the caller.

    The workflow sees the change when it next wakes; with ``wakes`` a run that rests begins its visit again at once.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        _expect_unmarked(method)

        @wraps(method)
        def act(self: Workflow, *args: Any, **kwargs: Any) -> Any:
            value = method(self, *args, **kwargs)
            if self._attachment is not None:
                self._attachment.commanded(method.__name__, args, kwargs, wakes=wakes)
            return value

        setattr(act, MARK, CommandMark(wakes))
        return act

    return decorate if method is None else decorate(method)


def query(method: F, /) -> F:
    """Let a method be asked from outside. It works on a copy of the state and locks nothing."""
    _expect_unmarked(method)
    setattr(method, MARK, QueryMark())
    return method


def _expect_unmarked(method: Any) -> None:
    if hasattr(method, MARK):
        raise TypeError(f"{method.__qualname__}() is marked twice: a method is a step, a command or a query.")
