"""Read the seed checklist: the project's own list of rows, and the page it came from where that is present."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROW = re.compile(r"^\| (?P<id>(?:TT|TW|TR|AW)-\d+) \| (?P<title>(?:\\\||[^|])+) \|")
PORT = "Test behaviours to port: "


def rows() -> dict[str, str]:
    """Return the id and title of every row, in the checklist's order."""
    return dict(line.split("\t", 1) for line in (HERE / "rows.txt").read_text().splitlines() if line)


def claimed() -> set[str]:
    """Return the rows that this version says it keeps: CI fails when one of them has no passing test."""
    lines = (line.partition("#")[0].strip() for line in (HERE / "claimed.txt").read_text().splitlines())
    return {line for line in lines if line}


def read_page(page: str) -> dict[str, str]:
    """Parse the page that the list was made from: its table rows, and the behaviours to port as `XX-P1`, `XX-P2`, ..."""
    found: dict[str, str] = {}
    prefix = ""
    for line in page.splitlines():
        if row := ROW.match(line):
            prefix = row["id"].partition("-")[0]
            found[row["id"]] = row["title"].strip()
        elif line.startswith(PORT):
            behaviours = split(line.removeprefix(PORT).rstrip("."))
            found |= {f"{prefix}-P{number}": title for number, title in enumerate(behaviours, 1)}
    return found


def split(sentence: str) -> list[str]:
    """Cut a list at its semicolons, or at its commas where it has none, but never inside brackets."""
    separator = ";" if ";" in "".join(_outside(sentence)) else ","
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(sentence):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == separator and depth == 0:
            parts.append(sentence[start:place].strip())
            start = place + 1
    return [*parts, sentence[start:].strip()]


def _outside(sentence: str) -> Iterator[str]:
    """Give the letters outside all brackets."""
    depth = 0
    for letter in sentence:
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            yield letter
