"""What a primitive asks its driver to do. A primitive is written once, as a generator of effects."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from django_tasks_durable.primitives.writes import (
    Append,
    AtomicBody,
    Migrated,
    SaveCheckpoint,
    SaveState,
    SetProgress,
    Spawn,
)

if TYPE_CHECKING:
    from .bodies import Body
    from .frame import Limit


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function of the user's; the answer is its value. What it awaits is cancelled when the limit is reached."""

    function: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Atomic:
    """Perform this in one transaction with its facts; the answer is its value."""

    perform: AtomicBody[Any]


@dataclass(frozen=True, slots=True)
class Durable:
    """Hand over a fact and go on when it is durable."""

    write: SaveCheckpoint | SaveState | Append | Migrated | SetProgress | Spawn


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after some seconds, holding the slot."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Advance:
    """Let a body go on to a Partial or Ended, which is the answer. ``thrown`` is raised inside it."""

    body: Body
    thrown: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a partial to whoever drives; the answer is None, when the next one is asked for."""

    value: Any


@dataclass(frozen=True, slots=True)
class Together:
    """Drive these side by side, each to its own end or wait; the answer lists Ended or Broke, in order."""

    acts: Sequence[Act[Any]]


@dataclass(frozen=True, slots=True)
class Partial:
    """A body has yielded."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """A body has returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Broke:
    """A body has raised."""

    error: BaseException


T = TypeVar("T")
Effect = Call | Atomic | Durable | Pause | Advance | Emit | Together
Act = Generator[Effect, Any, T]
