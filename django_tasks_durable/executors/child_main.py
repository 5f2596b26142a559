"""The program of a child process: it carries the runs that its worker hands it, one at a time."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from importlib import import_module

import django

from . import wire
from .confines import die_with, limit_memory


def main() -> None:
    """Set up the project, say so, and carry what comes until the worker lets go."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    sys.argv[1:] = []
    die_with(parent)
    os.set_inheritable(descriptor, False)
    os.umask(0o077)
    connection = socket.socket(fileno=descriptor)
    begin = wire.received(connection)
    limit_memory(begin["memory"])
    # In a session of its own nothing comes from a terminal; a KeyboardInterrupt is the task's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    django.setup()
    for module in begin["modules"]:
        import_module(module)
    gc.freeze()
    from .child import Child  # what it imports needs a Django that is set up

    Child(connection).serve()
