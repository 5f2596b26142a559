"""A list of what is wrong with a document, and the questions that fill it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

# Tags add levels of their own to a value's.
MOST_LEVELS = 256
_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a whole number"}


def at(where: str, key: object) -> str:
    """Return the place of a member whose name may be anything."""
    return f"{where}[{json.dumps(key, default=repr)}]"


class Finder:
    """Collects errors; each question returns what it found, None when that was wrong."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def say(self, where: str, problem: str) -> None:
        """Note one error."""
        self.errors.append(f"{where}: {problem}")

    def name_of(self, value: object) -> str:
        """Name what stands there instead."""
        if value is None:
            return "null"
        return next((name for kind, name in _NAMES.items() if type(value) is kind), f"a {type(value).__name__}")

    def present(self, owner: Mapping[str, Any], where: str, name: str) -> bool:
        """Ask for a member of any kind."""
        if name not in owner:
            self.say(f"{where}.{name}", "is missing")
        return name in owner

    def member(self, owner: Mapping[str, Any], where: str, name: str, kind: type) -> Any:
        """Ask for a member of one kind."""
        if not self.present(owner, where, name):
            return None
        value = owner[name]
        wanted = Mapping if kind is dict else kind
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
            self.say(f"{where}.{name}", f"must be {_NAMES[kind]}, not {self.name_of(value)}")
            return None
        return value

    def count(self, owner: Mapping[str, Any], where: str, name: str, *, least: int = 0) -> int | None:
        """Ask for a whole number that fits into a column."""
        value = self.member(owner, where, name, int)
        if value is not None and not least <= value < 2**31:
            self.say(f"{where}.{name}", f"must be from {least} to {2**31 - 1}, not {value}")
            return None
        found: int | None = value
        return found

    def text(self, owner: Mapping[str, Any], where: str, name: str, *, most: int, least: int = 0) -> str | None:
        """Ask for a string that fits into a column."""
        value = self.member(owner, where, name, str)
        if value is not None and (not least <= len(value) <= most or "\x00" in value):
            self.say(f"{where}.{name}", f"must have {least} to {most} characters and no NUL")
            return None
        found: str | None = value
        return found

    def choice(self, owner: Mapping[str, Any], where: str, name: str, choices: Sequence[str]) -> str | None:
        """Ask for one of a few words."""
        value = self.member(owner, where, name, str)
        if value is not None and value not in choices:
            self.say(f"{where}.{name}", f"must be one of {', '.join(map(repr, choices))}, not {value!r}")
            return None
        found: str | None = value
        return found

    def instant(self, owner: Mapping[str, Any], where: str, name: str, *, nullable: bool = False) -> datetime | None:
        """Ask for an instant in ISO 8601 with its offset."""
        if nullable and owner.get(name, ...) is None:
            return None
        value = self.member(owner, where, name, str)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.say(f"{where}.{name}", f"{value!r} is no instant in ISO 8601")
            return None
        if moment.tzinfo is None:
            self.say(f"{where}.{name}", f"{value!r} has no offset from UTC")
            return None
        return moment

    def json(self, document: object, where: str) -> None:
        """Ask whether all of it is JSON: its types, its keys, its numbers, its depth."""
        level: list[tuple[str, object]] = [(where, document)]
        for _ in range(MOST_LEVELS):
            below: list[tuple[str, object]] = []
            for place, value in level:
                if isinstance(value, Mapping):
                    for key, item in value.items():
                        if not isinstance(key, str):
                            self.say(place, f"its key {key!r} is no string")
                        below.append((f"{place}.{key}" if place == "$" else at(place, key), item))
                elif isinstance(value, list | tuple):
                    below += [(f"{place}[{index}]", item) for index, item in enumerate(value)]
                elif isinstance(value, float) and not math.isfinite(value):
                    self.say(place, f"{value} is no number that JSON has")
                elif not (value is None or isinstance(value, str | int | float)):
                    self.say(place, f"a {type(value).__name__} is no JSON")
            if not below:
                return
            level = below
        self.say(where, f"is nested more than {MOST_LEVELS} deep")
