"""A client of the WebSocket that costs next to nothing, so that a thousand of them measure the server and not themselves."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections.abc import Callable

SEQUENCE = re.compile(rb'"type":"step"[^{}]*"step":\{[^{}]*?"sequence":(\d+)')
PING = re.compile(rb'"type":"ping","n":(\d+)')
TEXT, CLOSE, PING_FRAME = 0x81, 0x88, 0x89
HELLO, BOOTSTRAP = b'"type":"hello"', b'"type":"bootstrap"'


class Listener(asyncio.Protocol):
    """Subscribes to one run and calls ``hear(sequence, at)`` for each line; ``joined`` is set by the bootstrap."""

    def __init__(self, host: str, port: int, cookie: str, run_id: str, hear: Callable[[int, float], None]) -> None:
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        self._address = f"{host}:{port}"
        self._cookie = cookie
        self._run_id = run_id
        self._hear = hear
        self._pending = b""
        self._is_open = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade, as a browser does."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            f"GET /ws/tasks/ HTTP/1.1\r\nHost: {self._address}\r\nOrigin: http://{self._address}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: dtd.v1\r\n"
            f"Cookie: {self._cookie}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Take what came, and note when."""
        at = time.monotonic()
        self._pending += data
        if not self._is_open:
            head, found, rest = self._pending.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._fail(ConnectionError(head.decode("latin-1")))
                return
            self._is_open, self._pending = True, rest
        while (frame := self._next_frame()) is not None:
            self._take(*frame, at)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for the bootstrap."""
        self._fail(exc or ConnectionError("the server closed the socket"))

    def leave(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if not self.joined.done():
            self.joined.set_exception(error)
        self.leave()

    def _next_frame(self) -> tuple[int, bytes] | None:
        pending = self._pending
        if len(pending) < 2:
            return None
        length, start = pending[1], 2
        if length == 126:
            start = 4
            length = struct.unpack_from("!H", pending, 2)[0] if len(pending) >= start else len(pending)
        elif length == 127:
            start = 10
            length = struct.unpack_from("!Q", pending, 2)[0] if len(pending) >= start else len(pending)
        if len(pending) < start + length:
            return None
        self._pending = pending[start + length :]
        return pending[0], pending[start : start + length]

    def _take(self, kind: int, body: bytes, at: float) -> None:
        if kind == PING_FRAME:
            self._send(0x8A, body)
        elif kind == CLOSE:
            self._fail(ConnectionError(body.decode("latin-1")))
        self.received += kind == TEXT
        for found in SEQUENCE.finditer(body):
            self._hear(int(found[1]), at)
        if ping := PING.search(body):
            self._say(type="pong", n=int(ping[1]))
        if HELLO in body:
            self._say(type="subscribe", query={"ids": [self._run_id]})
        elif BOOTSTRAP in body and not self.joined.done():
            self.joined.set_result(None)

    def _say(self, **frame: object) -> None:
        self._send(TEXT, json.dumps(frame).encode())

    def _send(self, kind: int, body: bytes) -> None:
        # A client masks what it sends; a mask of nothing but zeros leaves it as it is.
        length = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + struct.pack("!H", len(body))
        if self._transport is not None:
            self._transport.write(bytes([kind]) + length + b"\0\0\0\0" + body)
