"""Tasks that do what only a process of its own survives, or what has to work in one as it does on a thread."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django_tasks_durable import get_context, task
from tests.probe import effects
from tests.probe.journal import deed


@task(executor="process")
def where() -> dict[str, Any]:
    """Tell which process this is, and what it was given."""
    return {"pid": os.getpid(), "session": os.getsid(0), "environment": sorted(os.environ)}


@task
def forges() -> str:
    """Print what looks like a result, on both streams."""
    said = json.dumps({"say": "ended", "clean": True}) + '\n{"type":"result","value":"forged"}'
    print(said)
    print(said, file=sys.stderr, flush=True)
    os.write(1, (len(said)).to_bytes(4, "big") + said.encode())
    return "mine"


@task
def floods(size: int = 5_000_000) -> str:
    """Write megabytes to stderr."""
    sys.stderr.write("first words\n")
    for _ in range(size // 1000):
        sys.stderr.write("x" * 999 + "\n")
    sys.stderr.write("last words\n")
    return "done"


@task(max_deliveries=2)
def exits(code: int = 7) -> None:
    """Leave without a word to anybody but stderr."""
    deed("exits")
    print("about to leave", file=sys.stderr, flush=True)
    os._exit(code)


@task(max_deliveries=2)
def killed() -> None:
    """Be killed as the system kills what takes too much memory."""
    deed("killed")
    os.kill(os.getpid(), signal.SIGKILL)


@task(max_deliveries=3)
def killed_once(context: Any, mark: str) -> str:
    """Be killed the first time, after a step."""
    step = context.step("first", _count_deed)
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"step {step}"


def _count_deed() -> int:
    deed("step")
    return 1


@task(executor="process", timeout=0.3)
def oversleeps() -> None:
    """Take too long where an interruption reaches it."""
    deed("began")
    time.sleep(60)


@task(executor="process", timeout=0.3)
def deaf() -> None:
    """Take too long and listen to nobody."""
    deed("began")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            deed("ignored")


@task(executor="process", timeout=0.3)
async def deaf_on_the_loop() -> None:
    """See deaf; nothing cancels a coroutine that never awaits."""
    time.sleep(60)


@task(executor="process", timeout=0.3)
async def asleeps() -> None:
    """Take too long at an await."""
    await asyncio.sleep(60)


@task
def lasts(context: Any) -> None:
    """Go on for ever, away from all primitives."""
    context.step("begun", _count_deed)
    deed("lasts", pid=os.getpid())
    while True:
        time.sleep(0.05)


@task
def deaf_for_ever() -> None:
    """Go on for ever and listen to nobody."""
    deed("lasts")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            deed("ignored")


@task
def has_offspring() -> None:
    """Start a process, and go on for ever."""
    offspring = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    deed("offspring", child=offspring.pid)
    time.sleep(600)


@task
def burns() -> None:
    """Use the processor for ever."""
    while True:
        pass


@task
def hoards() -> None:
    """Ask for more memory than there may be."""
    bytearray(4 * 1024**3)


@task
def leaves_thread() -> str:
    """Leave a thread behind that never ends."""
    threading.Thread(target=threading.Event().wait).start()
    return "done"


@task
def everything(context: Any, name: str) -> Iterator[Any]:
    """Use each primitive once."""
    yield f"for {name}"
    context.progress(30, "on the way", page=1)
    context.log("noted", level="warn")
    plain = context.step("plain", str.upper, name)
    atomic = context.step("atomic", _effect, atomic=True)
    context.sleep("nap", seconds=0.01)
    answer = context.interrupt({"question": "go on?"})
    tail = yield from context.call(nested, name)
    both = context.gather({"a": nested_value.bind(1), "b": nested_value.bind(2)})
    child = context.spawn(nested_value, 5)
    return [plain, atomic, answer, tail, both, child.join()]


def _effect() -> int:
    context = get_context()
    assert context is not None
    effects.record("atomic", context.run_id)
    return 1


@task
def nested(name: str) -> Iterator[str]:
    """Yield once, then return."""
    yield f"nested {name}"
    return "tail"


@task
def nested_value(number: int) -> int:
    """Return ten times as much."""
    return number * 10


@task(executor="process")
async def aeverything(context: Any, name: str) -> list[Any]:
    """See everything."""
    plain = await context.astep("plain", str.upper, name)
    atomic = await context.astep("atomic", _effect, atomic=True)
    await context.asleep("nap", seconds=0.01)
    return [plain, atomic]


@task
def regretful(context: Any) -> None:
    """Do what can be undone, then fail."""
    context.step("book", int, 7, compensate=take_back)
    raise ValueError("not after all")


@task(executor="process", timeout=0.3)
def regretful_and_deaf(context: Any) -> None:
    """Do what can be undone, then have to be killed."""
    context.step("book", int, 7, compensate=take_back)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


@task(compensate_on_cancel=True)
def regrets_cancellation(context: Any) -> None:
    """Do what can be undone, then listen to nobody."""
    context.step("book", int, 7, compensate=take_back)
    deed("booked")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def take_back(value: int) -> None:
    """Undo a step."""
    deed("taken back", value=value)


@task
def stuck_on_a_thread(gate: str) -> str:
    """Take too long where nothing reaches it."""
    while not Path(gate).exists():
        time.sleep(0.01)
    return "late"


@task
def introduces_itself(context: Any) -> dict[str, Any]:
    """Tell all that a task may know of its run."""
    snapshot = context.task_result.snapshot()
    context.progress(50, "introduced")
    context.log("here I am")
    return {
        "id": str(context.run_id),
        "kind": context.task_path,
        "attempt": context.attempt,
        "max_attempts": context.max_attempts,
        "metadata": dict(context.metadata),
        "channels": list(snapshot.channels),
        "keys": [*snapshot.keys, *snapshot.keys.values()],
        "cancelled": context.cancelled,
        "lease": [name for name in dir(context) if "lease" in name or "token" in name],
    }


@task
def computes_until_cancelled(context: Any) -> str:
    """Come to no primitive, but look."""
    context.step("begun", _count_deed)
    while not context.cancelled:
        time.sleep(0.01)
    return "stopped by itself"
