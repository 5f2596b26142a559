"""Values that people hand in and that some database, or JSON, has no place for; and those that only look so."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from django_tasks_durable.conf import Options


@dataclass(frozen=True)
class Given:
    """A value, and whether it may be stored. Some values are too large, or too deep, to be printed."""

    name: str
    value: Any = field(repr=False)
    may_be_stored: bool = True


def nested(depth: int) -> Any:
    """Make a list in a list in a list."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


LIMIT = Options().max_payload_bytes
REFUSED = {
    "NUL": "a\0b",
    "lone surrogate": "\ud800",
    "NUL in a key": {"\0": 1},
    "lone surrogate in a key": {"\udfff": 1},
    "NaN": float("nan"),
    "infinity": [float("inf")],
    "minus infinity": {"deep": [-1e308 * 10]},
    "int as a key": {1: "one"},
    "None as a key": {None: 1},
    "NaN of another kind": Decimal("NaN"),
    "no JSON": object(),
    "too deep": nested(20_000),
    "too large": "x" * LIMIT,
    "a megabyte": "\u202e" * 1_000_000,
}
KEPT = {
    "None": None,
    "False": False,
    "zero": 0,
    "no text": "",
    "minus zero": -0.0,
    "right to left": "\u202etxet\u202c \u200f\u061c",
    "control characters": "\x7f\x1b[31m\u2028\ufeff",
    "SQL": "'; DROP TABLE durable_tasks_taskrun; --",
    "an escape that is none": "\\u0000 %s %% \\",
    "beyond the first plane": "\U0001f600" * 1000,
    "nearly too large": "x" * (LIMIT - 100),
    "a huge int": 10**400,
    "beyond 64 bits": -(2**63) - 1,
    "beyond a double": 2**53 + 1,
    "a tiny float": 5e-324,
    "what looks like a tag": {"": {"$tuple": 1, "$$": "$"}},
    "types that JSON has not": (1, {2}, b"\0\xff", Decimal("1.10")),
    "deep": nested(60),
}
_text = st.text("ab\u0301\u202e\U0001f4a5", max_size=5)
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab$", max_size=3), inner, max_size=3),
    max_leaves=6,
)
values = st.one_of(
    _plain.map(lambda value: Given("plain", value)),
    st.sampled_from(sorted(KEPT)).map(lambda name: Given(name, KEPT[name])),
    st.sampled_from(sorted(REFUSED)).map(lambda name: Given(name, REFUSED[name], may_be_stored=False)),
)
