"""What the metadata of a run says of where the run came from."""

from __future__ import annotations

# A user's name, or what a command says of itself.
ENQUEUED_BY = "enqueued_by"
