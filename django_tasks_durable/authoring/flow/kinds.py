"""What a value of each kind has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import conditions, durations, names
from .problems import Malformed, inside, kind_of
from .properties import FORMAT, Kind


def complaints(kind: Kind, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Give the path and the reason of all that is wrong with a value."""
    if kind is Kind.PARAMS:
        yield from _params(value, path)
        return
    try:
        _EXPECTED[kind](value)
    except Malformed as error:
        yield path, str(error)


def _params(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield path, f"the params are an object of names and values, this is {kind_of(value)}."
        return
    for name, given in value.items():
        here = inside(path, name)
        try:
            names.expect_identifier(name)
            if name in names.OF_A_STEP:
                raise Malformed(f"{name!r} is an option of every step. Choose another name for the parameter.")
        except Malformed as error:
            yield here, str(error)
        yield from complaints(Kind.VALUE, given, here)


def _format(value: Any) -> None:
    if isinstance(value, bool) or value != FORMAT:
        raise Malformed(f"this library reads format {FORMAT}, the flow has {value!r}.")


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise Malformed(f"a text is expected, this is {kind_of(value)}.")


def _node(value: Any) -> None:
    if not isinstance(value, str):
        raise Malformed(f"the name of a node is expected, this is {kind_of(value)}.")


def _count(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Malformed(
            f"a whole number from 1 is expected, this is {value if isinstance(value, int) else kind_of(value)}."
        )


def _flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise Malformed(f"true or false is expected, this is {kind_of(value)}.")


def _scalar(value: Any) -> None:
    if isinstance(value, dict | list):
        raise Malformed(f"a text, a number, true, false or null is expected, this is {kind_of(value)}.")


_EXPECTED: dict[Kind, Callable[[Any], object]] = {
    Kind.FORMAT: _format,
    Kind.TEXT: _text,
    Kind.FLOW_NAME: names.expect_flow_name,
    Kind.NAME: names.expect_name,
    Kind.IDENTIFIER: names.expect_identifier,
    Kind.NODE: _node,
    Kind.REFERENCE: names.field_of,
    Kind.CONDITION: conditions.parse,
    Kind.DURATION: durations.parse,
    Kind.COUNT: _count,
    Kind.FLAG: _flag,
    Kind.SCALAR: _scalar,
    Kind.VALUE: names.expect_value,
}
