"""Values as text and back: JSON with typed tags, never pickle.

What survives as it is: None, bool, int of any size, finite float, str, list, dict with str keys. What travels under a
tag: tuple, named tuple, set, frozenset, datetime (microseconds; the zone's name, else its offset), date, time,
timedelta, Decimal, UUID, bytes, dataclass instances, and saved model instances, which come back as a
``ModelReference``. Subclasses of str, int, float, list and dict, members of TextChoices and IntegerChoices among
them, travel as the plain value. All else is refused, with its place: NaN, infinity, NUL characters, lone surrogates,
keys that are not str, a depth over 64.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_tasks_durable.conf import HARD_PAYLOAD_BYTES
from django_tasks_durable.exceptions import NotSerializable, PayloadTooLarge, Unreadable

from .failures import decode_error, encode_error, error_record
from .sealing import SEALED, codec_in_use, is_sealed, seal, unseal
from .tags import DICT, INT, KINDS, PLAIN_INT_BITS, ModelReference, Refused, kind_of, type_name

__all__ = [
    "MAX_DEPTH",
    "ModelReference",
    "decode",
    "decode_error",
    "encode",
    "encode_error",
    "error_record",
    "fingerprint",
    "opened",
    "readable",
    "round_trip",
    "seal",
    "text_of",
]

MAX_DEPTH = 64

_SCALARS = frozenset({type(None), bool, int, float, str})
_PLAIN = _SCALARS | {list, dict}
_ONLY_STR = {str}
# Text of ASCII only, so that its length is its size in bytes and every database takes it whatever its character set.
_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_dumps_sorted = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"), sort_keys=True
).encode
# What a type's empty value is as text; most calls of most tasks have empty arguments and return None.
_BARE = {type(None): "null", bool: "false", int: "0", list: "[]", dict: "{}"}
# The engine asks whether there are arguments at all without decoding any.
_NEVER_SEALED = frozenset(_BARE.values())


def encode(value: Any, *, where: str = "value", limit: int | None = None) -> str:
    """Return the text under which a value is stored: its JSON, sealed where the settings name a payload codec.

    What is empty is never sealed. Raise what text_of() raises.
    """
    text = text_of(value, where=where, limit=limit)
    return text if codec_in_use() is None or text in _NEVER_SEALED else seal(text)


def text_of(value: Any, *, where: str = "value", limit: int | None = None) -> str:
    """Return the value as JSON text.

    Raise NotSerializable with the place of what cannot be stored (``value["rows"][3].when``), and PayloadTooLarge
    when the text takes more than ``limit`` bytes (10 MiB at most).
    """
    kind = type(value)
    if kind in _BARE and not value:
        return _BARE[kind]
    most = HARD_PAYLOAD_BYTES if limit is None else min(limit, HARD_PAYLOAD_BYTES)
    text = _plain_text(value, where, most)
    if text is None:
        text = _tagged_text(value, where, most)
    if len(text) > most:
        raise PayloadTooLarge(where, len(text), most)
    return text


def decode(text: str) -> Any:
    """Return the value of a text that encode() or text_of() made. Raise Unreadable when it cannot be made again here."""
    # No tag without this, and it is the common case: then everything happens in C.
    if '"$' not in text:
        return json.loads(text)
    try:
        return json.loads(text, object_hook=_made)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("JSON", f"it is damaged ({error}).") from error


def round_trip(value: Any, *, where: str = "value", limit: int | None = None) -> tuple[str, Any]:
    """Return the text of a value and the value that the text gives back."""
    text = encode(value, where=where, limit=limit)
    return text, decode(text)


def opened(text: str) -> str:
    """Return a stored text with nothing in it sealed any more. Raise Unreadable when nothing here opens it."""
    return _dumps(json.loads(text, object_hook=_unsealed)) if is_sealed(text) else text


def readable(text: str) -> Any:
    """Return plain JSON for people:

    tags told as text, lists and dicts. Never raises, never makes an object of a user.
    """
    try:
        return json.loads(text, object_hook=_shown) if '"$' in text else json.loads(text)
    except (ValueError, RecursionError):
        return text


def fingerprint(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return 32 characters that tell these arguments from others, the same in every process. Never raises.

    A value that cannot be stored counts as the name of its type.
    """
    if not args and not kwargs:
        return _NO_ARGUMENTS
    try:
        told = _Walk("", _LOOKED_AT_BYTES, is_lenient=True)
        text = _dumps_sorted(
            [[told.walk(item, "", 0) for item in args], {str(key): told.walk(kwargs[key], "", 0) for key in kwargs}]
        )
    except Exception:
        # An argument with hostile methods, or one larger than anything that can be stored: count its place only.
        text = _dumps_sorted([[type_name(item) for item in args], sorted(map(str, kwargs))])
    return _digest(text)


def _digest(text: str) -> str:
    return blake2b(text.encode("ascii"), digest_size=16).hexdigest()


_NO_ARGUMENTS = _digest("[[],{}]")
# Arguments of a step may be larger than what can be stored; beyond this only their types tell them apart.
_LOOKED_AT_BYTES = 1024 * 1024


def _plain_text(value: Any, where: str, most: int) -> str | None:
    """Return the JSON text of a value made of exact JSON types only, None when a closer look is needed.

    Looks at containers level by level, at the types of their items in C, and at strings not at all: what is wrong with
    those shows in the text.
    """
    if not _is_plain(value, where, most):
        return None
    try:
        text = _dumps(value)
    except (ValueError, RecursionError):
        return None
    # NUL and lone surrogates are escaped, as are pairs of surrogates, which are fine.
    return None if "\\u0000" in text or "\\ud" in text else text


def _is_plain(value: Any, where: str, most: int) -> bool:
    level: list[Any] = [value]
    seen = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                if (item and set(map(type, item)) != _ONLY_STR) or (
                    len(item) == 1 and next(iter(item)).startswith("$")
                ):
                    return False
                held: Any = item.values()
            elif kind is list:
                held = item
            elif kind in _SCALARS:
                continue
            else:
                return False
            # Each item takes two characters. A list that holds another twice, over and over, would never end.
            seen += len(held)
            if seen * 2 > most + 64:
                raise PayloadTooLarge(where, seen * 2, most)
            kinds = set(map(type, held)) - _SCALARS
            if not kinds:
                continue
            if not kinds <= _PLAIN:
                return False
            below.extend(found for found in held if type(found) not in _SCALARS)
        if not below:
            return True
        level = below
    return False


def _tagged_text(value: Any, where: str, most: int) -> str:
    try:
        told = _Walk(where, most).walk(value, where, 0)
        return _dumps(told)
    except RecursionError:
        raise NotSerializable(where, "the call stack is too full to look into it") from None


def _made(pairs: dict[str, Any]) -> Any:
    if len(pairs) != 1:
        return pairs
    (tag,) = pairs
    if not tag.startswith("$"):
        return pairs
    if tag == SEALED:
        return decode(unseal(pairs[tag]))
    kind = KINDS.get(tag)
    if kind is None:
        raise Unreadable(tag, "this version knows no such tag. Was it stored by a newer one?")
    return kind.make(pairs[tag])


def _shown(pairs: dict[str, Any]) -> Any:
    if len(pairs) != 1:
        return pairs
    (tag,) = pairs
    if tag == SEALED:
        return _shown_sealed(pairs[tag])
    kind = KINDS.get(tag)
    try:
        return pairs if kind is None else kind.show(pairs[tag])
    except Exception:
        return pairs  # What is damaged is shown as it is stored.


def _shown_sealed(payload: Any) -> Any:
    try:
        return readable(unseal(payload))
    except (Unreadable, ImproperlyConfigured):
        return "(encrypted: no key here opens it)"


def _unsealed(pairs: dict[str, Any]) -> Any:
    return json.loads(unseal(pairs[SEALED]), object_hook=_unsealed) if len(pairs) == 1 and SEALED in pairs else pairs


class _Walk:
    """One careful look at a value: tells it with tags and knows the place of each part."""

    __slots__ = ("is_lenient", "most", "seen", "where")

    def __init__(self, where: str, most: int, *, is_lenient: bool = False) -> None:
        self.where, self.most, self.is_lenient = where, most, is_lenient
        self.seen = 0

    def walk(self, value: Any, path: str, depth: int) -> Any:
        """Return JSON types only. Raise NotSerializable naming the path, unless lenient."""
        self.seen += 1
        if self.seen * 2 > self.most + 64:
            raise PayloadTooLarge(self.where, self.seen * 2, self.most)
        try:
            return self._told(value, path, depth)
        except Refused as refusal:
            if self.is_lenient:
                return {"$type": type_name(value)}
            raise NotSerializable(_shortened(path), str(refusal)) from refusal.__cause__
        except (NotSerializable, PayloadTooLarge, RecursionError):
            raise
        except Exception as error:
            if self.is_lenient:
                return {"$type": type_name(value)}
            raise NotSerializable(path, f"its {type_name(value)} raised {type_name(error)} when it was read") from error

    def _told(self, value: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Refused(f"it is nested more than {MAX_DEPTH} deep")
        kind = type(value)
        if kind in _SCALARS:
            return _scalar(value)
        if isinstance(value, Enum):
            return self._enum(value, path, depth)
        for plain, make in _PLAIN_BASES:
            if isinstance(value, plain):
                return _scalar(make(value))
        if isinstance(value, dict):
            return self._dict(value, path, depth)
        if isinstance(value, list):
            return [self.walk(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(list.__iter__(value))]
        known = kind_of(value)
        if known is None:
            raise Refused(_advice(value))
        return {known.tag: known.tell(value, lambda item, step: self.walk(item, f"{path}{step}", depth + 1))}

    def _enum(self, value: Enum, path: str, depth: int) -> Any:
        if isinstance(value, str | int | float):
            return self._told(value.value, path, depth)
        raise Refused(f"{type_name(value)} is an Enum; pass its .value, or make it a TextChoices or IntegerChoices")

    def _dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        told = {}
        for key, item in dict.items(value):
            if isinstance(key, Enum) and isinstance(key, str):
                key = key.value
            if not isinstance(key, str):
                raise Refused(f"its key {_safe_repr(key)} is {_article(key)}; JSON has only str keys")
            key = _text(str.__str__(key))
            told[key] = self.walk(item, f"{path}[{json.dumps(key, ensure_ascii=False)}]", depth + 1)
        if len(told) == 1 and next(iter(told)).startswith("$"):
            return {DICT.tag: [[key, item] for key, item in told.items()]}
        return told


_PLAIN_BASES: tuple[tuple[type, Any], ...] = ((str, str.__str__), (int, int.__int__), (float, float.__float__))


def _scalar(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is float and not math.isfinite(value):
        raise Refused(f"{value} is not a number that JSON has; use None or a str")
    if kind is int and value.bit_length() > PLAIN_INT_BITS:
        return {INT.tag: hex(value)}
    return value


def _text(value: str) -> str:
    if "\x00" in value:
        raise Refused("it holds a NUL character, which PostgreSQL cannot store; remove it or pass bytes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused(
            f"it holds a lone surrogate at character {error.start}, which is no text; "
            "decode with errors='replace', or pass bytes"
        ) from error
    return value


_ADVICE = {
    "QuerySet": "read it first, with list(queryset.values())",
    "__proxy__": "it is a lazy translation; pass str() of it",
    "generator": "read it first, with list()",
    "bytearray": "pass bytes() of it",
    "memoryview": "pass bytes() of it",
    "range": "pass list() of it",
    "function": "pass its name, or what it returns",
    "method": "pass its name, or what it returns",
    "coroutine": "await it first",
    "complex": "pass its parts",
    "ndarray": "pass .tolist() of it",
    "DataFrame": "pass .to_dict('records') of it",
    "PosixPath": "pass str() of it",
    "WindowsPath": "pass str() of it",
}


def _advice(value: object) -> str:
    kind = type(value)
    advice = _ADVICE.get(kind.__name__)
    if advice is None and hasattr(kind, "model_dump"):
        advice = "pass .model_dump(mode='json') of it"
    if advice is None and hasattr(kind, "item") and kind.__module__ == "numpy":
        advice = "pass .item() of it"
    said = f"Unsupported type: {_article(value)} has no form as JSON"
    return f"{said}; {advice or 'pass the plain values that it is made of'}"


def _shortened(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:100]}…{path[-80:]}"


def _article(value: object) -> str:
    name = type_name(value)
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _safe_repr(value: object) -> str:
    try:
        told = repr(value)
    except Exception:
        return f"of type {type_name(value)}"
    return told if len(told) <= 60 else f"{told[:60]}…"
