"""Named crash points: places where a test may ask this process to die, stop, fail or wait.

They do nothing unless the environment variable ``DURABLE_FAULTS`` names them:
``"after_effect:kill:2,after_claim:sleep=3:1"`` kills at the second passage of ``after_effect``.
Actions: ``kill`` (SIGKILL to itself), ``stop`` (SIGSTOP), ``raise`` (CrashPointHit), ``sleep=SECONDS``, ``exit`` (os._exit(1)).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

POINTS = frozenset(
    {
        "after_claim",
        "before_body",
        "after_effect",
        "before_checkpoint",
        "during_checkpoint",
        "after_checkpoint",
        "before_outcome",
        "during_outcome",
        "after_outcome",
    }
)
# Those that a scheduler passes, between any two statements of a tick.
TICK_POINTS = frozenset({"tick_locked", "tick_entered", "tick_enqueued", "tick_advanced", "tick_committed"})
ACTIONS = frozenset({"kill", "stop", "raise", "sleep", "exit"})


class CrashPointHit(RuntimeError):
    """A crash point was asked to fail."""


@dataclass(slots=True)
class _Fault:
    action: str
    seconds: float
    passages: int


def parse(text: str) -> dict[str, _Fault]:
    """Read the value of ``DURABLE_FAULTS``. Raise ValueError naming an unknown point or action."""
    faults = {}
    for entry in filter(None, text.split(",")):
        point, _, rest = entry.strip().partition(":")
        action, _, passage = rest.partition(":")
        action, _, seconds = action.partition("=")
        if point not in POINTS | TICK_POINTS:
            known = ", ".join(sorted(POINTS | TICK_POINTS))
            raise ValueError(f"DURABLE_FAULTS names the unknown crash point {point!r}; there are {known}.")
        if action not in ACTIONS:
            raise ValueError(f"DURABLE_FAULTS asks for {action!r} at {point}; there are {', '.join(sorted(ACTIONS))}.")
        faults[point] = _Fault(action, float(seconds or 0), int(passage or 1))
    return faults


_armed = parse(os.environ.get("DURABLE_FAULTS", ""))
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """Do what the environment asks for at this point; nothing if it does not ask."""
    if _armed:
        _pass(name)


def _pass(name: str) -> None:
    with _lock:
        fault = _armed.get(name)
        if fault is None or fault.passages <= 0:
            return
        fault.passages -= 1
        if fault.passages:
            return
    match fault.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            # Sent to this thread, it stops here; sent to the process, another thread may take it a little later.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        case "exit":
            os._exit(1)
        case "sleep":
            time.sleep(fault.seconds)
        case _:
            raise CrashPointHit(name)
