"""What a child process says on its standard streams, kept within bounds."""

from __future__ import annotations

import os
from collections.abc import Callable

HEAD_BYTES = 4 * 1024
TAIL_BYTES = 12 * 1024
CHUNK_BYTES = 64 * 1024


class CapturedStream:
    """The reading end of a child's stream: what was said since ``begin()``, its middle left out when it is long."""

    def __init__(self, name: str, descriptor: int, pass_on: Callable[[bytes], object]) -> None:
        self.name = name
        self.descriptor = descriptor
        self.is_open = True
        self._pass_on = pass_on
        self.begin()
        os.set_blocking(descriptor, False)

    def begin(self) -> None:
        """Forget what was said so far."""
        self.size = 0
        self._head = bytearray()
        self._tail = bytearray()

    def read(self) -> bool:
        """Take what is there without waiting; False at its end."""
        while self.is_open:
            try:
                chunk = os.read(self.descriptor, CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._keep(chunk)
            self._pass_on(chunk)
        return False

    def _keep(self, chunk: bytes) -> None:
        self.size += len(chunk)
        room = HEAD_BYTES - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        del self._tail[:-TAIL_BYTES]

    @property
    def text(self) -> str:
        """What was said, with a note in the place of what was left out."""
        left_out = self.size - len(self._head) - len(self._tail)
        gap = f"\n... {left_out:,} bytes left out ...\n".encode() if left_out else b""
        return (
            bytes(self._head + gap + self._tail).decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
        )

    def close(self) -> None:
        """Give the descriptor back."""
        if self.is_open:
            self.is_open = False
            os.close(self.descriptor)
