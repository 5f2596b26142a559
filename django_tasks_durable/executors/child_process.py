"""One child process, as its worker sees it: started, given runs one at a time, listened to, killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from django_tasks_durable.authoring.tasks import registered
from django_tasks_durable.conf import Options
from django_tasks_durable.exceptions import ExecutorUnfit

from . import wire
from .confines import passed_environment
from .output import CapturedStream
from .sentinel import Sentinel

logger = logging.getLogger("django_tasks_durable.executors")
START_SECONDS = 60.0
LEAVE_SECONDS = 5.0
SILENT_SECONDS = 2.0
LOOK_SECONDS = 0.05
# Not `-m`: the child has to find the package, and the project, where this process has found them.
_BEGIN = (
    "import sys; sys.path[:] = sys.argv[3:]; sys.argv[1:] = sys.argv[1:3]; "
    "from django_tasks_durable.executors.child_main import main; main()"
)

Listener = Callable[[wire.Frame], None]


class ChildProcess:
    """A process of its own session that carries one attempt after the other. Everything here is done on one event loop.

    What it says about attempts comes through a socket that nothing else writes to; its standard streams are only kept.
    """

    def __init__(self, options: Options, sentinel: Sentinel) -> None:
        self.options = options
        self._sentinel = sentinel
        self.carried = 0
        self.megabytes = 0.0
        self.exit_code: int | None = None
        #: Called with each frame that the child says about the run in its hands.
        self.listener: Listener | None = None
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """The process id, which is that of its group and session, too."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is there and listens."""
        return not self.exited.done()

    @property
    def is_worn(self) -> bool:
        """Whether the child has carried so much, or grown so large, that a new one is to take its place."""
        most_tasks, most_memory = self.options.child_max_tasks, self.options.child_max_memory_mb
        return (most_tasks is not None and self.carried >= most_tasks) or (
            most_memory is not None and self.megabytes >= most_memory
        )

    async def start(self) -> None:
        """Start the process and wait until it knows the project's tasks. Raise ExecutorUnfit telling why it does not."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        pipes = [os.pipe(), os.pipe()]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, str(theirs.fileno()), str(os.getpid()), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=pipes[0][1],
                stderr=pipes[1][1],
                pass_fds=[theirs.fileno()],
                env=passed_environment(os.environ, self.options.child_environment),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            for reading, _ in pipes:
                os.close(reading)
            raise ExecutorUnfit("process", f"no process can be started: {error}") from error
        else:
            self._sentinel.watch(self.pid)
        finally:
            theirs.close()
            for _, writing in pipes:
                os.close(writing)
        self.streams = [
            CapturedStream(name, reading, partial(_pass_on, number))
            for name, number, (reading, _) in zip(("stdout", "stderr"), (1, 2), pipes, strict=True)
        ]
        for stream in self.streams:
            loop.add_reader(stream.descriptor, self._hear_stream, stream)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        # The loop holds its tasks weakly.
        self._tasks = [loop.create_task(self._listen(reader)), loop.create_task(self._watch())]
        self.say(do="begin", modules=_modules(), memory=self.options.child_memory_mb)
        await self._wait_ready()

    async def _wait_ready(self) -> None:
        ends: list[asyncio.Future[Any]] = [self._ready, self.exited]
        await asyncio.wait(ends, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return
        self.kill()
        await self.exited
        said = self.streams[1].text.strip() or "it said nothing"
        raise ExecutorUnfit(
            "process",
            f"a child process cannot set up the project. It gets few environment variables: list those that the settings "
            f"read in OPTIONS['child_environment']. The child {how_it_ended(self.exited.result())}:\n{said}",
        )

    # --- what is said

    def say(self, **frame: Any) -> None:
        """Send a frame; it waits here while the child does not listen."""
        if self.is_alive and not self._writer.is_closing():
            self._writer.write(wire.packed(frame))

    def answer(self, number: int, future: Future[Any]) -> None:
        """Send what became of a fact once that is known, which is told on any thread."""
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: _soon(loop, self._answer, number, done))

    def _answer(self, number: int, done: Future[Any]) -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self.say(do="answer", number=number, refused=wire.told_refusal(error))
        else:
            self.say(do="answer", number=number, value=wire.told(done.result()))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = await reader.readexactly(wire.HEAD_BYTES)
                frame = wire.unpacked(await reader.readexactly(wire.length_of(head)))
                if frame.get("say") == "ready":
                    self._ready.set_result(None)
                elif self.listener is not None:
                    self.listener(frame)
        except (asyncio.IncompleteReadError, OSError):
            # It has ended, or is about to; one that has only closed its socket can tell nothing any more.
            asyncio.get_running_loop().call_later(SILENT_SECONDS, self._kill_silent)
        except ValueError as error:
            logger.error("Child process %s says what is no frame (%s), and is killed", self.pid, error)
            self.kill()

    def _hear_stream(self, stream: CapturedStream) -> None:
        if not stream.read():
            self._leave_stream(stream)

    def _leave_stream(self, stream: CapturedStream) -> None:
        if stream.is_open:
            asyncio.get_running_loop().remove_reader(stream.descriptor)
            stream.close()

    # --- its end

    async def _watch(self) -> None:
        """Wait for the end of the process, and clear up after it."""
        while (code := self._process.poll()) is None:
            await self._wait_exit()
        self.kill()  # whatever it has started and left behind
        self._sentinel.forget(self.pid)
        for stream in self.streams:
            stream.read()
        for stream in self.streams:
            self._leave_stream(stream)
        await asyncio.wait([self._tasks[0]], timeout=1.0)  # what it said last is still on its way
        self._writer.close()
        self.exited.set_result(code)

    async def _wait_exit(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            await asyncio.sleep(LOOK_SECONDS)
            return
        gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, partial(_settle, gone))
        try:
            await gone
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _kill_silent(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def kill(self) -> None:
        """Kill the process and all that it has started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left

    async def leave(self) -> None:
        """Let the process end; kill it when it does not."""
        self.say(do="leave")
        await asyncio.wait([self.exited], timeout=LEAVE_SECONDS)
        self.kill()
        await self.exited


def how_it_ended(code: int) -> str:
    """Tell an exit code for people."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _modules() -> list[str]:
    """Return the modules whose tasks this process knows; the child is to know the same."""
    return sorted({task.func.__module__ for task in registered().values()} - {"__main__"})


def _pass_on(number: int, chunk: bytes) -> None:
    """Say on this process's own stream what a child has said, for whoever keeps its logs."""
    try:
        os.write(number, chunk)
    except OSError:
        pass  # closed, or full and not waited for


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _soon(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop is closed, and the child gone with it
