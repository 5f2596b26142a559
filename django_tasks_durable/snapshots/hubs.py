"""How the hubs of this process learn of changes. They stand above this room, so they say it themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class HubStatus:
    """How a hub learns of changes: ``mode`` is listen, watch, layer or poll, and ``is_degraded`` says that it only polls
    although it should hear.
    """

    using: str
    mode: str
    is_degraded: bool
    subscriptions: int
    clients: int
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the wire format."""
        return asdict(self)


_tell: Callable[[], list[HubStatus]] = list


def told_by(function: Callable[[], list[HubStatus]]) -> None:
    """Ask this function from now on."""
    global _tell
    _tell = function


def hubs(*, using: str) -> list[HubStatus]:
    """Tell how the hubs of this process stand that tell of one database; none where nobody has listened yet."""
    return [status for status in _tell() if status.using == using]
