"""Arrays as text for PostgreSQL: the driver's own conversion goes value by value and cost more than the statement."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from uuid import UUID

_OTHER_ESCAPES = re.compile(r'\\[^"\\]')


def array_literal(values: Sequence[str | int | float | bool | UUID | None]) -> str:
    """Write values as the text of a PostgreSQL array, to be cast where it is used.

    JSON's escapes for quotes and backslashes are PostgreSQL's too; those for control characters are not, and take the slow way.
    """
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str)
    if "\\" in text and _OTHER_ESCAPES.search(text.replace("\\\\", "")):
        return "{" + ",".join(map(_element, values)) + "}"
    return "{" + text[1:-1] + "}"


def _element(value: str | int | float | bool | UUID | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return json.dumps(value, default=str)
