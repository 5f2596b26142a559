"""The site that ``manage.py demo --serve`` keeps up."""

from __future__ import annotations

import secrets
import socket
import time

from django.contrib.auth import get_user_model

from .screen import Screen
from .story import DemoFailed
from .workers import Child, Children, start_worker

HOST = "127.0.0.1"
SITE_SECONDS = 30


def serve(screen: Screen, children: Children, port: int) -> None:
    """Keep a worker and the site up until Ctrl-C."""
    user, password = _make_user()
    running = [
        children.start("site", "-m", "daphne", "-b", HOST, "-p", str(port), "example_project.asgi:application"),
        start_worker(children, "standing worker"),
    ]
    _wait_until_up(port, running)
    screen.line()
    screen.line(f"The site is up: http://{HOST}:{port}/airports/ (user {user}, password {password}). Ctrl-C ends it.")
    try:
        while True:
            for child in running:
                child.must_be_alive()
            time.sleep(0.5)
    except KeyboardInterrupt:
        screen.line("Ending the site and the worker.")


def expect_free(port: int) -> None:
    """Raise DemoFailed when something listens on the port already."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise DemoFailed(f"The site cannot have port {port} ({error.strerror}): choose another --port.") from error


def _make_user() -> tuple[str, str]:
    """Make a superuser of a name that nobody has yet."""
    users = get_user_model().objects
    name, password = "demo", secrets.token_urlsafe(9)
    if users.filter(username=name).exists():
        name = f"demo-{secrets.token_hex(3)}"
    users.create_superuser(name, password=password)
    return name, password


def _wait_until_up(port: int, running: list[Child]) -> None:
    """Wait until the site takes connections."""
    deadline = time.monotonic() + SITE_SECONDS
    while time.monotonic() < deadline:
        for child in running:
            child.must_be_alive()
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise DemoFailed(f"The site did not come up on port {port} within {SITE_SECONDS} s. Its log:\n{running[0].tail()}")
