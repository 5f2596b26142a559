"""Values that the codec's tests send through it.

They live in a module of their own, because a class is found again by its name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import models


@dataclass(frozen=True)
class Point:
    """A frozen dataclass."""

    x: int
    y: Any = 0


@dataclass(slots=True)
class Parcel:
    """A dataclass with slots, a default factory and a field that is not an argument."""

    name: str
    items: list[Any] = field(default_factory=list)
    weight: float = field(init=False, default=1.5)


@dataclass
class Counted:
    """A dataclass whose constructor does something."""

    made = 0
    value: int

    def __post_init__(self) -> None:
        type(self).made += 1


class Pair(NamedTuple):
    """A named tuple."""

    left: Any
    right: Any


class Colour(models.TextChoices):
    """A str enum."""

    RED = "red", "Red"


class Size(models.IntegerChoices):
    """An int enum."""

    BIG = 3, "Big"


class Mood(enum.Enum):
    """A plain enum."""

    GLAD = "glad"


class Odd(dict[str, Any]):
    """A dict subclass."""


class Refusal(Exception):
    """An exception whose constructor wants other arguments than its base gets."""

    def __init__(self, code: int, *, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code}: {reason}")


class Mute(Exception):
    """An exception that cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Tempting(Exception):
    """An exception whose constructor must not be called while a stored one is read."""

    calls = 0

    def __init__(self, *args: Any) -> None:
        type(self).calls += 1
        super().__init__(*args)
