"""What is wrong with a flow, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$-]*\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at the JSON path of the value that is to be changed."""

    path: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"path": self.path, "message": self.message}


class Malformed(ValueError):
    """A value of a flow cannot be what it stands for; the message says why, and somebody else where."""


def inside(path: str, key: str | int) -> str:
    """Return the path of a member of the value at ``path``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if _PLAIN_KEY.match(key) else f"{path}[{key!r}]"


def meant(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that was probably meant."""
    folded = {each.casefold(): each for each in known}
    close = get_close_matches(word.casefold(), folded, 1, cutoff)
    return folded[close[0]] if close else None


def hint(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the word probably meant, or those that there are."""
    known = sorted(set(known))
    like = meant(word, known)
    if like is not None:
        return f"Did you mean {like!r}?"
    return f"There are {', '.join(map(repr, known[:10]))}{', …' if len(known) > 10 else ''}." if known else ""


def kind_of(value: Any) -> str:
    """Name the JSON type of a value, with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return next(said for kind, said in names.items() if isinstance(value, kind))
