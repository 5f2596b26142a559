"""What a client of the WebSocket said, before anybody believes it."""

from __future__ import annotations

import json
from typing import Any

from .wanted import Refusal

FRAME_BYTES = 65_536
NAME_LENGTH = 64

Name = str | int


def parsed(text: str | None) -> dict[str, Any]:
    """Read a frame. Raise Refusal."""
    if text is None:
        raise Refusal("bad_frame", "A frame is text.")
    if len(text.encode("utf-8", "surrogatepass")) > FRAME_BYTES:
        raise Refusal("too_large", f"A frame is at most {FRAME_BYTES} bytes.")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal("bad_frame", "A frame is JSON.") from None
    if not isinstance(said, dict):
        raise Refusal("bad_frame", "A frame is a JSON object.")
    return said


def name_of(said: dict[str, Any]) -> Name:
    """Read which subscription a frame is about. Raise Refusal."""
    name = said.get("id", "default")
    if isinstance(name, str) and len(name) <= NAME_LENGTH:
        return name
    if isinstance(name, int) and not isinstance(name, bool) and abs(name) < 2**53:
        return name
    raise Refusal("bad_frame", f"id is a text of at most {NAME_LENGTH} characters or a whole number.")
