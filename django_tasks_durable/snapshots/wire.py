"""What all shapes on the wire have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

WIRE_VERSION = 1

Show = Callable[[Any], Any]


def unveiled(value: Any) -> Any:
    """Show a payload as it is."""
    return value


def instant(value: datetime | None) -> str | None:
    """Write an instant for the wire."""
    return None if value is None else value.isoformat()
