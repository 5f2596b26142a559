"""A nested call under way, as its author holds it: an iterator of partials, then a value."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Generic, TypeVar

from . import drive
from .effects import Act, Broke, Ended
from .frame import Frame

R = TypeVar("R")


class NestedCall(Generator[Any, None, R]):
    """A nested call under way: an iterator of its partials, whose ``value`` is what it returns.

    With ``yield from`` the partials flow through and the value of the expression is what the call returns.
    """

    __slots__ = ("_ended", "_flow")

    def __init__(self, frame: Frame, act: Act[R]) -> None:
        self._flow: Generator[Any, None, R] = drive.flow(frame.slice, act)
        self._ended: Ended | Broke | None = None

    def send(self, value: Any) -> Any:
        """Go on to the next partial."""
        return self._go_on(self._flow.__next__)

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise an error where the call stands."""
        return self._go_on(lambda: self._flow.throw(error))

    def close(self) -> None:
        """Leave the call where it stands."""
        self._flow.close()

    def _go_on(self, move: Callable[[], Any]) -> Any:
        if isinstance(self._ended, Ended):
            raise StopIteration(self._ended.value)
        if isinstance(self._ended, Broke):
            raise self._ended.error
        try:
            return move()
        except StopIteration as end:
            self._ended = Ended(end.value)
            raise
        except BaseException as error:
            self._ended = Broke(error)
            raise

    @property
    def value(self) -> R:
        """What the call returns; partials that nobody took are passed over."""
        while not isinstance(self._ended, Ended):
            next(self, None)
        value: R = self._ended.value
        return value


class AsyncNestedCall(Generic[R]):
    """See NestedCall. Awaiting it gives its value."""

    __slots__ = ("_ended", "_flow")

    def __init__(self, frame: Frame, act: Act[R]) -> None:
        self._ended: tuple[R] | None = None
        self._flow: AsyncIterator[Any] = drive.aflow(frame.slice, act, self._hear)

    def _hear(self, value: R) -> None:
        self._ended = (value,)

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the partials."""
        return self._flow

    def __await__(self) -> Generator[Any, None, R]:
        """Run the call to its end and give its value."""
        return self._drained().__await__()

    async def _drained(self) -> R:
        async for _ in self._flow:
            pass
        return self.value

    @property
    def value(self) -> R:
        """What the call returned. Iterate or await it first."""
        if self._ended is None:
            raise RuntimeError("The call has not ended yet: iterate over it to its end, or await it.")
        return self._ended[0]
