"""What is put behind the path of a primitive to tell of its way to its end: no key may contain these."""

from __future__ import annotations

TRY = "!try:"
SEEN = "!seen:"
POLLED = "!poll:"
