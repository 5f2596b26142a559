"""A real ASGI server in a process of its own, and clients that reach it over the network."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client as Browser
from websockets.asyncio.client import ClientConnection, connect

from .client import apart

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
APPLICATION = "example_project.asgi:application"
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "daphne": lambda port: ["daphne", "-b", HOST, "-p", str(port), "-v", "0", APPLICATION],
    "uvicorn": lambda port: ["uvicorn", APPLICATION, "--host", HOST, "--port", str(port), "--log-level", "warning"],
}
PATIENCE = 60.0


class Server:
    """One server; it may be killed and started again at the same port."""

    def __init__(self, name: str, environment: dict[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._command = [sys.executable, "-m", *COMMANDS[name](self.port)]
        self._environment = environment
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as words:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=words, stderr=words
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"The server does not answer:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def resident_bytes(self) -> int:
        """How much memory it holds."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def busy_seconds(self) -> float:
        """How long it has kept a processor busy."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @asynccontextmanager
    async def socket(self, cookie: str) -> AsyncIterator[Wire]:
        """Open a WebSocket as a browser does."""
        address = f"ws://{HOST}:{self.port}/ws/tasks/"
        headers = {"Cookie": cookie, "Origin": f"http://{HOST}:{self.port}"}
        async with connect(
            address,
            additional_headers=headers,
            subprotocols=["dtd.v1"],
            proxy=None,
            open_timeout=PATIENCE,
            max_queue=None,
        ) as opened:
            wire = Wire(opened)
            await wire.hear("hello")
            yield wire


class Wire:
    """Says frames and hears them, and answers pings."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._unheard: list[dict[str, Any]] = []

    async def say(self, type: str, **fields: Any) -> None:
        """Send a frame."""
        await self.connection.send(json.dumps({"type": type, **fields}))

    async def next(self) -> dict[str, Any]:
        """Hear the next frame that is no ping."""
        while not self._unheard:
            told: dict[str, Any] = json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE))
            if told["type"] == "ping":
                await self.say("pong", n=told["n"])
            else:
                self._unheard = apart(told)
        return self._unheard.pop(0)

    async def hear(self, type: str) -> dict[str, Any]:
        """Hear frames until one of a type."""
        while (told := await self.next())["type"] != type:
            pass
        return told


def cookie_of(user: User) -> str:
    """Log a user in, and return the header that a browser would send."""
    browser = Browser()
    browser.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
