"""How values that JSON does not know travel as JSON: objects with one key, ``{"$decimal": "1.10"}``.

A user's own dict whose one key begins with ``$`` travels as ``{"$dict": [[key, value]]}``, so nothing is ever
mistaken for a tag. Each kind of value has one entry in ``KINDS``: how it is told, how it is made again, how it is
shown.
"""

from __future__ import annotations

import base64
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.apps import apps
from django.db.models import Model
from django.utils.duration import duration_iso_string

from django_tasks_durable.exceptions import Unreadable

from .files import FileRef

# Longer ones travel as hexadecimal text: Python refuses to read or write more than 4300 decimal digits.
PLAIN_INT_BITS = 4096


@dataclass(frozen=True, slots=True)
class ModelReference:
    """What is left of a saved model instance in a task's history: which row it was, not what was in it.

    A stored copy would be stale on replay, and reading the row while decoding would make a replay ask the database.
    So a task gets this reference, on its first pass too, and asks for the row when it wants it.
    """

    model: str
    pk: Any
    using: str = "default"

    @classmethod
    def of(cls, instance: Model) -> ModelReference:
        """Refer to a saved instance."""
        meta = instance._meta
        return cls(meta.label, instance.pk, instance._state.db or "default")

    @property
    def model_class(self) -> type[Model]:
        """The model that is referred to. Raise LookupError if it is gone."""
        return apps.get_model(self.model)

    def get(self) -> Model:
        """Read the row. Raise the model's DoesNotExist if it is gone."""
        return self.model_class._base_manager.using(self.using).get(pk=self.pk)

    async def aget(self) -> Model:
        """See get()."""
        return await self.model_class._base_manager.using(self.using).aget(pk=self.pk)

    def __str__(self) -> str:
        return f"{self.model}({self.pk})"


class Refused(Exception):
    """A value cannot travel. The codec, which knows the place, says where."""


Walk = Callable[[Any, str], Any]


def type_name(value: object) -> str:
    """Return the dotted name of a value's type."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def find_class(path: str) -> type | None:
    """Return the class of a dotted name if its module is imported already. Never imports: the name comes from a row."""
    module_name, _, qualified = path.partition(":")
    found: Any = sys.modules.get(module_name)
    for part in qualified.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) else None


def class_path(kind: type) -> str | None:
    """Return the name under which find_class() finds a class again in another process, None if there is none."""
    path = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or find_class(path) is not kind:
        return None
    return path


def _findable(kind: type, what: str) -> str:
    path = class_path(kind)
    if path is None:
        raise Refused(
            f"the {what} {kind.__qualname__} cannot be found again by its name; define it at the top level of a module"
        )
    return path


def _found(path: Any, tag: str) -> type:
    kind = find_class(path) if isinstance(path, str) else None
    if kind is None:
        raise Unreadable(
            tag, f"{path} is not imported in this process. Import its module where your tasks are defined."
        )
    return kind


# Datetimes and times keep their zone by name where it has one: an offset would be wrong after the next change of rules.


def _zoned(value: datetime | time) -> Any:
    key = getattr(value.tzinfo, "key", None)
    if isinstance(value.tzinfo, ZoneInfo) and key:
        return [value.replace(tzinfo=None, fold=0).isoformat(), key, value.fold]
    if value.tzinfo is not None and value.utcoffset() is None:
        raise Refused("its time zone has neither a name nor an offset")
    text = value.replace(fold=0).isoformat() if value.tzinfo is None else value.isoformat()
    return [text, None, 1] if value.tzinfo is None and value.fold else text


def _zone(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Unreadable("$datetime", f"this host knows no time zone {key!r}. Install tzdata.") from error


def _told_datetime(value: datetime, walk: Walk) -> Any:
    told = _zoned(value)
    # Subclasses may print as anything: pandas' NaT is a datetime whose text is "NaT".
    if type(value) is not datetime:
        try:
            datetime.fromisoformat(told if isinstance(told, str) else told[0])
        except ValueError as error:
            raise Refused(f"{told!r} is no point in time") from error
    return told


def _made_datetime(payload: Any) -> datetime:
    if isinstance(payload, str):
        return datetime.fromisoformat(payload)
    text, key, fold = payload
    zone: tzinfo | None = _zone(key) if key else None
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def _made_time(payload: Any) -> time:
    if isinstance(payload, str):
        return time.fromisoformat(payload)
    text, key, fold = payload
    zone: tzinfo | None = _zone(key) if key else None
    return time.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def _shown_datetime(payload: Any) -> Any:
    made = _made_datetime(payload)
    key = getattr(made.tzinfo, "key", None)
    return f"{made.isoformat()}[{key}]" if key else made.isoformat()


def _told_decimal(value: Decimal, walk: Walk) -> str:
    if not value.is_finite():
        raise Refused(f"{value} is not a number")
    return Decimal.__str__(value)


def _told_dataclass(value: Any, walk: Walk) -> list[Any]:
    path = _findable(type(value), "dataclass")
    told = {}
    for field in dataclasses.fields(value):
        try:
            held = getattr(value, field.name)
        except AttributeError:
            continue  # A field that was never set is not set afterwards either.
        told[field.name] = walk(held, f".{field.name}")
    return [path, list(told.items())]


def _made_dataclass(payload: Any) -> Any:
    path, told = payload
    kind = _found(path, "$dataclass")
    if not dataclasses.is_dataclass(kind):
        raise Unreadable("$dataclass", f"{path} is no dataclass any more.")
    # Not through __init__: it may check, count or connect, and its result was what was stored.
    made = object.__new__(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}
    for name, value in told:
        # A field that the class has lost since is read by nobody any more.
        if name in known:
            object.__setattr__(made, name, value)
            del known[name]
    for name, field in known.items():
        _set_default(made, name, field)
    return made


def _set_default(made: Any, name: str, field: dataclasses.Field[Any]) -> None:
    if field.default is not dataclasses.MISSING:
        object.__setattr__(made, name, field.default)
    elif field.default_factory is not dataclasses.MISSING:
        object.__setattr__(made, name, field.default_factory())
    elif field.init:
        raise Unreadable("$dataclass", f"{type(made).__qualname__} has a new field {name!r} without a default.")


def _told_named(value: Any, walk: Walk) -> list[Any]:
    return [
        _findable(type(value), "named tuple"),
        [walk(item, f".{name}") for name, item in zip(value._fields, value, strict=True)],
    ]


def _made_named(payload: Any) -> Any:
    path, items = payload
    kind = _found(path, "$namedtuple")
    if not issubclass(kind, tuple) or len(getattr(kind, "_fields", ())) != len(items):
        raise Unreadable("$namedtuple", f"{path} does not have {len(items)} fields any more.")
    return tuple.__new__(kind, items)


def _told_model(value: Any, walk: Walk) -> list[Any]:
    if value.pk is None or value._state.adding:
        raise Refused(f"this {value._meta.label} is not saved, so it cannot be referred to; save it first")
    return _told_reference(ModelReference.of(value), walk)


def _told_reference(value: ModelReference, walk: Walk) -> list[Any]:
    return [value.model, walk(value.pk, ".pk"), value.using]


def _told_items(value: Any, walk: Walk) -> list[Any]:
    return [walk(item, f"[{place}]") for place, item in enumerate(tuple(value))]


def _told_set(value: Any, walk: Walk) -> list[Any]:
    # In one order whatever the hash seed: the same set must give the same text, or an equal answer would look
    # different.
    return sorted((walk(item, "[*]") for item in value), key=repr)


def _made_int(payload: Any) -> int:
    return int(payload, 16)


def _shown_fields(payload: Any) -> Any:
    return dict(payload[1])


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: its tag, how it is told in JSON, made again, and shown to people."""

    tag: str
    tell: Callable[[Any, Walk], Any]
    make: Callable[[Any], Any]
    show: Callable[[Any], Any]


def _same(payload: Any) -> Any:
    return payload


_TUPLE = Kind("$tuple", _told_items, tuple, list)
_NAMED = Kind("$namedtuple", _told_named, _made_named, lambda payload: payload[1])
_DATACLASS = Kind("$dataclass", _told_dataclass, _made_dataclass, _shown_fields)
_REFERENCE = Kind(
    "$model", _told_reference, lambda payload: ModelReference(*payload), lambda payload: f"{payload[0]}({payload[1]})"
)
_MODEL = dataclasses.replace(_REFERENCE, tell=_told_model)
INT = Kind("$int", lambda value, walk: hex(value), _made_int, _same)
DICT = Kind("$dict", lambda value, walk: [[key, walk(item, "")] for key, item in value.items()], dict, dict)

_EXACT: dict[type, Kind] = {
    tuple: _TUPLE,
    set: Kind("$set", _told_set, set, list),
    frozenset: Kind("$frozenset", _told_set, frozenset, list),
    datetime: Kind("$datetime", _told_datetime, _made_datetime, _shown_datetime),
    date: Kind("$date", lambda value, walk: date.isoformat(value), date.fromisoformat, _same),
    time: Kind("$time", lambda value, walk: _zoned(value), _made_time, lambda payload: _made_time(payload).isoformat()),
    timedelta: Kind(
        "$timedelta",
        lambda value, walk: [value.days, value.seconds, value.microseconds],
        lambda payload: timedelta(*payload),
        lambda payload: duration_iso_string(timedelta(*payload)),
    ),
    Decimal: Kind("$decimal", _told_decimal, Decimal, _same),
    UUID: Kind("$uuid", lambda value, walk: str(UUID(int=value.int)), UUID, _same),
    bytes: Kind(
        "$bytes",
        lambda value, walk: base64.b64encode(value).decode("ascii"),
        lambda payload: base64.b64decode(payload, validate=True),
        lambda payload: f"base64:{payload}",
    ),
    ModelReference: _REFERENCE,
    FileRef: Kind(
        "$file",
        lambda value, walk: [value.name, value.storage, value.size, value.sha256],
        lambda payload: FileRef(*payload),
        lambda payload: str(FileRef(*payload)),
    ),
}
KINDS: dict[str, Kind] = {kind.tag: kind for kind in (*_EXACT.values(), _NAMED, _DATACLASS, INT, DICT)}

# A datetime is a date, so the order decides for subclasses.
_SUBCLASSED = (datetime, date, time, timedelta, Decimal, UUID, bytes, set, frozenset)


def kind_of(value: object) -> Kind | None:
    """Return the kind of a value that JSON does not know, None if it cannot travel."""
    exact = _EXACT.get(type(value))
    if exact is not None:
        return exact
    if isinstance(value, Model):
        return _MODEL
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _DATACLASS
    if isinstance(value, tuple):
        return _NAMED if hasattr(value, "_fields") else _TUPLE
    return next((_EXACT[kind] for kind in _SUBCLASSED if isinstance(value, kind)), None)
