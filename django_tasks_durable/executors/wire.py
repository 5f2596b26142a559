"""What a worker and its child process say to each other: frames of JSON, and the facts of an attempt in them.

Nothing is pickled: a child runs code of the project, and what it says is made into the few types that a fact may consist of.
"""

from __future__ import annotations

import json
import socket
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin
from uuid import UUID

from django_tasks_durable.exceptions import LeaseLost, PersistenceFailed, StateMoved
from django_tasks_durable.primitives.lease import Lease
from django_tasks_durable.primitives.writes import Write

T = TypeVar("T")
HEAD_BYTES = 4
LARGEST_FRAME = 256 * 1024 * 1024
_WRITES = {kind.__name__: kind for kind in get_args(Write)}

Frame = dict[str, Any]


def packed(frame: Frame) -> bytes:
    """Return a frame as bytes: its length, then JSON."""
    body = json.dumps(frame, separators=(",", ":")).encode()
    return len(body).to_bytes(HEAD_BYTES, "big") + body


def unpacked(body: bytes) -> Frame:
    """Return the frame in a body. Raise ValueError for anything else."""
    frame = json.loads(body)
    if not isinstance(frame, dict):
        raise ValueError("A frame is an object.")
    return frame


def length_of(head: bytes) -> int:
    """Return how many bytes follow a head. Raise ValueError for more than any frame has."""
    length = int.from_bytes(head, "big")
    if length > LARGEST_FRAME:
        raise ValueError(f"A frame of {length:,} bytes is none of ours.")
    return length


def received(connection: socket.socket) -> Frame:
    """Wait for a frame. Raise EOFError when there will be none."""
    return unpacked(_bytes(connection, length_of(_bytes(connection, HEAD_BYTES))))


def _bytes(connection: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        chunk = connection.recv(min(size - len(found), 1 << 20))
        if not chunk:
            raise EOFError
        found += chunk
    return bytes(found)


def told(value: Any) -> Any:
    """Return a fact, or a part of one, as plain JSON values."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return [[told(key), told(item)] for key, item in value.items()]
    if isinstance(value, Sequence):
        return [told(item) for item in value]
    return [told(getattr(value, each.name)) for each in fields(value)]


def made(kind: type[T], plain: Any) -> T:
    """Make a value of a type of what told() returned. Raise TypeError or ValueError for what told() never returns."""
    value: T = _maker(cast(Any, kind))(plain)
    return value


def told_write(write: Write) -> list[Any]:
    """Return a fact as plain JSON values with its name."""
    return [type(write).__name__, told(write)]


def made_write(plain: Sequence[Any]) -> Write:
    """Make a fact again. Raise KeyError, TypeError or ValueError for anything else."""
    name, values = plain
    write: Write = made(_WRITES[name], values)
    return write


def told_refusal(error: BaseException) -> list[str]:
    """Return why a fact was refused."""
    return [type(error).__name__, str(error.cause) if isinstance(error, PersistenceFailed) else str(error)]


def made_refusal(plain: Sequence[str], lease: Lease) -> BaseException:
    """Make the error again with which a fact was refused."""
    name, said = plain
    if name in (LeaseLost.__name__, StateMoved.__name__):
        return (StateMoved if name == StateMoved.__name__ else LeaseLost)(lease.run_id, lease.token)
    return PersistenceFailed(RuntimeError(said))


@cache
def _maker(kind: Any) -> Callable[[Any], Any]:
    """Return the function that makes a value of a type of its plain form."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return _same
    if origin in (Union, types.UnionType):
        return _optional(_maker(next(each for each in inner if each is not types.NoneType)))
    if origin is tuple and inner[1:] != (...,):
        return _row(tuple(_maker(each) for each in inner))
    if origin is not None and issubclass(origin, Mapping):
        key, item = _maker(inner[0]), _maker(inner[1])
        return lambda plain: {key(name): item(value) for name, value in plain}
    if origin is not None:
        item = _maker(inner[0])
        return lambda plain: tuple(item(each) for each in plain)
    if is_dataclass(kind):
        return _dataclass(kind)
    if kind is datetime:
        return datetime.fromisoformat
    if issubclass(kind, str | int | float) and not issubclass(kind, Enum):
        return _expected((int, float) if kind is float else kind)
    made_by: Callable[[Any], Any] = kind
    return made_by


def _same(plain: Any) -> Any:
    return plain


def _expected(kind: type | tuple[type, ...]) -> Callable[[Any], Any]:
    def make(plain: Any) -> Any:
        if not isinstance(plain, kind):
            raise TypeError(f"{plain!r:.80} is no {kind}")
        return plain

    return make


def _optional(maker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda plain: None if plain is None else maker(plain)


def _row(makers: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    return lambda plain: tuple(maker(each) for maker, each in zip(makers, plain, strict=True))


def _dataclass(kind: Any) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    makers = [(each.name, _maker(hints[each.name])) for each in fields(kind)]
    return lambda plain: kind(**{name: maker(each) for (name, maker), each in zip(makers, plain, strict=True)})
