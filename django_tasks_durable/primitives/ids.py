"""Names that are made rather than given: ids of runs, tokens of waits, ids of workers."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from uuid import UUID

from . import clock

_COUNTER_BITS = 42
_TAIL_BITS = 32
_VERSION_7 = 7 << 76
_VARIANT = 0b10 << 62
_TWELVE_BITS = 0xFFF
_THIRTY_BITS = 0x3FFFFFFF

_lock = threading.Lock()
_last_milliseconds = 0
_counter = 0


def new_id() -> UUID:
    """Return a new UUIDv7: ordered by time between processes, strictly rising within this one."""
    global _last_milliseconds, _counter
    now = clock.unix_milliseconds()
    with _lock:
        if now > _last_milliseconds:
            _last_milliseconds, _counter = now, _fresh_counter()
        else:
            _counter += 1
            # An overflow borrows from the next millisecond rather than run backwards.
            if _counter >> _COUNTER_BITS:
                _last_milliseconds, _counter = _last_milliseconds + 1, _fresh_counter()
        milliseconds, counter = _last_milliseconds, _counter
    tail = int.from_bytes(os.urandom(_TAIL_BITS // 8), "big")
    high = (counter >> 30) & _TWELVE_BITS
    low = counter & _THIRTY_BITS
    return UUID(int=(milliseconds << 80) | _VERSION_7 | (high << 64) | _VARIANT | (low << 32) | tail)


def _fresh_counter() -> int:
    # The top bit stays clear, so that a millisecond has room for two million million ids.
    return int.from_bytes(os.urandom(6), "big") >> (48 - _COUNTER_BITS + 1)


def new_token() -> str:
    """Return 32 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(16)


def new_worker_id(name: str | None = None) -> str:
    """Return the id of one incarnation of a worker:

    its name or host, its process, and a part that is never used again.
    """
    told = re.sub(r"[^\w.@:-]+", "-", name or socket.gethostname() or "worker")[:80]
    return f"{told}-{os.getpid()}-{secrets.token_hex(4)}"


def _forget_after_fork() -> None:
    global _lock, _counter
    # Another thread of the parent may have held the lock, and parent and child must not count on alike.
    _lock = threading.Lock()
    _counter = _fresh_counter() | (1 << (_COUNTER_BITS - 2))


os.register_at_fork(after_in_child=_forget_after_fork)
