"""Tasks of each kind, each of which leaves a trace of what it did."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import translation

from django_tasks_durable import every, task
from tests.probe import effects
from tests.probe.journal import deed
from tests.probe.models import Effect

from . import forms as forms  # known by processes because this module is found
from . import workflows as workflows  # found by workers because this module is

# --- well behaved


@task
def echo(value: Any = None) -> Any:
    """Return what came."""
    return value


@task(metadata={"label": "mine"})
def labelled() -> None:
    """Carry metadata of its own."""


@task
def speaks() -> str | None:
    """Tell the language, and leave another one behind."""
    found = translation.get_language()
    translation.activate("sv")
    return found


@task
async def aspeaks() -> str | None:
    """See speaks."""
    return translation.get_language()


# Scheduled only where a test asks for it, or every worker of every test would run it.
@task(schedule=[every(seconds=1, name="ticking")] if os.environ.get("PROBE_SCHEDULE") else None)
def ticks() -> None:
    """Run at every second."""


@task(max_deliveries=100)
def tells_its_tick(context: Any) -> None:
    """Tell which tick of a schedule it is."""
    deed("ticked", run=str(context.run_id), tick=context.task_result.snapshot().tick.isoformat())


@task(queue_name="other")
def elsewhere() -> str:
    """Run on another queue."""
    return "elsewhere"


@task
def add(a: int, b: int) -> int:
    """Return a sum."""
    deed("add", a=a, b=b)
    return a + b


@task
async def aecho(value: Any = None) -> Any:
    """Return what came, on the event loop."""
    return value


@task
def three_steps(context: Any, base: int = 1) -> dict[str, Any]:
    """Do three plain steps."""
    first = context.step("first", _step, "first", base, context.idempotency_key)
    second = context.step("second", _step, "second", first["value"], context.idempotency_key)
    third = context.step("third", _step, "third", second["value"], context.idempotency_key)
    context.progress(90, "nearly there")
    deed("body ended")
    return {"values": [first["value"], second["value"], third["value"]], "tuple": first["pair"]}


def _step(name: str, base: int, key: str) -> dict[str, Any]:
    deed(name, key=key)
    return {"value": base * 10, "pair": (base, None)}


@task
def atomic_steps(context: Any, base: int = 1) -> dict[str, Any]:
    """Do three steps whose rows and checkpoints are one transaction each."""
    values = []
    for name in ("first", "second", "third"):
        values.append(context.step(name, _atomic_step, name, base, str(context.run_id), atomic=True))
    deed("body ended")
    return {"values": values}


def _atomic_step(name: str, base: int, run_id: str) -> list[Any]:
    effects.record(name, run_id, value=str(base))  # type: ignore[arg-type]
    deed(name)
    return [name, base, Effect.objects.filter(run_id=run_id).count()]


@task
def counts(context: Any, rounds: int = 5) -> list[int]:
    """Alternate plain and atomic steps."""
    found = []
    for number in range(rounds):
        if number % 2:
            found.append(context.step(f"atomic {number}", _count_atomic, number, str(context.run_id), atomic=True))
        else:
            found.append(context.step(f"plain {number}", _count_plain, number, str(context.run_id)))
    return found


def _count_plain(number: int, run_id: str) -> int:
    deed("plain", run=run_id, number=number)
    return number


def _count_atomic(number: int, run_id: str) -> int:
    effects.record(f"atomic {number}", run_id)  # type: ignore[arg-type]
    return number


@task
def partials(count: int = 3) -> Iterator[str]:
    """Yield partial results."""
    for number in range(count):
        yield f"part {number}"
    return None


@task
async def apartials(count: int = 3) -> AsyncIterator[str]:
    """Yield partial results on the event loop."""
    for number in range(count):
        yield f"part {number}"


@task
def receives(context: Any) -> list[Any]:
    """Receive two messages."""
    return [context.recv("news"), context.recv("news")]


@task
def listens(context: Any, timeout: int | None = None) -> Any:
    """Wait for an event."""
    return context.wait_event("rates", timeout=timeout, default="none")


@task
def asks_twice(context: Any) -> Any:
    """Ask in two branches."""
    return context.gather({name: lambda context: context.interrupt("?") for name in ("left", "right")})


@task
def asks(context: Any) -> Any:
    """Wait for an answer."""
    answer = context.interrupt({"question": "go on?"})
    deed("answered")
    return answer


@task
def asks_in_form(context: Any) -> Any:
    """Wait for an answer in a form."""
    return context.approval("order", {"question": "What shall it be?"}, form="everything")


@task
def naps(context: Any, seconds: float) -> str:
    """Sleep."""
    context.sleep("nap", seconds=seconds)
    return "rested"


@task
def waits_at_gate(context: Any, gate: str) -> str:
    """Work until a file appears, looking up at every step of the way."""
    deed("at the gate", gate=gate)
    number = 0
    while not Path(gate).exists():
        time.sleep(0.02)
        context.log(f"still waiting {number}")
        number += 1
    deed("through the gate", gate=gate)
    return "passed"


@task
def blocks_at_gate(gate: str) -> str:
    """Work until a file appears, deaf to everything."""
    deed("at the gate", gate=gate)
    while not Path(gate).exists():
        time.sleep(0.02)
    deed("through the gate", gate=gate)
    return "passed"


@task
def writes_everything(context: Any, gate: str) -> str:
    """Stand still in the middle of a step, then write of every kind."""
    context.log("before the gate")
    context.step("gate", _pass_gate, gate)
    context.progress(50, "half")
    context.log("after the gate")
    context.step("atomic", _atomic_step, "atomic", 1, str(context.run_id), atomic=True)
    return "written"


def _pass_gate(gate: str) -> int:
    deed("at the gate", gate=gate)
    while not Path(gate).exists():
        time.sleep(0.02)
    deed("through the gate", gate=gate)
    return os.getpid()


@task
def long_atomic(context: Any, seconds: float) -> str:
    """Hold SQLite's one write lock for a while."""
    return context.step("long", _hold, seconds, str(context.run_id), atomic=True)


def _hold(seconds: float, run_id: str) -> str:
    effects.record("long", run_id)  # type: ignore[arg-type]
    time.sleep(seconds)
    return "held"


# --- ill behaved


@task
def poison() -> None:
    """Take the whole worker along."""
    deed("poison")
    os.kill(os.getpid(), signal.SIGKILL)


@task
def fails(message: str = "no") -> None:
    """Raise."""
    raise ValueError(message)


@task
def sys_exit() -> None:
    """Ask the interpreter to end."""
    raise SystemExit(3)


@task
def keyboard_interrupt() -> None:
    """Pretend that somebody pressed Ctrl-C."""
    raise KeyboardInterrupt


@task
def generator_exit() -> None:
    """Raise what closes generators."""
    raise GeneratorExit


@task
def recursion() -> int:
    """Never come back."""
    return recursion.func()


@task
def memory_error() -> None:
    """Run out of memory."""
    raise MemoryError


@task
def unstorable() -> Any:
    """Return what JSON cannot say."""
    return {"rows": [1, object()]}


@task
def not_a_number() -> float:
    """Return what JSON must not say."""
    return float("nan")


@task
def leaves_transaction_open() -> str:
    """Open a transaction and walk away."""
    transaction.Atomic(using=None, savepoint=True, durable=False).__enter__()
    effects.record("left open")
    return "left"


@task
def leaves_autocommit_off() -> str:
    """Turn autocommit off and walk away."""
    connection.set_autocommit(False)
    effects.record("no autocommit")
    return "off"


@task
def breaks_connection() -> str:
    """Close the connection's other end."""
    connection.ensure_connection()
    raw: Any = connection.connection
    raw.close()
    return "broken"


@task
def says_if_clean() -> dict[str, Any]:
    """Tell in what state the thread's connection was found."""
    return {
        "in_atomic_block": connection.in_atomic_block,
        "autocommit": connection.get_autocommit(),
        "needs_rollback": connection.needs_rollback,
        "leftovers": Effect.objects.filter(name__in=["left open", "no autocommit"]).count(),
    }


class Unprintable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Unrebuildable(Exception):
    """An exception whose arguments cannot be stored."""

    def __init__(self, first: object, second: object, *, third: object) -> None:
        super().__init__(first, second)
        self.third = third


@task
def raises_unprintable() -> None:
    """Raise what cannot be shown."""
    raise Unprintable


@task
def raises_unrebuildable() -> None:
    """Raise what cannot be rebuilt."""
    raise Unrebuildable(object(), {1, 2}, third=lambda: None)


@task
def raises_hostile_text() -> None:
    """Raise with text that databases refuse."""
    raise ValueError("NUL \x00 and a lone surrogate \ud800 " + "x" * 100_000)


HOSTILE = (
    sys_exit, keyboard_interrupt, generator_exit, recursion, memory_error, unstorable, not_a_number,
    raises_unprintable, raises_unrebuildable, raises_hostile_text,
)  # fmt: skip
UNTIDY = (leaves_transaction_open, leaves_autocommit_off, breaks_connection)


@task
async def asleep_on_the_loop() -> str:
    """Sleep on the event loop, so that only a cancellation wakes it."""
    await asyncio.sleep(600)
    return "never"


# --- parents and children


@task
def parent(context: Any, count: int = 2) -> list[Any]:
    """Start children and join them."""
    handles = [context.spawn(add, number, 1, key=f"add {number}") for number in range(count)]
    deed("spawned")
    return context.join(*handles)  # type: ignore[no-any-return]


@task
def parent_of_the_lost(context: Any) -> Any:
    """Start a child that asks, and wait for it."""
    return context.spawn(asks).join()


@task(queue_name="other")
def counted(context: Any, count: int) -> Iterator[int]:
    """Yield numbers, each after a checkpoint, on another queue."""
    for number in range(count):
        context.step("count", deed, "counted", number=number)
        yield number


@task
def listener(context: Any, count: int) -> Iterator[Any]:
    """Pass on what a child yields, and remember each in a step."""
    handle = context.spawn(counted, count)
    for partial in handle.stream():
        context.step("heard", deed, "heard", partial=partial)
        yield partial
    handle.join()
    return "all heard"


@task
def holds_pythons_lock(path: str) -> int:
    """Let no other thread of this process run until somebody unlocks a file, the first time that it is begun."""
    journal = Path(os.environ["PROBE_JOURNAL"])
    is_first = not (journal.exists() and "holds the lock" in journal.read_text())
    deed("holds the lock")
    if is_first:
        # PyDLL keeps the lock that CDLL would let go.
        with Path(path).open("rb") as file:
            ctypes.PyDLL(None).flock(file.fileno(), fcntl.LOCK_EX)
    return os.getpid()


# --- with limits


@task(concurrency=1)
def alone() -> None:
    """Run by itself."""


@task(concurrency=2)
def in_pairs(value: Any = None) -> Any:
    """Run at most twice at a time."""
    return value


@task(concurrency_key="pages", hold_key=True)
def keeps_its_key(context: Any) -> Any:
    """Ask, and keep the key meanwhile."""
    return context.interrupt("Go on?")


@task(rate="3/minute")
def now_and_then() -> None:
    """Run three times a minute."""


@task
def starts_a_process() -> str:
    """Start a process, and wait at a gate that is beside the journal."""
    gate = Path(os.environ["PROBE_JOURNAL"]).with_name("gate")
    if not gate.exists():
        offspring = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        deed("offspring", child=offspring.pid)
        time.sleep(600)
    return "done"


def take_back(value: int, error: BaseException) -> None:
    """Write down that a step is undone."""
    deed("taken_back", value=value)


@task
def regretful(context: Any) -> None:
    """Do a step that can be undone, then fail."""
    context.step("book", int, 7, compensate=take_back)
    raise ValueError("not after all")
