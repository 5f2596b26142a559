"""A child process at work: the thread that carries runs, and the two that hear and speak."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from types import FrameType
from typing import Any

from . import wire
from .child_store import ChildStore
from .confines import limit_cpu, resident_megabytes
from .thread import leave_clean


class Child:
    """Takes runs on the main thread, where a signal can interrupt them; two more threads hear and speak.

    What is said goes through a queue, so that an interruption never leaves half a frame on the wire.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._runs: queue.SimpleQueue[ChildStore | None] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._main = threading.get_ident()
        self._runner: asyncio.Runner | None = None
        self._tasks_since_check = 0
        self.store: ChildStore | None = None

    def serve(self) -> None:
        """Carry runs until the worker lets go."""
        signal.signal(signal.SIGTERM, self._interrupted)
        for target in (self._hear, self._speak):
            threading.Thread(target=target, name=f"dtd-{target.__name__.strip('_')}", daemon=True).start()
        self.say(say="ready")
        while (store := self._runs.get()) is not None:
            self._carry(store)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # threads that a task has left would keep the process

    def say(self, **frame: Any) -> None:
        """Say something to the worker."""
        self._said.put(wire.packed(frame))

    def _speak(self) -> None:
        while True:
            self._connection.sendall(self._said.get())

    def _hear(self) -> None:
        try:
            while True:
                self._take(wire.received(self._connection))
        except (EOFError, OSError):
            # The worker is gone, and with it the right to write: end, with all that was started here.
            os.killpg(0, signal.SIGKILL)

    def _take(self, frame: wire.Frame) -> None:
        match frame["do"]:
            case "carry":
                # Made here, so that nothing that is said of the run from now on is missed.
                self.store = ChildStore(frame, self.say, self._interrupt)
                self._runs.put(self.store)
            case "leave":
                self._runs.put(None)
            case "answer" if self.store is not None:
                self.store.answered(frame)
            case "stop" if self.store is not None:
                self.store.stop(frame)

    # --- one run

    def _carry(self, store: ChildStore) -> None:
        limit_cpu(store.cpu_seconds)
        clean, broken = True, ""
        try:
            store.carry(self._run_async)
            clean = not store.was_interrupted
        except BaseException:
            clean, broken = False, traceback.format_exc()
        finally:
            store.is_interruptible = False
            self.store = None
        self._leave_clean()
        sys.stdout.flush()
        sys.stderr.flush()
        self.say(say="ended", clean=clean, broken=broken, megabytes=resident_megabytes())

    def _run_async(self, coroutine: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def _leave_clean(self) -> None:
        self._tasks_since_check = leave_clean(self._tasks_since_check)

    # --- interruption

    def _interrupt(self) -> None:
        """Let the main thread raise, wherever the task is, what the store keeps for it."""
        signal.pthread_kill(self._main, signal.SIGTERM)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        store = self.store
        if store is None or store.pending is None:
            if store is None or not store.was_interrupted:
                # Nobody here has asked for it: somebody wants this process to end.
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTERM)
            return
        store.raise_pending()
