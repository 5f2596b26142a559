"""Exceptions as data: one that a body may get again on replay, and a record for people."""

from __future__ import annotations

import json
import traceback
from typing import Any

from django_tasks_durable.exceptions import DurableError, StepFailed

from .sealing import seal
from .secrets import without_secrets
from .tags import class_path, find_class
from .writes import ErrorRecord

TRACEBACK_BYTES = 8192
MESSAGE_CHARACTERS = 2000
_STATE_BYTES = 8192
_LONGEST_CHAIN = 8


def exception_path(error: BaseException) -> str:
    """Return the dotted name of an exception's class, as Django's TaskError has it."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"


def error_record(error: BaseException) -> ErrorRecord:
    """Tell an exception for people: without locals and passwords of addresses, cut to 8 kB, and storable whatever is in it."""
    return ErrorRecord(
        exception_class_path=_clean(exception_path(error))[:255],
        message=without_secrets(_message(error)),
        traceback=cut(without_secrets(_clean(_traceback(error))), TRACEBACK_BYTES),
        code=error.code if isinstance(error, DurableError) else "",
    )


def encode_error(error: BaseException) -> str:
    """Return an exception as JSON text:

    its class, message, arguments, own attributes and cause, as far as they can be stored. Sealed as a whole.
    """
    return seal(json.dumps(_told(error, set()), separators=(",", ":")))


def decode_error(text: str) -> Exception:
    """Return the exception of a text by encode_error(), or a StepFailed with its message.

    Its class must be imported already and be an Exception; a name in a row imports nothing.
    """
    try:
        from . import codec

        return _made(json.loads(codec.opened(text)))
    except (ValueError, TypeError, KeyError, AttributeError):
        return StepFailed("The error that was stored cannot be read any more.")


def cut(text: str, size: int) -> str:
    """Return text of at most ``size`` bytes: its head and its tail, which say most."""
    data = text.encode("utf-8", "replace")
    if len(data) <= size:
        return text
    gap = f"\n... {len(data) - size:,} bytes left out ...\n"
    room = size - len(gap)
    head = data[: room // 3].decode("utf-8", "ignore")
    tail = data[len(data) - (room - room // 3) :].decode("utf-8", "ignore")
    return f"{head}{gap}{tail}"


def _clean(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _said(error: BaseException) -> str | None:
    try:
        return str(error)
    except Exception:
        return None  # Its __str__ is broken; that must not hide that it was raised.


def _message(error: BaseException) -> str:
    said = _said(error)
    if said is None:
        return f"<{type(error).__qualname__} whose text cannot be told>"
    return _clean(said)[:MESSAGE_CHARACTERS]


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.TracebackException.from_exception(error, compact=True).format())
    except Exception as second:
        return f"{exception_path(error)}: <its traceback cannot be told: {type(second).__qualname__}>\n"


def _told(error: BaseException, seen: set[int]) -> dict[str, Any]:
    seen.add(id(error))
    told: dict[str, Any] = {
        "class": class_path(type(error)) or exception_path(error),
        "message": _message(error),
        "args": _stored_or_none(_arguments(error)),
        "state": _stored_state(error),
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and id(cause) not in seen and len(seen) < _LONGEST_CHAIN:
        told["cause"] = _told(cause, seen)
        told["raised_from"] = error.__cause__ is not None
    return told


def _arguments(error: BaseException) -> list[Any]:
    # The name of the file is no argument of an OSError afterwards, but it is what it was made with.
    made_with = OSError.__reduce__(error)[1] if isinstance(error, OSError) else error.args
    return list(made_with)


def _stored_or_none(value: Any) -> str | None:
    from . import codec  # The codec offers these functions as its own, so it imports this module first.

    try:
        return codec.text_of(value, limit=_STATE_BYTES)
    except Exception:
        return None  # What cannot be stored is left out; class and message are there in any case.


def _stored_state(error: BaseException) -> dict[str, str]:
    held = getattr(error, "__dict__", None) or {}
    stored = {name: _stored_or_none(value) for name, value in held.items() if isinstance(name, str)}
    kept = {name: text for name, text in stored.items() if text is not None}
    return kept if sum(map(len, kept.values())) <= _STATE_BYTES else {}


def _made(told: dict[str, Any]) -> Exception:
    made = _revived(told)
    if cause := told.get("cause"):
        before = _made(cause)
        if told.get("raised_from"):
            made.__cause__ = before
        made.__context__ = before
    return made


def _revived(told: dict[str, Any]) -> Exception:
    path, message = str(told["class"]), str(told["message"])
    lost = StepFailed(message, path.replace(":", "."))
    kind = find_class(path) if ":" in path else None
    if kind is None or not issubclass(kind, Exception) or told["args"] is None:
        return lost
    try:
        return _filled(kind, told) or lost
    except Exception:
        return lost  # Its class has changed, or an argument's has.


def _filled(kind: type[Exception], told: dict[str, Any]) -> Exception | None:
    from . import codec

    args = codec.decode(told["args"])
    # Not through __init__: it may want other arguments than it handed to its base, as ours do.
    made = kind.__new__(kind, *args)
    if not made.args:
        # An OSError with an __init__ of its own takes its arguments there.
        made.args = tuple(args)
    for name, text in told["state"].items():
        setattr(made, name, codec.decode(text))
    if _says(made, told["message"]):
        return made
    # It keeps what cannot be stored (Django's ValidationError does), but makes that from its arguments.
    made = kind(*args)
    return made if _says(made, told["message"]) else None


def _says(error: BaseException, message: str) -> bool:
    return _said(error) is not None and _message(error) == message
