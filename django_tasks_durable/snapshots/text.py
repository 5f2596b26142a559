"""Foreign text made harmless for a terminal or a page without changing what can be read of it."""

from __future__ import annotations

import json
import re

# C0 and C1 controls but tab and line feed, and the marks that turn the direction of the text around them.
_TREACHEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def plain(text: object) -> str:
    """Write control characters and direction marks as visible escapes."""
    return _TREACHEROUS.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


def one_line(text: object) -> str:
    """Write text in one line, without anything that moves a terminal's cursor."""
    return plain(text).replace("\n", "\\n").replace("\t", " ")


def pretty(value: object, *, longest: int = 20_000) -> str:
    """Write a JSON value for reading, cut when it is longer than ``longest`` characters."""
    return _cut(json.dumps(value, indent=2, ensure_ascii=False, default=str), longest)


def compact(value: object, *, longest: int = 400) -> str:
    """Write a JSON value in one line, cut when it is longer than ``longest`` characters."""
    return _cut(json.dumps(value, ensure_ascii=False, default=str), longest)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return plain(text)
    return f"{plain(text[:longest])} … ({len(text):,} characters in all)"


def duration(seconds: float | None) -> str:
    """Write a duration for reading, in one or two units; empty for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
