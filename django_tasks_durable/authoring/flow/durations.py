"""Durations as a person writes them: ``"3 days"``, ``"1 hour 30 minutes"``, or a number of seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

from .problems import Malformed, hint, kind_of

UNITS = ("days", "hours", "minutes", "seconds")
_WORDS = {"week": 7, **{unit.removesuffix("s"): 1 for unit in UNITS}}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", re.ASCII)
_WHOLE = re.compile(rf"\s*{_PART.pattern}(?:[\s,]*{_PART.pattern})*\s*\Z", re.ASCII)
EXAMPLE = "write it as '3 days' or '1 hour 30 minutes', or as a number of seconds"


def parse(value: Any) -> dict[str, float]:
    """Return how many of each unit; raise Malformed."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(f"this is {kind_of(value)}, no duration: {EXAMPLE}.")
    found = _parts(value) if isinstance(value, str) else {"seconds": value}
    try:
        length = timedelta(**found).total_seconds()
    except OverflowError:
        raise Malformed(f"{value!r} is longer than Python's calendar.") from None
    if not math.isfinite(length) or length <= 0:
        raise Malformed(f"{value!r} is no time at all: {EXAMPLE}.")
    return found


def _parts(text: str) -> dict[str, float]:
    if not _WHOLE.match(text):
        raise Malformed(f"{text!r} is no duration: {EXAMPLE}.")
    found: dict[str, float] = {}
    for amount, word in _PART.findall(text):
        single = word.lower().removesuffix("s")
        if single not in _WORDS:
            raise Malformed(f"{text!r}: {word!r} is no unit of time. {hint(word, ['weeks', *UNITS])}")
        unit = "days" if single == "week" else f"{single}s"
        number = float(amount) if "." in amount else int(amount)
        found[unit] = found.get(unit, 0) + number * _WORDS[single]
    return {unit: found[unit] for unit in UNITS if unit in found}


def python(value: Any) -> list[str]:
    """Return the keyword arguments that mean a duration to ``sleep()`` and ``timedelta()``."""
    return [f"{unit}={amount!r}" for unit, amount in parse(value).items()]
