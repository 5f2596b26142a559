"""A server's answer that never comes: what stands between a worker and its database, and breaks when told to."""

from __future__ import annotations

import contextlib
import socket
import threading

from django.db import connection

from example_project import databases


def free_port() -> int:
    """Find a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def through(between: Proxy) -> str:
    """Name this test's database as it is reached through a proxy."""
    settings = connection.settings_dict
    return databases.to_url({**settings, "HOST": "127.0.0.1", "PORT": str(between.port)})


class Proxy:
    """Passes bytes between clients and a server, until it is asked to lose an answer.

    The server has then done what it was asked to, and the client cannot know. A ``host`` that is a path names a socket.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.lost = 0
        self._wanted: tuple[bytes, bytes | None] | None = None
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer(self, to: bytes, *, then: bytes | None = None) -> None:
        """Lose, once, the answer to the next request that holds these bytes; or to the one after it that holds ``then``."""
        with self._lock:
            self._wanted = (to, then)

    def fall_silent(self) -> None:
        """Pass on nothing, either way, and close nothing: both sides think that the other is slow."""
        self._flows.clear()

    def speak_again(self) -> None:
        """Pass on all that has been said meanwhile, and what comes."""
        self._flows.set()

    def close(self) -> None:
        """Take no more clients."""
        self._flows.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _reach(self) -> socket.socket:
        host, port = self.server
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(host)
        return server

    def _serve(self, client: socket.socket) -> None:
        try:
            server = self._reach()
        except OSError:
            client.close()
            return
        deaf = threading.Event()
        threading.Thread(target=self._answer, args=(server, client, deaf), daemon=True).start()
        then: bytes | None = None
        with contextlib.suppress(OSError):
            while request := client.recv(1 << 16):
                loses, then = self._judge(request, then)
                if loses:
                    deaf.set()
                self._flows.wait()
                server.sendall(request)
        for end in (server, client):
            end.close()

    def _judge(self, request: bytes, then: bytes | None) -> tuple[bool, bytes | None]:
        """Tell whether this request's answer is to be lost, and what to wait for on this connection."""
        if then is not None:
            return (True, None) if then in request else (False, then)
        with self._lock:
            if self._wanted is None or self._wanted[0] not in request:
                return False, None
            (_, then), self._wanted = self._wanted, None
        return (True, None) if then is None or then in request else (False, then)

    def _answer(self, server: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while answer := server.recv(1 << 16):
                if deaf.is_set():
                    self.lost += 1
                    break
                self._flows.wait()
                client.sendall(answer)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
