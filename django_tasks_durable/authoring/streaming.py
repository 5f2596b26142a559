"""What a task that is driven in process hands out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

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
