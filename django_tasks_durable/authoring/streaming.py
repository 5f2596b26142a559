"""What a task that is driven in process hands out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeGuard, TypeVar

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class StreamItem(NamedTuple):
    """One item of a stream: a partial result, or the question that the run now waits with.

    ``snapshot`` is the run as it then stood. ``kind`` tells the two apart, because None may be a partial result.
    """

    partial: Any
    snapshot: Mapping[str, Any]
    interrupt: Any
    kind: Literal["partial", "interrupt"] = "partial"
    token: str = ""


class PartialItem(StreamItem):
    """An item that is_partial() has found to be a partial result."""

    kind: Literal["partial"]


class InterruptItem(StreamItem):
    """An item that is_interrupt() has found to be a question."""

    kind: Literal["interrupt"]


def is_partial(item: StreamItem) -> TypeGuard[PartialItem]:
    """Tell whether an item is a partial result, which may be None."""
    return item.kind == "partial"


def is_interrupt(item: StreamItem) -> TypeGuard[InterruptItem]:
    """Tell whether an item is a question, which may be None."""
    return item.kind == "interrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome(Generic[R]):
    """How a run that was driven in process ended, or why it did not.

    ``status`` is the run's; ``interrupt`` and ``token`` are those of its first open question. ``error`` is what the task
    raised, or what kept the run from being driven.
    """

    status: str
    value: R | None = None
    error: BaseException | None = None
    interrupt: Any = None
    token: str = ""

    @property
    def is_successful(self) -> bool:
        """Whether the task returned; ``value`` is what it returned then."""
        return self.status == "SUCCESSFUL"


class SliceResult(NamedTuple):
    """How a run stands after one slice.

    ``wait`` is what it now waits for: a question (``path``, ``token``, ``request``) or an instant (``due_at``); None when it
    has ended or is due. ``error`` is what ended it.
    """

    status: str
    wait: Mapping[str, Any] | None
    error: BaseException | None


class RunStream(Protocol[R_co]):
    """What a run yields, one item at a time; the body goes on only when the next one is asked for."""

    def __iter__(self) -> Iterator[StreamItem]:
        """Return itself."""

    def __next__(self) -> StreamItem:
        """Return the next item. Raises what the task raises; ends when the task ends or waits for an answer."""

    def result(self) -> R_co:
        """Drive the run to its end and return what the task returns. Raise Interrupted when it waits for an answer."""

    def close(self) -> None:
        """Leave the run where it is; stream() of the same run goes on from there."""


class AsyncRunStream(Protocol[R_co]):
    """See RunStream."""

    def __aiter__(self) -> AsyncIterator[StreamItem]:
        """See RunStream."""

    async def __anext__(self) -> StreamItem:
        """See RunStream."""

    async def result(self) -> R_co:
        """See RunStream."""

    async def aclose(self) -> None:
        """See RunStream.close()."""
